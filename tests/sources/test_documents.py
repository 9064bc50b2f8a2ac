"""docs/sources.md and its example say what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

from exporter.config import AwsBackupTarget, EbsTarget, load
from exporter.sources import aws_backup, ebs

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "sources.md").read_text(encoding="utf-8")
EXAMPLE = DOCS / "examples" / "40-workstations.yaml"


def table(heading: str) -> dict[str, str]:
    """Return the first two columns of the table whose first column is headed so."""
    _, _, rest = TEXT.partition(f"| {heading} |")
    assert rest, heading
    rows: dict[str, str] = {}
    for line in rest.splitlines()[2:]:
        if not line.startswith("|"):
            break
        word, state = (cell.strip().strip("`") for cell in line.split("|")[1:3])
        rows[word] = state
    return rows


def test_the_tables_are_the_mappings() -> None:
    assert table("State") == ebs.STATES
    assert table("recovery point's Status") == aws_backup.RECOVERY_POINT_STATES
    skipped = "not counted: its recovery point is"
    assert table("job's State") == {word: state or skipped for word, state in aws_backup.JOB_STATES.items()}


def test_the_policies_allow_what_is_asked_and_no_more() -> None:
    policies = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)]
    actions = [policy["Statement"][0]["Action"] for policy in policies]
    assert actions == [
        ["ec2:DescribeSnapshots"],
        ["backup:ListBackupVaults", "backup:ListRecoveryPointsByBackupVault", "backup:ListBackupJobs"],
    ]


def test_the_example_loads_and_its_cost_is_reckoned_right() -> None:
    config = load(EXAMPLE)
    snapshots, vaults = config.targets
    assert isinstance(snapshots, EbsTarget)
    assert isinstance(vaults, AwsBackupTarget)
    polls = 86_400 / config.times(snapshots).poll_interval
    assert polls == 86_400 / config.times(vaults).poll_interval
    pages = -(-40 * 2 * 4 * 14 // ebs.PAGE_SIZE)
    jobs = 40 * vaults.jobs_since / 86_400
    vault_pages = -(-40 * 35 // aws_backup.PAGE_SIZE) + -(-jobs // aws_backup.PAGE_SIZE)
    discoveries = 86_400 / config.discovery_interval
    for figure in (
        f"{pages} x {polls:.0f} = {pages * polls:,.0f} requests a day",
        f"40 x {vaults.jobs_since / 86_400:.0f} = {jobs:.0f} jobs",
        f"{vault_pages:.0f} x {polls:.0f} = {vault_pages * polls:,.0f} requests a day, and {discoveries:.0f}",
    ):
        assert figure in " ".join(TEXT.split())
