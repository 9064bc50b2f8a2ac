"""The documents against the code: metrics, links, flags and addresses."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter import cli
from exporter.aws.account import ApiCalls
from exporter.command_line import parser
from exporter.metrics import STUDIO_LABELS, ConfigStatus, StudioBackupCollector
from exporter.sources import Reason
from exporter.status import Status

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def described() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return each metric's type and labels, by its name as it is exposed."""
    collector = StudioBackupCollector(Status((), (), 0, 0, 0.0, ready=True), ApiCalls(), ConfigStatus(True, 0.0))
    return {
        family.name + ("_total" if family.type == "counter" else ""): (family.type, vars(family)["_labelnames"])
        for family in collector.describe()
    }


def test_the_table_of_metrics_is_that_of_the_code() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (gauge|counter|histogram) \|([^|]*)\|", text, re.MULTILINE)
    told = {}
    for name, kind, labels in rows:
        own = tuple(re.findall(r"`(\w+)`", labels))
        told[name] = (kind, (*STUDIO_LABELS, *own) if labels.strip().startswith("studio labels") else own)
    assert told == described()


def test_every_reason_is_told() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \| [^g|]", text, re.MULTILINE)) >= {reason.value for reason in Reason}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert [link for link in links if link and not (document.parent / link).exists()] == []


def flags(of: argparse.ArgumentParser) -> Iterator[str]:
    for action in of._actions:
        yield from action.option_strings
        for inner in action.choices.values() if isinstance(action, argparse._SubParsersAction) else ():
            yield from flags(inner)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_the_exporters_flags_are_flags(document: Path) -> None:
    known = set(flags(parser(cli._COMMANDS)))
    commands = re.findall(
        r"studio-backup-exporter (?:serve|once|check|list|simulate|demo)\b[^`\n]*", document.read_text()
    )
    used = {flag for command in commands for flag in re.findall(r"--[a-z][\w.-]*", command)}
    named = set(re.findall(r"`(--(?:web|log|config)\.[\w.-]+)", document.read_text(encoding="utf-8")))
    assert (used | named) - known == set()


def test_the_tables_of_behaviour_are_those_of_the_tests() -> None:
    # In a process of its own: what test modules say of themselves would depend on which are collected here.
    done = subprocess.run(
        [sys.executable, "-m", "tests.hostile.document", "--check"],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_ports_are_the_defaults() -> None:
    told = {
        port for file in DOCUMENTS for port in re.findall(r"(?:localhost|127\.0\.0\.1):(104\d\d)", file.read_text())
    }
    assert told <= {"10420", "10421"}
