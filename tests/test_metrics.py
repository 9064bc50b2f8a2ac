"""The exposition: every series of a census, the rules on absence, and what the official tools say of the text."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Callable

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from exporter.aws.account import ApiCalls
from exporter.backups import STATES, Studio
from exporter.metrics import ONE_SHOT, ConfigStatus, StudioBackupCollector, render
from exporter.poller import Poller
from exporter.sources import Page, PollError, Reason
from tests.fakes import FakeSource, backup, failing, listing, target
from tests.tools import tool

STUDIO = Studio("111122223333/aurora", "aurora", 'The "Aurora"\nstudio\\', "111122223333")
LABELS = {"source": "fake", "aws_region": "us-west-2", "studio_id": STUDIO.id, "studio": "aurora"}
OPENMETRICS = "application/openmetrics-text; version=1.0.0"

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def calls() -> ApiCalls:
    made = ApiCalls()
    for seconds in (0.01, 0.05, 0.3, 99.0):
        made.sent("fake", "us-west-2", "main", "ListThings")
        made.took("fake", "us-west-2", "ListThings", seconds)
    made.failed("fake", "us-west-2", "main", "ListThings", "ThrottlingException")
    return made


class Exporter:
    """A poller of one fake source, and its metrics."""

    def __init__(self) -> None:
        self.clock = 0.0
        self.source = FakeSource(listing(STUDIO))
        self.poller = Poller(
            [target(self.source, stale_after=300.0)],
            max_concurrent_polls=4,
            clock=lambda: self.clock,
            wall_clock=lambda: 1_700_000_000.0,
        )

    def poll(self, *pages: Page) -> Exporter:
        self.source.pages = pages
        asyncio.run(self.poller.sweep())
        return self

    def fail(self, reason: Reason = Reason.TIMEOUT) -> Exporter:
        self.source.on_read = failing(reason)
        return self.poll()

    def render(self, accept: str = "", names: tuple[str, ...] = ()) -> tuple[bytes, str]:
        collector = StudioBackupCollector(self.poller.status(), calls(), ConfigStatus(True, 1_600_000_000.0))
        return render(collector, accept, names)

    def text(self, names: tuple[str, ...] = ()) -> str:
        return self.render(names=names)[0].decode()

    def series(self) -> Series:
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(self.text())
            for sample in family.samples
        }


def key(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset({**LABELS, **labels}.items())


PAGE = Page(
    [
        backup("a", STUDIO.id, workstation="ws-1", created_at=100.0),
        backup("b", STUDIO.id, workstation="ws-2", created_at=200.0),
        backup("c", STUDIO.id, workstation="ws-2", created_at=300.0, state="CREATE_FAILED", status_code="error"),
        backup("d", STUDIO.id, workstation="ws-3", created_at=None, state=None, status_code="odd"),
    ]
)


def test_a_census_is_shown_whole() -> None:
    series = Exporter().poll(PAGE).series()
    assert series[key("studio_backups", state="READY", status_code="completed")] == 2
    assert series[key("studio_backups", state="CREATE_FAILED", status_code="error")] == 1
    assert series[key("studio_backups", state="UNKNOWN", status_code="odd")] == 1
    assert series[key("studio_backup_newest_timestamp_seconds", state="READY")] == 200
    assert series[key("studio_backup_oldest_timestamp_seconds", state="READY")] == 100
    assert key("studio_backup_newest_timestamp_seconds", state="UNKNOWN") not in series
    latest = {state: series[key("studio_backup_workstations", latest_state=state)] for state in (*STATES, "UNKNOWN")}
    assert latest == dict.fromkeys(STATES, 0) | {"READY": 1, "CREATE_FAILED": 1, "UNKNOWN": 1}
    assert series[key("studio_backup_workstations_ready")] == 2
    assert series[key("studio_backup_stalest_ready_timestamp_seconds")] == 100
    assert series[key("studio_backup_up")] == 1
    assert series[key("studio_backup_last_success_timestamp_seconds")] == 1_700_000_000
    assert series[key("studio_backup_polls_total")] == 1
    more = {"aws_account_id": "111122223333", "display_name": STUDIO.display_name, "target": "main"}
    assert series[key("studio_backup_studio_info", **more)] == 1


def test_before_the_first_poll_there_is_no_series_of_a_studio() -> None:
    names = {name for name, _ in Exporter().series()}
    assert not {name for name in names if name.startswith("studio_backup")} & {"studio_backups", "studio_backup_up"}
    assert "studio_backup_exporter_build_info" in names


def test_a_studio_that_never_succeeded_has_series_of_its_polls_only() -> None:
    series = Exporter().fail(Reason.ACCESS_DENIED).series()
    assert series[key("studio_backup_up")] == 0
    assert {r.value: series[key("studio_backup_poll_failures_total", reason=r)] for r in Reason} == dict.fromkeys(
        [r.value for r in Reason], 0
    ) | {"access_denied": 1}
    assert {name for name, labels in series if frozenset(LABELS.items()) <= labels} == {
        "studio_backup_up",
        "studio_backup_poll_duration_seconds",
        "studio_backup_polls_total",
        "studio_backup_poll_failures_total",
        "studio_backup_studio_info",
    }


def test_stale_counts_go_and_poll_series_stay() -> None:
    exporter = Exporter().poll(PAGE)
    before = {name for name, _ in exporter.series()}
    exporter.clock = 301.0
    after = {name for name, _ in exporter.fail().series()}
    assert before - after == {
        "studio_backups",
        "studio_backup_newest_timestamp_seconds",
        "studio_backup_oldest_timestamp_seconds",
        "studio_backup_workstations",
        "studio_backup_workstations_ready",
        "studio_backup_stalest_ready_timestamp_seconds",
    }
    assert key("studio_backup_last_success_timestamp_seconds") in exporter.series()


def test_new_failures_are_counted_for_each_failed_state() -> None:
    exporter = Exporter().poll(PAGE)
    assert exporter.series()[key("studio_backup_new_failures_total", state="CREATE_FAILED")] == 0
    more = Page([*PAGE.backups, backup("e", STUDIO.id, state="START_FAILED")])
    assert exporter.poll(more).series()[key("studio_backup_new_failures_total", state="START_FAILED")] == 1


def test_no_id_of_a_backup_or_workstation_is_a_label() -> None:
    text = Exporter().poll(Page([backup("backup-id-1", STUDIO.id, workstation="workstation-id-1")])).text()
    assert "backup-id-1" not in text
    assert "workstation-id-1" not in text


def test_the_discovery_failing_is_shown() -> None:
    exporter = Exporter()
    exporter.source.shown = PollError(Reason.ACCESS_DENIED, "no")
    labels = frozenset({"source": "fake", "aws_region": "us-west-2", "target": "main"}.items())
    assert exporter.poll().series()["studio_backup_discovery_up", labels] == 0


def test_api_calls_are_a_cumulative_histogram() -> None:
    series = Exporter().series()
    name, labels = "studio_backup_api_request_duration_seconds", {"source": "fake", "aws_region": "us-west-2"}
    labels["operation"] = "ListThings"
    buckets = {
        dict(found)["le"]: value
        for (found_name, found), value in series.items()
        if found_name == name + "_bucket" and frozenset(labels.items()) <= found
    }
    assert list(buckets) == ["0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "30.0", "+Inf"]
    assert [buckets[le] for le in ("0.05", "0.25", "0.5", "30.0", "+Inf")] == [2, 2, 3, 3, 4]
    assert series[name + "_sum", frozenset(labels.items())] == pytest.approx(99.36)


def test_every_family_is_described_and_nothing_else_is_collected() -> None:
    exporter = Exporter().poll(PAGE)
    collector = StudioBackupCollector(exporter.poller.status(), calls(), ConfigStatus(True, 0.0))
    described = {family.name: family.type for family in collector.describe()}
    assert {family.name: family.type for family in collector.collect()} == described
    assert all(not family.samples for family in collector.describe())
    assert "_created" not in exporter.text()


def test_only_the_names_that_were_asked_for_come() -> None:
    text = Exporter().poll(PAGE).text(names=("studio_backup_up", "studio_backup_polls_total"))
    assert {line.split("{")[0] for line in text.splitlines() if not line.startswith("#")} == {
        "studio_backup_up",
        "studio_backup_polls_total",
    }


def test_what_once_writes_has_no_counter_and_nothing_of_the_process() -> None:
    text = Exporter().poll(PAGE).text(names=ONE_SHOT)
    assert set(re.findall(r"# TYPE (\w+) (\w+)", text)) == {(name, "gauge") for name in ONE_SHOT}


@pytest.mark.parametrize("version", ["", "1.0.0", "nonsense", "0.0.1"])
def test_openmetrics_is_given_to_who_asks_for_it(version: str) -> None:
    exporter = Exporter().poll(PAGE)
    accept = f"application/openmetrics-text; version={version}"
    body, content_type = exporter.render(accept)
    if version in ("", "1.0.0"):
        assert content_type.startswith("application/openmetrics-text")
        assert body.endswith(b"# EOF\n")
        parsed = parse_openmetrics(body.decode())  # type: ignore[no-untyped-call]  # prometheus_client does not say
        assert {"studio_backups", "studio_backup_polls"} <= {family.name for family in parsed}
    else:
        assert content_type.startswith("text/plain")


def lint(text: str, promtool: str) -> str:
    done = subprocess.run([promtool, "check", "metrics"], input=text, text=True, capture_output=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize("prepare", [Exporter, lambda: Exporter().poll(PAGE), lambda: Exporter().fail()])
def test_promtool_finds_nothing_wrong(prepare: Callable[[], Exporter]) -> None:
    promtool = str(tool("promtool", "Debian's package `prometheus` has it"))
    assert lint("# TYPE wrong counter\nwrong 1\n", promtool) != ""
    # prometheus_client's own python_gc_* metrics are not the exporter's to name.
    own = [line for line in prepare().text().splitlines(keepends=True) if "python_" not in line]
    assert lint("".join(own), promtool) == ""
