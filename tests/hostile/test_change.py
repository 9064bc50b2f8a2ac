"""Configurations that change while polls are in flight, and many studios."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from exporter.aws.account import ApiCalls
from exporter.config import load
from exporter.poller import Poller
from exporter.simulator import Fleet, create_app, running
from exporter.simulator.fleet import FleetStudio
from exporter.targets import build
from tests.commands import free_port, get, started, wait_for
from tests.endpoint import error, hang
from tests.hostile.book import shown
from tests.hostile.exporter import configured, counts, polling, studios
from tests.hostile.scenarios import READY
from tests.hostile.studios import Studios
from tests.tools import proc
from tests.waiting import until, wait_until

PART = "Change"
LOADED = "studio_backup_exporter_config_last_reload_success_timestamp_seconds"


def samples(port: int, name: str) -> Mapping[str, float]:
    """Return a family's samples by the studio's id."""
    return {
        sample.labels["studio_id"]: sample.value
        for family in text_string_to_metric_families(get(port)[1])
        for sample in family.samples
        if sample.name == name
    }


def sockets(process: subprocess.Popen[str]) -> int:
    return sum("socket:" in str(link.readlink()) for link in (proc(process.pid) / "fd").iterdir())


def threads(process: subprocess.Popen[str]) -> int:
    return len(list((proc(process.pid) / "task").iterdir()))


@shown(
    PART,
    "a reload (SIGHUP or `POST /-/reload`) adds, removes and changes targets while polls are in flight",
    "counters of studios that stay go on, those taken out vanish at once, nothing is polled twice, and the threads and"
    " connections of before are ended; polls in flight are given up and begun anew",
)
@pytest.mark.parametrize("by", ["signal", "request"])
def test_a_reload_while_polls_are_in_flight(tmp_path: Path, by: str) -> None:
    far_side, port = Studios(latency=0.3), free_port()
    far_side.sick = {"hangs": lambda _request: hang}
    with far_side.endpoint.running() as endpoint:

        def configure(**studios_of: list[str]) -> Path:
            targets: list[dict[str, Any]] = [
                {"name": name, "endpoint_url": endpoint.url, "studios": named} for name, named in studios_of.items()
            ]
            return configured(tmp_path, *targets, poll_interval="1s", poll_timeout="20s")

        file = configure(first=["stays", "goes", "hangs"], second=["leaves"])
        options = ["--web.enable-lifecycle"] if by == "request" else []
        with started("serve", f"--config.file={file}", f"--web.listen-address=127.0.0.1:{port}", *options) as process:

            def reload() -> None:
                before = re.search(rf"^{LOADED} (.*)", get(port)[1], re.MULTILINE)
                if by == "request":
                    assert get(port, "/-/reload", "POST")[0] == 200
                else:
                    process.send_signal(signal.SIGHUP)
                wait_until(lambda: re.search(rf"^{LOADED} (.*)", get(port)[1], re.MULTILINE)[1] != before[1])  # type: ignore[index]  # it is there

            def asked_so_often(studio: str, times: int) -> bool:
                return len(far_side.asked_at[studio]) == times

            wait_for(port, "/-/healthy", "Healthy")
            wait_until(lambda: samples(port, "studio_backup_up").keys() == {"stays", "goes", "leaves"})
            wait_until(lambda: samples(port, "studio_backup_polls_total")["stays"] >= 3)
            polls = samples(port, "studio_backup_polls_total")["stays"]
            sockets_before, threads_before = sockets(process), threads(process)
            again = len(far_side.asked_at["hangs"])
            for _ in range(5):
                configure(first=["stays", "hangs"], third=["comes"])
                reload()
                known = samples(port, "studio_backup_up").keys()
                assert known.isdisjoint({"leaves", "goes"})
                assert 'target="second"' not in get(port)[1]
                wait_until(lambda: samples(port, "studio_backup_up").keys() == {"stays", "comes"})
                assert samples(port, "studio_backup_polls_total")["stays"] >= polls
                # What hung was given up, and is asked for anew, once.
                again += 1
                wait_until(partial(asked_so_often, "hangs", again))
                configure(first=["stays", "goes", "hangs"], second=["leaves"])
                reload()
                wait_until(lambda: samples(port, "studio_backup_up").keys() == {"stays", "goes", "leaves"})
                again += 1
                wait_until(partial(asked_so_often, "hangs", again))
            assert max(far_side.most_at_once[id] for id in ("stays", "goes", "comes", "leaves")) == 1
            wait_until(lambda: sockets(process) <= sockets_before and threads(process) <= threads_before)
            process.terminate()
            assert process.wait(10) == 0
            assert "Traceback" not in process.communicate()[1]


@shown(
    PART,
    "the new configuration is bad",
    "nothing changes; `studio_backup_exporter_config_last_reload_successful` is 0; the log, and the answer (500) to"
    " `POST /-/reload`, say each mistake with its line",
)
def test_a_bad_configuration_changes_nothing_while_polls_are_in_flight(tmp_path: Path) -> None:
    far_side, port = Studios(), free_port()
    far_side.sick = {"hangs": lambda _request: hang}
    with far_side.endpoint.running() as endpoint:
        file = configured(
            tmp_path,
            {"endpoint_url": endpoint.url, "studios": ["well", "hangs"]},
            poll_interval="1s",
            poll_timeout="30s",
        )
        good = json.loads(file.read_text())
        with started(
            "serve", f"--config.file={file}", f"--web.listen-address=127.0.0.1:{port}", "--web.enable-lifecycle"
        ) as process:
            wait_for(port, "/metrics", 'studio_backup_up{aws_region="us-west-2",source="nimble",studio="name of well"')
            file.write_text(json.dumps({**good, "poll_intervall": "1s"}, indent=1))
            status, told = get(port, "/-/reload", "POST")
            assert (status, told.count("\n")) == (500, 1)
            assert "poll_intervall" in told
            polls = samples(port, "studio_backup_polls_total")["well"]
            wait_until(lambda: samples(port, "studio_backup_polls_total")["well"] >= polls + 2)
            assert len(far_side.asked_at["hangs"]) == 1  # its poll was not given up
            assert "studio_backup_exporter_config_last_reload_successful 0.0" in get(port)[1]
            process.terminate()
            assert process.wait(10) == 0
            assert told.strip().partition(": ")[2] in process.communicate()[1]


@shown(
    PART,
    "a studio comes, another goes",
    "the new one has series with its first poll; all those of the other go with the discovery",
)
@shown(
    PART, "discovery fails after it worked", "the studios from before are polled on; `studio_backup_discovery_up` is 0"
)
@shown(PART, "two targets see the same studio", "the first in the file keeps it; the other is told in the log, once")
def test_studios_that_come_and_go_and_a_discovery_that_fails(tmp_path: Path) -> None:
    first, second = Studios("stays", "goes"), Studios("stays", "other")

    async def run() -> None:
        with first.endpoint.running(), second.endpoint.running(), capture_logs() as log:
            file = configured(
                tmp_path,
                {"name": "first", "endpoint_url": first.endpoint.url},
                {"name": "second", "endpoint_url": second.endpoint.url},
                poll_interval="300ms",
                poll_timeout="20s",
                discovery_interval="500ms",
            )
            async with polling(file) as poller:
                await until(lambda: studios(poller).keys() == {"stays", "goes", "other"})
                polls = studios(poller)["stays"].polls
                first.shown = ["stays", "comes"]
                await until(lambda: studios(poller).keys() == {"stays", "comes", "other"})
                first.discovery = error("AccessDeniedException", 403)
                await until(lambda: not poller.status().targets[0].up)
                asked = len(first.asked_at["comes"])
                await until(lambda: len(first.asked_at["comes"]) >= asked + 3)
                assert studios(poller).keys() == {"stays", "comes", "other"}
                assert [target.up for target in poller.status().targets] == [False, True]
                first.discovery, first.shown = None, ["stays"]
                await until(lambda: studios(poller).keys() == {"stays", "other"})
                known = studios(poller)
                assert known["stays"].polls > polls
                assert all(studio.up and not studio.failures for studio in known.values())
                assert known["stays"].target.name == "first"
            # Its discovery may have been the first of the two: then it had the studio until the other's ended.
            assert len(second.asked_at["stays"]) <= 1
            assert [line["event"] for line in log if line.get("studio_id") == "stays"].count(
                "studio is seen by two targets; the first in the file keeps it"
            ) == 1

    asyncio.run(run())


@shown(PART, "500 studios", "each is polled once an interval")
def test_500_studios_are_polled_once_an_interval_each(tmp_path: Path) -> None:
    ids = [f"studio-{n}" for n in range(500)]
    far_side = Studios(*ids)

    async def run() -> None:
        with far_side.endpoint.running() as endpoint:
            file = configured(tmp_path, {"endpoint_url": endpoint.url}, poll_interval="10s", poll_timeout="10s")
            async with polling(file) as poller:
                await until(lambda: sum(known.polls >= 2 for known in studios(poller).values()) == len(ids), limit=90)
                known = studios(poller)
                assert known.keys() == set(ids)
                assert all(studio.up and counts(studio) == {READY: 2} for studio in known.values())
                assert max(far_side.most_at_once.values()) == 1
                polls = [studio.polls for studio in known.values()]
                assert max(polls) - min(polls) <= 1
                assert poller.status().targets[0].studios == len(ids)

    asyncio.run(run())


def reload(poller: Poller, folder: Path, *targets: Mapping[str, Any], **general: Any) -> None:
    """Have the poller go on with another configuration, as SIGHUP does."""
    config = load(configured(folder, *targets, **general))
    poller.reconfigure(build(config, ApiCalls()), max_concurrent_polls=config.max_concurrent_polls)


@shown(
    PART,
    "a reload while studios' names cannot be asked for",
    "the names from before stay: no series is there under another name meanwhile",
)
def test_names_outlive_a_reload_after_which_they_are_not_answered(tmp_path: Path) -> None:
    far_side = Studios()

    async def run() -> None:
        with far_side.endpoint.running() as endpoint:
            target = {"endpoint_url": endpoint.url, "studios": ["stays", "comes"]}
            async with polling(configured(tmp_path, target | {"studios": ["stays"]}, poll_interval="300ms")) as poller:
                await until(lambda: studios(poller))
                before = studios(poller)["stays"]
                assert before.studio.name == "name of stays"
                far_side.identity = error("AccessDeniedException", 403)
                reload(poller, tmp_path, target, poll_interval="200ms", discovery_interval="500ms")
                names: set[str] = set()

                def polled_on() -> bool:
                    names.update(each.studio.name for each in studios(poller).values())
                    return len(far_side.asked_at["comes"]) >= 10

                await until(polled_on)
                assert names == {"name of stays", "comes"}
                assert studios(poller)["stays"].polls > before.polls

    asyncio.run(run())


def of_source(source: str, url: str, *wanted: FleetStudio) -> Mapping[str, Any]:
    """Return a target of a source that names studios of the simulator's."""
    names = [studio.id if source == "nimble" else studio.name for studio in wanted]
    return {"name": "main", "source": source, "endpoint_url": url, "studios": names}


@shown(
    PART,
    "a reload takes a studio out of a target that cannot be reached",
    "it goes at once all the same; the others stay, as failing ones do",
)
@pytest.mark.parametrize("source", ["nimble", "ebs", "aws_backup"])
def test_a_studio_taken_out_goes_at_once_though_nothing_is_answered(tmp_path: Path, source: str) -> None:
    fleet = Fleet(7)
    stays, goes = fleet.studios(0.0)[:2]

    async def run() -> None:
        with ExitStack() as reachable:
            url = reachable.enter_context(running(create_app(fleet)))
            file = configured(tmp_path, of_source(source, url, stays, goes), poll_interval="1s")
            async with polling(file) as poller:
                await until(lambda: {known.studio.name for known in poller.status().studios} == {stays.name, goes.name})
                [before] = [known for known in poller.status().studios if known.studio.name == stays.name]
                reachable.close()
                reload(poller, tmp_path, of_source(source, url, stays), poll_interval="1s")
                [known] = poller.status().studios
                assert (known.studio, counts(known)) == (before.studio, counts(before))
                await until(lambda: not poller.status().studios[0].up)
                [known] = poller.status().studios
                assert counts(known) == counts(before)
                assert known.polls > before.polls

    asyncio.run(run())


@shown(
    PART,
    "a reload gives a target another name, or one of its studios to another target",
    "the studios' counts and counters go on",
)
def test_counters_go_on_when_a_studio_changes_its_target(tmp_path: Path) -> None:
    far_side = Studios()

    async def run() -> None:
        with far_side.endpoint.running() as endpoint:
            at = {"endpoint_url": endpoint.url}
            file = configured(tmp_path, at | {"studios": ["one", "two"]}, poll_interval="200ms")
            async with polling(file) as poller:
                await until(lambda: sum(known.polls >= 3 for known in studios(poller).values()) == 2)
                before = studios(poller)
                far_side.sick = {id: lambda _request: hang for id in before}
                reload(
                    poller,
                    tmp_path,
                    at | {"name": "renamed", "studios": ["one"]},
                    at | {"name": "other", "studios": ["two"]},
                    poll_timeout="20s",
                )
                await until(lambda: len(studios(poller)) == 2)
                for id, known in studios(poller).items():
                    assert (known.polls, counts(known)) == (before[id].polls, {READY: 2})
                far_side.sick = {}
                reload(poller, tmp_path, at | {"name": "renamed again", "studios": ["one", "two"]})
                await until(lambda: len(studios(poller)) == 2)
                await until(lambda: all(studios(poller)[id].polls > before[id].polls for id in before))
                assert {known.target.name for known in studios(poller).values()} == {"renamed again"}

    asyncio.run(run())


@shown(
    PART,
    "a reload has a target ask elsewhere: another region, role, profile, endpoint or tag, or another source",
    "all that it had goes at once",
)
def test_what_a_target_had_goes_when_it_asks_elsewhere(tmp_path: Path) -> None:
    async def run() -> None:
        with running(create_app(Fleet(7, sessions=2))) as url:
            target = {"name": "main", "source": "ebs", "endpoint_url": url, "poll_interval": "1s"}
            async with polling(configured(tmp_path, target)) as poller:
                await until(lambda: len(poller.status().studios) == 3)
                before = studios(poller)
                reload(poller, tmp_path, target | {"studio_tag": "Workstation"})
                assert studios(poller) == {}
                await until(lambda: studios(poller))
                assert studios(poller).keys().isdisjoint(before)
                # What it had is not forgotten: counters go on when it asks there again.
                reload(poller, tmp_path, target)
                assert studios(poller) == {}
                await until(lambda: studios(poller).keys() == before.keys())
                assert all(studios(poller)[id].polls > before[id].polls for id in before)
                reload(poller, tmp_path, {"name": "main", "endpoint_url": url})
                assert studios(poller) == {}
                assert poller.status().targets[0].up is None

    asyncio.run(run())
