"""compose.yaml: what can be said of it without a container engine."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from exporter.cli import _COMMANDS
from exporter.command_line import parser
from exporter.config import load
from tests.tools import tool

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))


def test_images_are_pinned_and_mounts_are_there() -> None:
    for service in COMPOSE["services"].values():
        assert "build" in service or re.search(r":v?\d+\.\d+\.\d+$", service["image"])
        for mount in service.get("volumes", ()):
            assert (ROOT / mount.split(":")[0]).exists(), mount


def test_ports_are_published_on_the_loopback_only() -> None:
    published = [port for service in COMPOSE["services"].values() for port in service.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_the_exporters_commands_and_configuration_are_right() -> None:
    for name in ("simulator", "exporter"):
        parser(_COMMANDS).parse_args(COMPOSE["services"][name]["command"])
    [target] = load(ROOT / "compose" / "config.yaml").targets
    assert target.endpoint_url == "http://127.0.0.1:10421"


def test_promtool_and_amtool_accept_the_files(tmp_path: Path) -> None:
    promtool = tool("promtool", "Debian's package `prometheus` has it")
    amtool = tool("amtool", "Debian's package `prometheus-alertmanager` has it")
    for file in ("compose/prometheus.yml", "grafana/alerts/studio-backup-exporter.yml"):
        (tmp_path / Path(file).name).write_bytes((ROOT / file).read_bytes())
    subprocess.run([promtool, "check", "config", tmp_path / "prometheus.yml"], check=True)
    subprocess.run([amtool, "check-config", ROOT / "compose" / "alertmanager.yml"], check=True)
