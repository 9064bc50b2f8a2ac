"""The fleet as EC2 and AWS Backup would tell of it: the same workstations, backed up as snapshots and in vaults.

In go the fleet's backups, out come a DescribeSnapshots page as XML and the three lists of AWS Backup as plain data. The
members and their places are those of AWS's service models `ec2` of 2016-11-15 and `backup` of 2018-11-15.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape

from exporter.simulator.fleet import ACCOUNT_ID, REGION, FleetBackup, FleetStudio

_EC2 = "http://ec2.amazonaws.com/doc/2016-11-15/"
#: A backup's state -> a snapshot's; any other is `completed`.
_SNAPSHOT_STATES = {"CREATE_IN_PROGRESS": "pending", "CREATE_FAILED": "error", "DELETED": "recoverable"}
#: A backup's state -> a recovery point's Status; any other is COMPLETED.
_RECOVERY_POINT_STATES = {"DELETE_IN_PROGRESS": "DELETING", "DELETE_FAILED": "EXPIRED"}
#: A backup's state -> the State of the job that made nothing, or not yet.
_JOB_STATES = {"CREATE_IN_PROGRESS": "RUNNING", "CREATE_FAILED": "FAILED"}


def snapshots_page(page: Sequence[tuple[FleetStudio, FleetBackup]], token: str | None, request_id: str) -> str:
    """Return a page of DescribeSnapshots."""
    items = "".join(_snapshot(studio, backup) for studio, backup in page)
    after = f"<nextToken>{escape(token)}</nextToken>" if token else ""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<DescribeSnapshotsResponse xmlns="{_EC2}">'
        f"<requestId>{request_id}</requestId><snapshotSet>{items}</snapshotSet>{after}</DescribeSnapshotsResponse>"
    )


def ec2_error(code: str, message: str, request_id: str) -> str:
    """Return an error as EC2 tells it."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error><Code>{code}</Code>'
        f"<Message>{escape(message)}</Message></Error></Errors><RequestID>{request_id}</RequestID></Response>"
    )


def vault(studio: FleetStudio) -> Mapping[str, Any]:
    """Return a studio's vault, as ListBackupVaults shows it."""
    return {"BackupVaultName": studio.name, "BackupVaultArn": vault_arn(studio), "CreationDate": studio.created_at}


def vault_arn(studio: FleetStudio) -> str:
    """Return the Amazon Resource Name of a studio's vault."""
    return f"arn:aws:backup:{REGION}:{ACCOUNT_ID}:backup-vault:{studio.name}"


def recovery_points(studio: FleetStudio, backups: Sequence[FleetBackup]) -> list[Mapping[str, Any]]:
    """Return the recovery points of a studio's vault."""
    return [
        {
            "RecoveryPointArn": f"arn:aws:ec2:{REGION}::image/ami-{backup.id[2:19]}",
            "BackupVaultName": studio.name,
            "BackupVaultArn": vault_arn(studio),
            "ResourceArn": _instance(backup),
            "ResourceName": _workstation(studio, backup),
            "ResourceType": "EC2",
            "Status": _RECOVERY_POINT_STATES.get(backup.state, "COMPLETED"),
            "CreationDate": backup.created_at,
        }
        for backup in backups
        if backup.state not in _JOB_STATES and backup.state != "DELETED"
    ]


def jobs(studio: FleetStudio, backups: Sequence[FleetBackup]) -> list[Mapping[str, Any]]:
    """Return the backup jobs of a studio's vault."""
    return [
        {
            "BackupJobId": backup.id,
            "BackupVaultName": studio.name,
            "BackupVaultArn": vault_arn(studio),
            "ResourceArn": _instance(backup),
            "ResourceName": _workstation(studio, backup),
            "ResourceType": "EC2",
            "State": _JOB_STATES[backup.state],
            "StatusMessage": backup.message,
            "CreationDate": backup.created_at,
        }
        | ({"MessageCategory": "ACCESSDENIED"} if backup.state == "CREATE_FAILED" else {})
        for backup in backups
        if backup.state in _JOB_STATES
    ]


def _snapshot(studio: FleetStudio, backup: FleetBackup) -> str:
    state = _SNAPSHOT_STATES.get(backup.state, "completed")
    started = datetime.fromtimestamp(backup.created_at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    members = {
        "snapshotId": f"snap-{backup.id[2:19]}",
        "volumeId": f"vol-{backup.session_id[2:19]}",
        "status": state,
        "statusMessage": f"Client.InternalError: {backup.message}" if state == "error" else "",
        "startTime": started,
        "progress": "100%" if state == "completed" else "0%",
        "ownerId": ACCOUNT_ID,
        "volumeSize": "500",
        "storageTier": "standard",
    }
    tags = {"Studio": studio.name, "Workstation": _workstation(studio, backup)}
    tag_set = "".join(f"<item><key>{key}</key><value>{escape(value)}</value></item>" for key, value in tags.items())
    told = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in members.items() if value)
    return f"<item>{told}<tagSet>{tag_set}</tagSet></item>"


def _workstation(studio: FleetStudio, backup: FleetBackup) -> str:
    return f"{studio.name}-{backup.session_id[2:8]}"


def _instance(backup: FleetBackup) -> str:
    return f"arn:aws:ec2:{REGION}:{ACCOUNT_ID}:instance/i-{backup.session_id[2:19]}"
