"""Everything that can be wrong with an answer or its way here, all at once, beside studios that are well."""

from __future__ import annotations

import asyncio
import html
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from exporter import pages
from exporter.aws.account import ApiCalls
from exporter.config import load
from exporter.metrics import ConfigStatus, StudioBackupCollector, new_registry, render
from exporter.poller import Poller
from exporter.sources import Reason
from exporter.status import StudioStatus
from exporter.targets import build
from tests.endpoint import Answer, Endpoint, Request, http, page
from tests.hostile.scenarios import HOST, READY, SCENARIOS, TIMEOUT_SECONDS, Scenario, Visit, ready
from tests.waiting import until

WELL = ("well-1", "well-2", "well-3")
SICK = {scenario.id: scenario for part in SCENARIOS.values() for scenario in part}
INTERVAL_SECONDS = 2.0
LANES = 8


class Studios:
    """The far side: each studio has two backups while it is well, and three once it is well again."""

    def __init__(self) -> None:
        self.endpoint = Endpoint(self._answer)
        self.backups = 2
        self.are_sick = False
        self.asked_at: dict[str, list[float]] = defaultdict(list)
        self._visits: Counter[str] = Counter()

    def _answer(self, request: Request) -> Answer:
        match request.parts:
            case [_, "studios", studio]:
                return http({"studio": {"studioId": studio, "studioName": f"name of {studio}"}})
            case [_, "studios", studio, "streaming-session-backups"]:
                self.asked_at[studio].append(time.monotonic())
                if self.are_sick and studio in SICK:
                    visit = Visit(request, self._visits[studio], self.endpoint)
                    self._visits[studio] += 1
                    return SICK[studio].answer(visit)
                return page(ready(self.backups))
        raise AssertionError(request)


class Seen(msgspec.Struct):
    """What there was to see while the studios were well, while they were sick, and when they were well again."""

    well: Mapping[str, StudioStatus]
    sick: Mapping[str, StudioStatus]
    again: Mapping[str, StudioStatus]
    log: Sequence[Mapping[str, Any]]
    metrics: Mapping[tuple[str, str, str], float]
    page: str
    gaps: Sequence[float]
    url: str

    def error_of(self, scenario: Scenario) -> str:
        return scenario.error.replace(HOST, self.url)


async def watch(studios: Studios, file: Path, log: Sequence[Mapping[str, Any]]) -> Seen:
    config, calls = load(file), ApiCalls()
    poller = Poller(build(config, calls), max_concurrent_polls=config.max_concurrent_polls)
    registry = new_registry(StudioBackupCollector(poller.status, calls, lambda: ConfigStatus(True, 0.0)))

    def known() -> Mapping[str, StudioStatus]:
        return {studio.studio.id: studio for studio in poller.status().studios}

    async def polled(times: int) -> Mapping[str, StudioStatus]:
        """Return what is known once each studio has been polled so many times more."""
        before = {id: studio.polls for id, studio in known().items()}
        await until(
            lambda: (
                all(known()[id].polls >= before.get(id, 0) + times for id in (*WELL, *SICK) if id in known())
                and len(known()) == len(WELL) + len(SICK)
            ),
            limit=60,
        )
        return known()

    polling = asyncio.create_task(poller.run())
    well = await polled(1)
    studios.are_sick = True
    await polled(1)
    asked_before = {id: len(studios.asked_at[id]) for id in WELL}
    sick = await polled(2)
    gaps = [
        late - early for id in WELL for early, late in pairwise(studios.asked_at[id][max(0, asked_before[id] - 1) :])
    ]
    text, _ = await asyncio.to_thread(render, registry)
    document = pages.status_page(poller.status(), time.time(), version="0", telemetry_path="/metrics")
    studios.are_sick, studios.backups = False, 3
    await polled(1)
    again = await polled(1)
    polling.cancel()
    return Seen(
        well,
        sick,
        again,
        log,
        {
            (sample.labels["studio_id"], sample.name, sample.labels.get("reason", "")): sample.value
            for family in text_string_to_metric_families(text.decode())
            for sample in family.samples
            if "studio_id" in sample.labels
        },
        document,
        gaps,
        studios.endpoint.url,
    )


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    studios = Studios()
    file = tmp_path_factory.mktemp("hostile") / "config.yaml"
    with pytest.MonkeyPatch.context() as patch, studios.endpoint.running():
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing-secret")
        # That what may pass is tried again is what counts here, not how long botocore waits before it.
        patch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
        file.write_text(
            json.dumps(
                {
                    "poll_interval": f"{INTERVAL_SECONDS:g}s",
                    "poll_timeout": f"{int(1000 * TIMEOUT_SECONDS)}ms",
                    "max_concurrent_polls": LANES,
                    "targets": [
                        {"aws_region": "us-west-2", "endpoint_url": studios.endpoint.url, "studios": [*WELL, *SICK]}
                    ],
                }
            )
        )
        with capture_logs() as log:
            yield asyncio.run(watch(studios, file, log))


def counts(studio: StudioStatus) -> Mapping[tuple[str, str], int]:
    assert studio.census is not None
    return {pair: count for pair, count in studio.census.counts.items() if count}


def of(seen: Seen, scenario: Scenario, event: str) -> list[Mapping[str, Any]]:
    return [line for line in seen.log if line.get("studio_id") == scenario.id and line["event"] == event]


GOOD = [scenario for scenario in SICK.values() if scenario.reason is None]
BAD = [scenario for scenario in SICK.values() if scenario.reason is not None]


@pytest.mark.parametrize("scenario", GOOD, ids=lambda scenario: scenario.id)
def test_what_is_odd_but_an_answer_is_counted(seen: Seen, scenario: Scenario) -> None:
    studio = seen.sick[scenario.id]
    assert (studio.up, dict(studio.failures)) == (True, {})
    assert counts(studio) == scenario.counts
    assert of(seen, scenario, "poll failed") == []


@pytest.mark.parametrize("scenario", BAD, ids=lambda scenario: scenario.id)
def test_what_is_wrong_is_a_failed_poll_with_its_reason_and_no_count_changes(seen: Seen, scenario: Scenario) -> None:
    well, studio = seen.well[scenario.id], seen.sick[scenario.id]
    assert studio.error is not None
    assert (studio.error.reason, studio.error.code, str(studio.error)) == (
        scenario.reason,
        scenario.code,
        seen.error_of(scenario),
    )
    assert counts(studio) == {READY: 2}
    assert studio.last_success is not None
    assert studio.last_success < (studio.last_poll or 0)
    # The change may have come in the middle of a poll; since then, every one failed.
    assert set(studio.failures) == {scenario.reason}
    assert well.polls + 2 <= sum(studio.failures.values()) + well.polls <= studio.polls


@pytest.mark.parametrize("scenario", BAD, ids=lambda scenario: scenario.id)
def test_it_is_to_be_seen_in_the_metrics_the_log_and_the_page(seen: Seen, scenario: Scenario) -> None:
    up, failures = "studio_backup_up", "studio_backup_poll_failures_total"
    assert scenario.reason is not None
    assert seen.metrics[scenario.id, up, ""] == 0
    for reason in Reason:
        assert (seen.metrics[scenario.id, failures, reason] > 0) == (reason is scenario.reason)
    [line] = of(seen, scenario, "poll failed")
    assert (line["studio"], line["reason"], line["code"], line["error"], line["advice"]) == (
        f"name of {scenario.id}",
        scenario.reason,
        scenario.code,
        seen.error_of(scenario),
        scenario.reason.advice,
    )
    section = seen.page.partition(f"<h3>name of {scenario.id}</h3>")[2].partition("</section>")[0]
    assert f"The last poll failed: {scenario.reason}" in section
    assert html.escape(seen.error_of(scenario).rstrip(".")) in section


@pytest.mark.parametrize("scenario", SICK.values(), ids=lambda scenario: scenario.id)
def test_it_counts_again_at_once_when_it_is_over(seen: Seen, scenario: Scenario) -> None:
    studio = seen.again[scenario.id]
    assert studio.up
    assert counts(studio) == {READY: 3}
    assert len(of(seen, scenario, "poll works again")) == (scenario.reason is not None)


@pytest.mark.parametrize("scenario", BAD, ids=lambda scenario: scenario.id)
def test_a_failed_poll_is_recorded_within_a_second_of_the_timeout(seen: Seen, scenario: Scenario) -> None:
    assert seen.sick[scenario.id].duration_seconds < TIMEOUT_SECONDS + 1


@pytest.mark.parametrize("studio", WELL)
def test_those_that_are_well_notice_nothing(seen: Seen, studio: str) -> None:
    assert (seen.again[studio].polls > 3, dict(seen.again[studio].failures)) == (True, {})
    assert [line for line in seen.log if line.get("studio_id") == studio] == []
    # Each at its own place in the interval: a gap of two would be a poll that was left out.
    assert len(seen.gaps) >= 2 * len(WELL)
    assert max(seen.gaps) < 2 * INTERVAL_SECONDS
