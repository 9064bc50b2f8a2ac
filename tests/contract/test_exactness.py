"""The exporter's counts against those of AWS's last client, through its own paginators, pair by pair."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter import simulator
from exporter.backups import STATES
from tests.contract.conftest import AwsClient

NOW = 1.79e9
FLEET = simulator.Fleet(1, studios=3, sessions=700)
SIZES = {studio.id: len(FLEET.backups(studio.id, NOW)) for studio in FLEET.studios(NOW)}


def test_the_fleet_has_every_state_and_status_code() -> None:
    backups = [backup for studio in SIZES for backup in FLEET.backups(studio, NOW)]
    assert len(backups) >= 20_000
    assert {backup.state for backup in backups} == set(STATES)
    assert len({backup.status_code for backup in backups}) == 16


@contextmanager
def uncounted() -> Iterator[None]:
    """Have no lines counted in threads that begin meanwhile: over 21,379 requests that takes longer than they do."""
    tracer = threading.gettrace()
    threading.settrace(None)
    try:
        yield
    finally:
        threading.settrace(tracer)


@pytest.mark.parametrize("page_size", [1, 7, 100, 1000])
def test_counts_are_those_of_awss_own_client(aws_client: AwsClient, tmp_path: Path, page_size: int) -> None:
    app = simulator.create_app(FLEET, clock=lambda: NOW, page_size=page_size)
    file = tmp_path / "config.yaml"
    with uncounted(), simulator.running(app) as url:
        theirs = {
            (studio, *pair.split()): count
            for studio, counted in aws_client("count", url).items()
            for pair, count in counted.items()
        }
        app.state.requests.clear()
        file.write_text(
            f"poll_interval: 10m\npoll_timeout: 5m\ntargets: [{{aws_region: us-west-2, endpoint_url: '{url}'}}]\n"
        )
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
        done = subprocess.run(
            [sys.executable, "-m", "exporter", "once", f"--config.file={file}"],
            text=True,
            capture_output=True,
            check=True,
            env=environment,
        )
    ours = {
        (sample.labels["studio_id"], sample.labels["state"], sample.labels["status_code"]): sample.value
        for family in text_string_to_metric_families(done.stdout)
        for sample in family.samples
        if sample.name == "studio_backups"
    }
    assert {pair: count for pair, count in ours.items() if count} == theirs
    assert sum(ours.values()) == sum(SIZES.values())
    # A page costs one request, and a poll its pages.
    assert app.state.requests == {
        ("ListStudios", ""): max(1, -(-len(SIZES) // page_size)),
        **{("ListStreamingSessionBackups", studio): -(-size // page_size) for studio, size in SIZES.items()},
    }
