"""The rules with tools newer than the distribution's: a current promtool, and pint, a linter of rules."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.grafana.vocabulary import RULES
from tests.tools import built

RULE_FILE = RULES / "studio-backup-exporter.yml"
#: pint without a server to ask: what it can see in the file alone, the least serious findings too.
PINT = ("--offline", "--no-color", "lint", "--min-severity=info", "--fail-on=info")


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], text=True, capture_output=True, check=False)


def test_pint_finds_nothing() -> None:
    done = run(built("pint"), *PINT, RULE_FILE)
    assert done.returncode == 0, done.stdout + done.stderr


def test_pint_would_find_a_mistake(tmp_path: Path) -> None:
    file = tmp_path / "rules.yml"
    file.write_text("groups: [{name: g, rules: [{alert: A, expr: 'rate(x[5m])', annotations: {a: '{{ $labels.x }'}}]}]")
    assert run(built("pint"), *PINT, file).returncode != 0


def test_a_current_promtool_accepts_the_rules() -> None:
    done = run(built("promtool"), "check", "rules", "--lint=all", "--lint-fatal", RULE_FILE)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", sorted((RULES / "tests").glob("*.test.yaml")), ids=lambda file: file.name)
def test_a_current_promtool_finds_the_alerts_as_they_should_be(file: Path) -> None:
    done = run(built("promtool"), "test", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr
