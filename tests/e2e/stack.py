"""The whole of it, with real parts: simulator -> exporter -> Prometheus -> Alertmanager -> a webhook.

Rules are the bundled ones with their waits taken out (`for`, `keep_firing_for`, the groups' intervals), so that what
takes minutes in earnest takes seconds here; how long they wait is what promtool's tests are for.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from exporter import simulator
from exporter.simulator import FleetBackup, FleetStudio
from tests.commands import free_port
from tests.endpoint import Endpoint, Request, http
from tests.tools import tool
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
RULES = ROOT / "grafana" / "alerts" / "studio-backup-exporter.yml"
JOB = "studio-backup-exporter"


class HandMadeFleet:
    """One studio, whose backups are what a test puts there."""

    def __init__(self) -> None:
        self.studio = FleetStudio("us-west-2:stid-e2e", "aurora", "Aurora Pictures", 1.7e9)
        self.listed: dict[str, FleetBackup] = {}

    def put(self, id: str, state: str, code: str, *, age: float = 60.0, session: str = "s-1") -> None:
        self.listed[id] = FleetBackup(id, session, "lp-1", "user-1", state, code, f"is {state}", time.time() - age)

    def studios(self, now: float) -> Sequence[FleetStudio]:
        return [self.studio]

    def backups(self, studio_id: str, now: float) -> Sequence[FleetBackup]:
        return list(self.listed.values())


class Stack:
    """What runs, and what a test does with it."""

    def __init__(self, fleet: HandMadeFleet, prometheus_port: int, exporter: subprocess.Popen[bytes]) -> None:
        self.fleet = fleet
        self.exporter = exporter
        self.notified: list[Mapping[str, Any]] = []
        self._prometheus = f"http://127.0.0.1:{prometheus_port}"

    def take_notification(self, request: Request) -> bytes:
        self.notified += json.loads(request.body)["alerts"]
        return http({})

    def query(self, expression: str) -> list[Any]:
        """Return the result of an instant query."""
        url = f"{self._prometheus}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                found: list[Any] = json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{expression}: {error.read().decode()}") from None
        return found

    def wait_for_alert(self, name: str, status: str) -> Mapping[str, Any]:
        """Return the notification of an alert as firing or as resolved."""

        def found() -> list[Mapping[str, Any]]:
            return [
                alert for alert in self.notified if alert["labels"]["alertname"] == name and alert["status"] == status
            ]

        wait_until(found, limit=60)
        return found()[-1]


def hurried(rules: str) -> str:
    """Return the rules without their waits."""
    rules = re.sub(r"^(\s+)interval: \S+$", r"\1interval: 1s", rules, flags=re.MULTILINE)
    return re.sub(r"^(\s+)(for|keep_firing_for): \S+$", r"\1\2: 0s", rules, flags=re.MULTILINE)


@contextmanager
def process(log: Path, *command: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    with log.open("wb") as output:
        started = subprocess.Popen([str(part) for part in command], stdout=output, stderr=output, env=environment)
        try:
            yield started
        finally:
            started.terminate()
            started.wait(30)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def running(folder: Path, prometheus: Path) -> Iterator[Stack]:
    """Run all of it, with its files in a folder; it answers when this begins and has ended when this is left."""
    alertmanager = tool("prometheus-alertmanager", "Debian's package of that name has it")
    fleet = HandMadeFleet()
    ports = {name: free_port() for name in ("exporter", "prometheus", "alertmanager")}
    (folder / "rules.yml").write_text(hurried(RULES.read_text(encoding="utf-8")))
    (folder / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
        "rule_files: [rules.yml]\n"
        f"alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{ports['alertmanager']}']}}]}}]}}\n"
        f"scrape_configs: [{{job_name: {JOB}, static_configs: [{{targets: ['127.0.0.1:{ports['exporter']}']}}]}}]\n"
    )
    with ExitStack() as stack:
        api = stack.enter_context(simulator.running(simulator.create_app(fleet)))
        (folder / "config.yaml").write_text(
            "poll_interval: 1s\ntargets:\n"
            f"  - {{name: main, aws_region: us-west-2, endpoint_url: '{api}'}}\n"
            f"  - {{name: lost, aws_region: us-west-2, endpoint_url: '{api}', studios: [no-such-studio]}}\n"
        )
        hook = stack.enter_context(Endpoint(lambda request: made.take_notification(request)).running())
        (folder / "alertmanager.yml").write_text(
            "route: {receiver: hook, group_by: ['...'], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}\n"
            f"receivers: [{{name: hook, webhook_configs: [{{url: '{hook.url}', send_resolved: true}}]}}]\n"
        )
        exporter = stack.enter_context(
            process(
                folder / "exporter.log", sys.executable, "-m", "exporter", "serve",
                f"--config.file={folder / 'config.yaml'}", f"--web.listen-address=127.0.0.1:{ports['exporter']}",
            )
        )  # fmt: skip
        made = Stack(fleet, ports["prometheus"], exporter)
        stack.enter_context(
            process(
                folder / "alertmanager.log", alertmanager, f"--config.file={folder / 'alertmanager.yml'}",
                f"--storage.path={folder / 'alertmanager'}", "--cluster.listen-address=",
                f"--web.listen-address=127.0.0.1:{ports['alertmanager']}",
            )
        )  # fmt: skip
        stack.enter_context(
            process(
                folder / "prometheus.log", prometheus, f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                f"--web.listen-address=127.0.0.1:{ports['prometheus']}",
            )
        )  # fmt: skip
        wait_until(lambda: all(answers(f"http://127.0.0.1:{port}/-/ready") for port in ports.values()), limit=60)
        yield made
