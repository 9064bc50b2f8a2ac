"""AWS Backup: the recovery points of a vault, joined with the jobs that made none, or have not yet.

One listing is one vault, which is the studio: its ListBackupJobs within a window, then its
ListRecoveryPointsByBackupVault. The jobs are read first, so that a job which ends meanwhile is not missed: whatever it
made since is among the recovery points.

The facts are those of AWS's service model `backup`, 2018-11-15.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from exporter.aws import Api
from exporter.backups import UNKNOWN, Backup, Studio
from exporter.sources import Deadline, Listing, Page, PollError, Reason, pages, selected
from exporter.sources.answers import account_of, decoder, parse_timestamp, text

#: A recovery point's Status -> the state of a backup. EXPIRED is one past its retention that AWS Backup may not, or
#: cannot, delete.
RECOVERY_POINT_STATES: Mapping[str, str] = {
    "COMPLETED": "READY",
    "AVAILABLE": "READY",
    "CREATING": "CREATE_IN_PROGRESS",
    "PARTIAL": "CREATE_FAILED",
    "DELETING": "DELETE_IN_PROGRESS",
    "EXPIRED": "DELETE_FAILED",
    "STOPPED": "STOPPED",
}
#: A backup job's State -> the state of a backup; None where the job's recovery point is what counts.
JOB_STATES: Mapping[str, str | None] = {
    "CREATED": "CREATE_IN_PROGRESS",
    "PENDING": "CREATE_IN_PROGRESS",
    "RUNNING": "CREATE_IN_PROGRESS",
    "ABORTING": "CREATE_IN_PROGRESS",
    "ABORTED": "CREATE_FAILED",
    "FAILED": "CREATE_FAILED",
    "EXPIRED": "CREATE_FAILED",
    "COMPLETED": None,
    "PARTIAL": None,
}
#: What AWS names of the message categories of jobs that failed. A job without one is UNKNOWN.
JOB_FAILURE_CATEGORIES = ("ACCESSDENIED", "INVALIDPARAMETERS", UNKNOWN)
#: The most that one request may ask for.
PAGE_SIZE = 1000


class _Vault(msgspec.Struct):
    BackupVaultName: str
    BackupVaultArn: str


class _Vaults(msgspec.Struct):
    BackupVaultList: list[_Vault]
    NextToken: str | None = None


class _RecoveryPoint(msgspec.Struct, gc=False):
    """The wanted members of a RecoveryPointByBackupVault. None is relied on to be there, or to have its type."""

    RecoveryPointArn: Any = None
    ResourceArn: Any = None
    ResourceName: Any = None
    ResourceType: Any = None
    Status: Any = None
    StatusMessage: Any = None
    CreationDate: Any = None


class _RecoveryPoints(msgspec.Struct):
    RecoveryPoints: list[_RecoveryPoint]
    NextToken: str | None = None


class _Job(msgspec.Struct, gc=False):
    """The wanted members of a BackupJob, which are no more to be relied on."""

    BackupJobId: Any = None
    RecoveryPointArn: Any = None
    ResourceArn: Any = None
    ResourceName: Any = None
    ResourceType: Any = None
    State: Any = None
    StatusMessage: Any = None
    MessageCategory: Any = None
    CreationDate: Any = None


class _Jobs(msgspec.Struct):
    BackupJobs: list[_Job]
    NextToken: str | None = None


_decode_vaults = decoder(_Vaults)
_decode_recovery_points = decoder(_RecoveryPoints)
_decode_jobs = decoder(_Jobs)


class AwsBackupSource:
    """The vaults of one account in one region: those named in `vaults`, or every one that ListBackupVaults shows.

    `include` and `exclude` match a discovered vault's whole name; nothing to include means all. Jobs created within the
    last `jobs_since` seconds are read. Of both jobs and recovery points only those of `resource_types` count, upper or
    lower case. `clock` tells the Unix time in seconds.
    """

    name = "aws_backup"
    known_pairs = (
        *((state, status) for status, state in RECOVERY_POINT_STATES.items()),
        *(("CREATE_FAILED", category) for category in JOB_FAILURE_CATEGORIES),
        ("CREATE_IN_PROGRESS", UNKNOWN),  # a job that has not ended has nothing to say yet
    )

    def __init__(
        self,
        api: Api,
        *,
        vaults: Sequence[str] = (),
        include: Sequence[re.Pattern[str]] = (),
        exclude: Sequence[re.Pattern[str]] = (),
        jobs_since: float,
        resource_types: Collection[str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._api = api
        self._named = vaults
        self._include = include
        self._exclude = exclude
        self._jobs_since = jobs_since
        self._resource_types = {each.lower() for each in resource_types}
        self._clock = clock
        self._missing: frozenset[str] = frozenset()

    def wants(self, studio: Studio) -> bool:
        """Say whether a vault is named; where none are, whether the patterns are for it."""
        if self._named:
            return studio.name in self._named
        return selected([studio.name], self._include, self._exclude)

    def listings(self, deadline: Deadline) -> Sequence[Listing]:
        """Return a listing for each vault, in the order of their names or of the configuration.

        ListBackupVaults is asked though vaults are named, since only a vault's ARN tells its account. One that is named
        and not shown has a listing all the same, which cannot be read (not_found).
        """
        accounts = {vault.BackupVaultName: account_of(vault.BackupVaultArn) for vault in self._vaults(deadline)}
        vaults = sorted(accounts.items())
        if self._named:
            if not accounts:
                where = self._api.aws_region
                raise PollError(Reason.NOT_FOUND, f"ListBackupVaults: no vault in {where}, so none as named")
            self._missing = frozenset(self._named) - accounts.keys()
            own = next(iter(accounts.values()))
            vaults = [(name, accounts.get(name, own)) for name in self._named]
        studios = [Studio(f"{account}/{vault}", vault, account_id=account) for vault, account in vaults]
        return [Listing(studio.name, self._api.target, (studio,)) for studio in studios if self.wants(studio)]

    def read(self, listing: Listing, deadline: Deadline) -> Iterator[Page]:
        """Yield the vault's recovery points, a page at a time, then the jobs that none of them stands for."""
        vault = listing.key
        if vault in self._missing:
            raise PollError(Reason.NOT_FOUND, f"ListBackupVaults: no vault {vault} in {self._api.aws_region}")
        [studio] = listing.studios or ()
        jobs = [job for page in pages(self._fetch_jobs(vault, deadline), deadline) for job in page]
        made: set[Any] = set()
        workstations: dict[str, str] = {}

        def workstation(wire: _RecoveryPoint | _Job) -> str:
            """Return the resource's ARN, after its name where one is given: one and the same throughout the listing."""
            arn, name = text(wire.ResourceArn), text(wire.ResourceName)
            return workstations.setdefault(arn, f"{name} ({arn})" if name and arn else arn)

        for page in pages(self._fetch_recovery_points(vault, deadline), deadline):
            made.update(text(point.RecoveryPointArn) for point in page)
            yield Page([_recovery_point(point, studio.id, workstation(point)) for point in page])
        made.discard("")
        unmade = (job for job in jobs if _counts(job, made))
        yield Page([_job(job, studio.id, workstation(job)) for job in unmade])

    def _vaults(self, deadline: Deadline) -> Iterator[_Vault]:
        def fetch(token: str | None) -> tuple[list[_Vault], str | None]:
            answer = self._api.fetch(_decode_vaults, "ListBackupVaults", deadline, **_page_of(token))
            if not all(vault.BackupVaultName and account_of(vault.BackupVaultArn) for vault in answer.BackupVaultList):
                raise PollError(Reason.BAD_RESPONSE, "ListBackupVaults: a vault without a name, or account, of its own")
            return answer.BackupVaultList, answer.NextToken

        return (vault for page in pages(fetch, deadline) for vault in page)

    def _fetch_jobs(self, vault: str, deadline: Deadline) -> Callable[[str | None], tuple[list[_Job], str | None]]:
        since = datetime.fromtimestamp(self._clock() - self._jobs_since, UTC)

        def fetch(token: str | None) -> tuple[list[_Job], str | None]:
            wanted = {"ByBackupVaultName": vault, "ByCreatedAfter": since} | _page_of(token)
            answer = self._api.fetch(_decode_jobs, "ListBackupJobs", deadline, **wanted)
            return [job for job in answer.BackupJobs if self._is_of_wanted_type(job)], answer.NextToken

        return fetch

    def _fetch_recovery_points(
        self, vault: str, deadline: Deadline
    ) -> Callable[[str | None], tuple[list[_RecoveryPoint], str | None]]:
        operation = "ListRecoveryPointsByBackupVault"

        def fetch(token: str | None) -> tuple[list[_RecoveryPoint], str | None]:
            wanted = {"BackupVaultName": vault} | _page_of(token)
            answer = self._api.fetch(_decode_recovery_points, operation, deadline, **wanted)
            return [point for point in answer.RecoveryPoints if self._is_of_wanted_type(point)], answer.NextToken

        return fetch

    def _is_of_wanted_type(self, wire: _RecoveryPoint | _Job) -> bool:
        return text(wire.ResourceType).lower() in self._resource_types


def _page_of(token: str | None) -> dict[str, Any]:
    return {"MaxResults": PAGE_SIZE} | ({"NextToken": token} if token else {})


def _counts(job: _Job, made: Collection[str]) -> bool:
    """Say whether a job is to be counted: it failed, or no recovery point of those that were made is counted for it."""
    state = _job_state(job)
    return state is not None and (state == "CREATE_FAILED" or text(job.RecoveryPointArn) not in made)


def _job_state(job: _Job) -> Any:
    """Return the state of the backup that a job is for; None where its recovery point tells."""
    return JOB_STATES.get(job.State, job.State) if isinstance(job.State, str) else UNKNOWN


def _recovery_point(point: _RecoveryPoint, studio: str, workstation: str) -> Backup:
    state = RECOVERY_POINT_STATES.get(point.Status, point.Status) if isinstance(point.Status, str) else point.Status
    return Backup(
        id=text(point.RecoveryPointArn),
        studio=studio,
        workstation=workstation,
        state=state,
        status_code=point.Status,
        created_at=parse_timestamp(point.CreationDate),
        message=text(point.StatusMessage),
    )


def _job(job: _Job, studio: str, workstation: str) -> Backup:
    return Backup(
        id=text(job.BackupJobId),
        studio=studio,
        workstation=workstation,
        state=_job_state(job),
        status_code=job.MessageCategory or None,
        created_at=parse_timestamp(job.CreationDate),
        message=text(job.StatusMessage),
    )
