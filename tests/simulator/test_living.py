"""The simulator as EC2 and as AWS Backup: through stock boto3, and counted by the exporter beside Nimble Studio."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from exporter import simulator
from exporter.simulator import Fleet, FleetBackup
from tests.backup_server import MODEL, check
from tests.commands import counts, run

NOW = 1.79e9
FLEET = Fleet(5, studios=2, sessions=30, failure_ratio=0.2)
BACKUPS: Mapping[str, list[FleetBackup]] = {studio.name: FLEET.backups(studio.id, NOW) for studio in FLEET.studios(NOW)}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with simulator.running(simulator.create_app(FLEET, clock=lambda: NOW, page_size=70)) as running:
        yield running


def client(service: str, url: str) -> Any:
    return boto3.client(service, region_name="us-west-2", endpoint_url=url)


def test_boto3_lists_the_snapshots(url: str) -> None:
    pages = client("ec2", url).get_paginator("describe_snapshots").paginate(OwnerIds=["self"])
    snapshots = [snapshot for page in pages for snapshot in page["Snapshots"]]
    assert len({snapshot["SnapshotId"] for snapshot in snapshots}) == sum(map(len, BACKUPS.values()))
    studios = Counter(tag["Value"] for snapshot in snapshots for tag in snapshot["Tags"] if tag["Key"] == "Studio")
    assert studios == {name: len(backups) for name, backups in BACKUPS.items()}
    failed = [snapshot for snapshot in snapshots if snapshot["State"] == "error"]
    assert failed
    assert all(snapshot["StateMessage"].startswith("Client.InternalError: ") for snapshot in failed)
    with pytest.raises(ClientError) as caught:
        client("ec2", url).describe_volumes()
    assert caught.value.response["Error"]["Code"] == "InvalidAction"


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        ("ListBackupVaults", {}),
        ("ListRecoveryPointsByBackupVault", {"BackupVaultName": "aurora"}),
        ("ListBackupJobs", {"ByBackupVaultName": "aurora"}),
    ],
)
def test_the_lists_of_aws_backup_are_of_its_own_shapes(url: str, operation: str, parameters: dict[str, str]) -> None:
    bodies: list[Any] = []
    backup = client("backup", url)
    backup.meta.events.register("before-parse", lambda response_dict, **_: bodies.append(response_dict["body"]))
    paginator = backup.get_paginator(xform_name(operation))
    assert sum(len(next(v for v in page.values() if isinstance(v, list))) for page in paginator.paginate(**parameters))
    for body in bodies:
        check(MODEL.operation_model(operation).output_shape, json.loads(body))


def test_a_vault_that_is_not_there_is_not_found(url: str) -> None:
    with pytest.raises(ClientError) as caught:
        client("backup", url).list_recovery_points_by_backup_vault(BackupVaultName="nobodys")
    assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"


def test_all_three_sources_are_counted_in_one_run(url: str, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        "targets:\n"
        + "".join(
            f"  - {{source: {source}, aws_region: us-west-2, endpoint_url: '{url}'}}\n"
            for source in ("nimble", "ebs", "aws_backup")
        )
    )
    done = run("once", f"--config.file={file}")
    assert (done.returncode, done.stderr) == (0, "")
    counted = counts(done.stdout)
    names = {studio.id: studio.name for studio in FLEET.studios(NOW)}
    for name, backups in BACKUPS.items():
        states = Counter(backup.state for backup in backups)
        mine = Counter[tuple[str, str]]()
        for (studio, state, _), number in counted.items():
            source = "nimble" if studio in names else "living"
            if names.get(studio, studio.rpartition("/")[2]) == name:
                mine[source, state] += int(number)
        assert {state: number for (source, state), number in mine.items() if source == "nimble"} == states
        # As a snapshot and as a job or a recovery point: each that failed is told by both.
        assert mine["living", "CREATE_FAILED"] == 2 * states["CREATE_FAILED"]
        assert mine["living", "CREATE_IN_PROGRESS"] == 2 * states["CREATE_IN_PROGRESS"]
        assert mine["living", "DELETE_FAILED"] == states["DELETE_FAILED"]
        assert mine["living", "DELETED"] == states["DELETED"]
