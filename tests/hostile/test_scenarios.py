"""Everything that can be wrong with an answer or its way here, all at once, beside studios that are well."""

from __future__ import annotations

import asyncio
import html
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from exporter import pages
from exporter.aws.account import ApiCalls
from exporter.metrics import ConfigStatus, StudioBackupCollector, render
from exporter.sources import Reason
from exporter.status import StudioStatus
from tests.endpoint import Answer, Endpoint, Request
from tests.environment import set_aws_environment
from tests.hostile.exporter import configured, counts, polling, retry_at_once, studios
from tests.hostile.scenarios import HOST, READY, SCENARIOS, TIMEOUT_SECONDS, Scenario, Visit
from tests.hostile.studios import Studios
from tests.waiting import event_loop_lag, until

WELL = ("well-1", "well-2", "well-3")
SICK = {scenario.id: scenario for part in SCENARIOS.values() for scenario in part}
#: Some fifty studios are work for one process: polled much more often, they would take all of a slow machine.
INTERVAL_SECONDS = 6.0


def sickness(scenario: Scenario, endpoint: Endpoint) -> Callable[[Request], Answer]:
    visits = itertools.count()
    return lambda request: scenario.answer(Visit(request, next(visits), endpoint))


class Seen(msgspec.Struct):
    """What there was to see while the studios were well, while they were sick, and when they were well again."""

    well: Mapping[str, StudioStatus]
    sick: Mapping[str, StudioStatus]
    again: Mapping[str, StudioStatus]
    log: Sequence[Mapping[str, Any]]
    metrics: Mapping[tuple[str, str, str], float]
    page: str
    gaps: Sequence[float]
    lag: float
    url: str

    def error_of(self, scenario: Scenario) -> str:
        return scenario.error.replace(HOST, self.url)


async def watch(far_side: Studios, file: Path, log: Sequence[Mapping[str, Any]]) -> Seen:
    async with polling(file) as poller, event_loop_lag() as lag:

        async def polled(times: int) -> Mapping[str, StudioStatus]:
            """Return what is known once each studio has been polled so many times more."""
            before = studios(poller)
            wanted = {id: times + (before[id].polls if id in before else 0) for id in (*WELL, *SICK)}
            await until(
                lambda: (
                    wanted.keys() == studios(poller).keys()
                    and all(studio.polls >= wanted[id] for id, studio in studios(poller).items())
                ),
                limit=120,
            )
            return studios(poller)

        well = await polled(1)
        far_side.sick = {id: sickness(scenario, far_side.endpoint) for id, scenario in SICK.items()}
        await polled(1)
        settled = {id: len(far_side.asked_at[id]) for id in WELL}
        sick = await polled(2)
        gaps = [late - early for id in WELL for early, late in pairwise(far_side.asked_at[id][settled[id] - 1 :])]
        text, _ = render(StudioBackupCollector(poller.status(), ApiCalls(), ConfigStatus(True, 0.0)))
        document = pages.status_page(poller.status(), time.time(), version="0", telemetry_path="/metrics")
        far_side.sick, far_side.backups = {}, 3
        await polled(1)
        again = await polled(1)
    metrics = {
        (sample.labels["studio_id"], sample.name, sample.labels.get("reason", "")): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if "studio_id" in sample.labels
    }
    return Seen(well, sick, again, log, metrics, document, gaps, lag.worst, far_side.endpoint.url)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    far_side, folder = Studios(), tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as patch, far_side.endpoint.running(), capture_logs() as log:
        set_aws_environment(patch, folder)
        retry_at_once(patch)
        file = configured(
            folder,
            {"endpoint_url": far_side.endpoint.url, "studios": [*WELL, *SICK]},
            poll_interval=f"{INTERVAL_SECONDS:g}s",
            poll_timeout=f"{1000 * TIMEOUT_SECONDS:g}ms",
        )
        return asyncio.run(watch(far_side, file, log))


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
    assert seen.sick[scenario.id].duration_seconds < TIMEOUT_SECONDS + 1 + seen.lag


@pytest.mark.parametrize("studio", WELL)
def test_those_that_are_well_notice_nothing(seen: Seen, studio: str) -> None:
    assert (seen.again[studio].polls > 3, dict(seen.again[studio].failures)) == (True, {})
    assert [line for line in seen.log if line.get("studio_id") == studio] == []
    # Each at its own place in the interval: a gap of two would be a poll that was left out.
    assert len(seen.gaps) >= 2 * len(WELL)
    assert max(seen.gaps) < 2 * INTERVAL_SECONDS
