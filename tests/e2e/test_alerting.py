"""An alert's whole way, with real parts: from a backup that fails in the simulator to a person's webhook."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.stack import ROOT, Stack, running
from tests.tools import built, tool
from tests.waiting import wait_until

#: What is empty here, since nothing is throttled, and no data so old that they were withdrawn.
EMPTY = {"API error and throttling ratio B", "Oldest data B"}


@pytest.fixture(scope="module", params=["the distribution's Prometheus", "a current Prometheus"])
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    current = request.param == "a current Prometheus"
    prometheus = built("prometheus") if current else tool("prometheus", "Debian's package `prometheus` has it")
    with running(tmp_path_factory.mktemp("stack"), prometheus) as made:
        for number in range(3):
            made.fleet.put(f"b-{number}", "READY", "STREAMING_SESSION_READY", session=f"s-{number}")
        made.fleet.put("b-3", "CREATE_IN_PROGRESS", "STREAMING_SESSION_CREATE_IN_PROGRESS", age=5)
        yield made


def test_a_failed_backup_arrives_at_the_webhook_and_so_does_its_end(stack: Stack) -> None:
    wait_until(lambda: stack.query('studio:studio_backups:max{state="READY"} == 3'), limit=60)
    stack.fleet.put("b-9", "CREATE_FAILED", "INSUFFICIENT_CAPACITY", session="s-1")
    alert = stack.wait_for_alert("StudioBackupCreateFailed", "firing")
    assert alert["labels"]["studio"] == "aurora"
    assert alert["labels"]["status_code"] == "INSUFFICIENT_CAPACITY"
    assert alert["labels"]["severity"] == "critical"
    assert alert["annotations"]["summary"] == "Studio aurora: CREATE_FAILED backups, 1 with INSUFFICIENT_CAPACITY"
    assert "--state=CREATE_FAILED --studio=us-west-2:stid-e2e" in alert["annotations"]["description"]
    runbook = alert["annotations"]["runbook_url"].rsplit("/", 1)[1]
    assert (ROOT / "docs" / "runbooks" / runbook).exists()
    del stack.fleet.listed["b-9"]
    stack.wait_for_alert("StudioBackupCreateFailed", "resolved")


def expressions() -> list[Any]:
    """Return each panel's queries, with Grafana's variables put in as it would."""
    found = []
    for file in sorted((ROOT / "grafana" / "dashboards").glob("*.json")):
        for panel in json.loads(file.read_text(encoding="utf-8"))["panels"]:
            for target in panel.get("targets", ()):
                expression = target["expr"]
                for macro, value in {
                    "$__rate_interval": "30s",
                    "$__range": "1m",
                    "$__interval": "15s",
                }.items():
                    expression = expression.replace(macro, value)
                for variable in ("source", "aws_region", "studio", "job", "instance"):
                    expression = expression.replace(f"${variable}", ".*")
                name = f"{panel['title']} {target['refId']}"
                found.append(pytest.param(expression, name not in EMPTY, id=name))
    return found


@pytest.mark.parametrize(("expression", "has_data"), expressions())
def test_every_panel_has_data_or_is_empty_as_expected(stack: Stack, expression: str, has_data: bool) -> None:
    for id, state in (("f-1", "CREATE_FAILED"), ("f-2", "DELETE_FAILED")):
        if id not in stack.fleet.listed:
            stack.fleet.put(id, state, "INTERNAL_ERROR", age=2 * 86400 if id == "f-2" else 60)
    wait_until(lambda: bool(stack.query(expression)) == has_data, limit=60)


def test_an_exporter_that_dies_is_told_of(stack: Stack) -> None:
    stack.exporter.kill()
    alert = stack.wait_for_alert("StudioBackupExporterDown", "firing")
    assert alert["labels"]["job"] == "studio-backup-exporter"
