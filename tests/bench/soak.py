"""A compressed week: does the exporter stay as small as it was after its first hundred polls?

Runs `serve` against five studios, three of which are wrong in one way or another now and then, until each was polled as
often as a week has minutes; scrapes it, opens its page and reloads it meanwhile. Out comes a table of what the process
held, by polls, and exit status 1 where that grew. Timings are no matter here.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from tests.commands import free_port, get, started, wait_for
from tests.endpoint import Answer, Endpoint, Request, error, hang, http, page, reset
from tests.hostile.exporter import configured
from tests.hostile.studios import ready

WEEK_MINUTES = 7 * 24 * 60
WELL, SICK = ("well-1", "well-2"), ("sick-1", "sick-2", "sick-3")
WARM_UP_POLLS = 100
ROWS = 8
LEAST_POLLS = 800
RELOAD_EVERY = 500
#: What may come and go: a connection or a thread more that a hanging poll has just then.
SLACK = 2
#: Threads of their own fill the allocator's arenas slowly; a hundred bytes a poll that leak would come to 5 MiB.
SLACK_MIB = 3.0


class Sample(msgspec.Struct, frozen=True):
    """What the process holds at a moment, when its least polled studio has had so many polls."""

    polls: int
    memory_mib: float
    threads: int
    descriptors: int
    sockets: int


class Studios:
    """The far side: backups come and go, and of every ten answers of a sick studio about two are wrong."""

    def __init__(self) -> None:
        self.endpoint = Endpoint(self._answer)
        self.wrong: Counter[str] = Counter()
        self._chance = random.Random(1)
        self._visits: Counter[str] = Counter()
        self._lock = threading.Lock()

    def _answer(self, request: Request) -> Answer:
        studio = request.parts[2]
        if len(request.parts) == 3:
            return http({"studio": {"studioId": studio, "studioName": studio}})
        with self._lock:
            self._visits[studio] += 1
            visit, chance = self._visits[studio], self._chance.random()
        if studio in SICK and chance < 0.2:
            wrong = self._wrong(chance / 0.2)
            self.wrong[studio] += 1
            return wrong
        return self._page(visit, request.query.get("nextToken", ""))

    def _page(self, visit: int, token: str) -> bytes:
        """Return one of three pages of a hundred: a window over backups that moves on with the visits."""
        place = int(token or 0)
        first = visit // 6 + 100 * place
        backups = ready(100)
        for number, backup in enumerate(backups, first):
            failed = number % 50 == 0
            backup |= {"backupId": f"b-{number}", "sessionId": f"s-{number % 90}"}
            backup |= {"state": "CREATE_FAILED", "statusCode": "INTERNAL_ERROR"} if failed else {}
        return page(backups, str(place + 1) if place < 2 else None)

    def _wrong(self, chance: float) -> Answer:
        answers: Sequence[Answer] = (
            hang,
            self.endpoint.drip(page(ready(9)), 0.05, at_once=300),
            reset,
            error("ThrottlingException", 429),
            http(b"<html>", 503, Content_Type="text/html"),
            error("ExpiredTokenException", 403),
            *[http({})] * 4,
            *[http(b'{"streamingSession')] * 4,
            *[[http(b"{}", length=9)]] * 4,
            *[page(ready(3, state=f"S{chance:.2f}"))] * 4,
            *[error("AccessDeniedException", 403)] * 4,
        )
        return answers[int(chance * len(answers))]


def held(process_id: int, polls: int) -> Sample:
    """Return what a process holds, as /proc says it."""
    status = Path(f"/proc/{process_id}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    links = []
    for descriptor in Path(f"/proc/{process_id}/fd").iterdir():
        try:
            links.append(str(descriptor.readlink()))
        except FileNotFoundError:  # closed meanwhile
            continue
    threads = len(list(Path(f"/proc/{process_id}/task").iterdir()))
    sockets = sum(link.startswith("socket:") for link in links)
    return Sample(polls, int(resident.split()[1]) / 1024, threads, len(links), sockets)


def counters(port: int) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Return the polls and the failed polls of each studio."""
    polls: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    for family in text_string_to_metric_families(get(port)[1]):
        for sample in family.samples:
            if sample.name == "studio_backup_polls_total":
                polls[sample.labels["studio_id"]] += int(sample.value)
            elif sample.name == "studio_backup_poll_failures_total":
                failures[sample.labels["studio_id"]] += int(sample.value)
    return polls, failures


def watch(process_id: int, port: int, polls: int) -> list[Sample]:
    """Scrape, look at the pages and reload until each studio has had so many polls; return a sample a second."""
    samples: list[Sample] = []
    reload_at = RELOAD_EVERY
    for turn in itertools.count():
        counted, _ = counters(port)
        least = int(min((counted.get(id, 0) for id in (*WELL, *SICK)), default=0))
        samples.append(held(process_id, least))
        if least >= polls:
            return samples
        if least >= reload_at:
            reload_at += RELOAD_EVERY
            os.kill(process_id, signal.SIGHUP)
            print(f"{least} polls: {samples[-1]}", file=sys.stderr, flush=True)
        for path in ("/", "/api/v1/studios", "/api/v1/backups")[turn % 3 :]:
            assert get(port, path)[0] == 200
        assert get(port, Accept="application/openmetrics-text")[1].endswith("# EOF\n")
        time.sleep(1)  # between samples; there is nothing to wait for
    raise AssertionError


def table(samples: Sequence[Sample], polls: int) -> list[Sample]:
    """Return the medians of the samples, in rows of as many polls each, the first hundred polls left out."""
    rows = []
    size = (polls - WARM_UP_POLLS) / ROWS
    for row in range(ROWS):
        begin = WARM_UP_POLLS + row * size
        within = [each for each in samples if begin <= each.polls < begin + size]
        rows.append(
            Sample(
                int(begin + size),
                statistics.median(each.memory_mib for each in within),
                *(
                    int(statistics.median(getattr(each, name) for each in within))
                    for name in ("threads", "descriptors", "sockets")
                ),
            )
        )
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    options = argparse.ArgumentParser(description=__doc__, prog="soak")
    options.add_argument("--polls", type=int, default=WEEK_MINUTES, help="of each studio")
    polls: int = options.parse_args(arguments).polls
    if polls < LEAST_POLLS:
        options.error(f"--polls={polls}: {LEAST_POLLS} at least, or rows of the table have no sample")
    far_side, port = Studios(), free_port()
    os.environ |= {"AWS_ACCESS_KEY_ID": "soak", "AWS_SECRET_ACCESS_KEY": "soak", "NO_PROXY": "127.0.0.1"}
    with tempfile.TemporaryDirectory() as folder, far_side.endpoint.running() as endpoint:
        file = configured(
            Path(folder),
            {"endpoint_url": endpoint.url, "studios": [*WELL, *SICK]},
            poll_interval="50ms",
            poll_timeout="500ms",
        )
        serve = ("serve", f"--config.file={file}", f"--web.listen-address=127.0.0.1:{port}", "--web.show-backups")
        with started(*serve, log=Path(folder, "log")) as process:
            wait_for(port, "/-/ready", "Ready")
            samples = watch(process.pid, port, polls)
            counted, failures = counters(port)
            process.terminate()
            assert process.wait(10) == 0
    rows = table(samples, polls)
    print(
        "| polls of each studio | memory (MiB) | threads | file descriptors | of them sockets |\n|---|---|---|---|---|"
    )
    for row in rows:
        print(f"| to {row.polls} | {row.memory_mib:.1f} | {row.threads} | {row.descriptors} | {row.sockets} |")
    most = {name: max(getattr(each, name) for each in samples) for name in Sample.__struct_fields__}
    print(f"\nThe most of each: {most}.\nPolls: {dict(counted)}; failed: {dict(failures)}.")
    first, last = rows[0], rows[-1]
    problems = [
        f"{name} grew from {getattr(first, name)} to {getattr(last, name)}"
        for name, slack in (("memory_mib", SLACK_MIB), ("threads", SLACK), ("descriptors", SLACK), ("sockets", SLACK))
        if getattr(last, name) > getattr(first, name) + slack
    ]
    problems += [f"{id} failed {failures[id]:g} times, and was well" for id in WELL if failures[id]]
    problems += [f"{id} never failed" for id in SICK if not failures[id]]
    print("\n".join(problems) or "Nothing grew.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
