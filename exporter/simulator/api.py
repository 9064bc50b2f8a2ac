"""The Nimble Studio API over HTTP, as AWS's clients know it: four operations, their errors, and faults by request.

In go a fleet and the faults that are wanted, out comes an ASGI application. Paths, members, errors and the header
`x-amzn-ErrorType` are those of AWS's service model `nimble` of 2020-08-01. The same address answers as EC2 and as AWS
Backup, for what the exporter asks of them: a request's signature says which service it is for.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from exporter.simulator import living
from exporter.simulator.fleet import REGION, FleetBackup, FleetLike, FleetStudio
from exporter.simulator.listings import ApiError, Listings

_STATUSES = {
    "ValidationException": 400,
    "MissingAuthenticationTokenException": 403,
    "ResourceNotFoundException": 404,
    "UnknownOperationException": 404,
    "InvalidAction": 400,
    "MethodNotAllowedException": 405,
    "ThrottlingException": 429,
    "InternalServerErrorException": 500,
}
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


class _Service:
    """What every API here has: a fleet to tell of, a clock, and the listings of its tokens."""

    def __init__(self, fleet: FleetLike, clock: Callable[[], float], listings: Listings) -> None:
        self._fleet = fleet
        self._clock = clock
        self._listings = listings


class _Nimble(_Service):
    """The operations of Nimble Studio."""

    def answer(self, path: Sequence[str], query: Mapping[str, str]) -> Mapping[str, Any]:
        """Return the answer of the operation that a path calls."""
        match path:
            case ["2020-08-01", "studios"]:
                return self._list_studios(query)
            case ["2020-08-01", "studios", studio_id]:
                return {"studio": _studio(self._find(studio_id))}
            case ["2020-08-01", "studios", studio_id, "streaming-session-backups"]:
                return self._list_backups(studio_id, query)
            case ["2020-08-01", "studios", studio_id, "streaming-session-backups", backup_id]:
                return self._get_backup(studio_id, backup_id)
        raise ApiError("UnknownOperationException", "There is no such operation here.")

    def _list_studios(self, query: Mapping[str, str]) -> Mapping[str, Any]:
        page, token = self._listings.page(
            query.get("nextToken"), ("studios",), lambda: self._fleet.studios(self._clock())
        )
        return _with_token({"studios": [_studio(studio) for studio in page]}, token)

    def _list_backups(self, studio_id: str, query: Mapping[str, str]) -> Mapping[str, Any]:
        owner = query.get("ownedBy", "")

        def find() -> Sequence[FleetBackup]:
            backups = self._fleet.backups(self._find(studio_id).id, self._clock())
            return [backup for backup in backups if owner in ("", backup.owner)]

        page, token = self._listings.page(query.get("nextToken"), ("backups", studio_id, owner), find)
        return _with_token({"streamingSessionBackups": [_backup(backup) for backup in page]}, token)

    def _get_backup(self, studio_id: str, backup_id: str) -> Mapping[str, Any]:
        for backup in self._fleet.backups(self._find(studio_id).id, self._clock()):
            if backup.id == backup_id:
                return {"streamingSessionBackup": _backup(backup)}
        raise ApiError("ResourceNotFoundException", f"There is no backup {backup_id} in the studio.")

    def _find(self, studio_id: str) -> FleetStudio:
        return _only(self._fleet.studios(self._clock()), "id", studio_id, "studio")


class _AwsBackup(_Service):
    """AWS Backup: each studio's backups are in a vault of its name."""

    def answer(self, path: Sequence[str], query: Mapping[str, str]) -> Mapping[str, Any]:
        """Return the answer of the operation that a path calls."""
        match path:
            case ["backup-vaults"]:
                return self._list("BackupVaultList", ("vaults",), query, self._vaults)
            case ["backup-vaults", name, "recovery-points"]:
                return self._list(
                    "RecoveryPoints", ("points", name), query, lambda: self._of(name, living.recovery_points)
                )
            case ["backup-jobs"]:
                name = query.get("backupVaultName", "")
                return self._list("BackupJobs", ("jobs", name), query, lambda: self._of(name, living.jobs))
        raise ApiError("UnknownOperationException", "There is no such operation here.")

    def _vaults(self) -> Sequence[Any]:
        return [living.vault(studio) for studio in self._fleet.studios(self._clock())]

    def _of(self, name: str, tell: Callable[[FleetStudio, Sequence[FleetBackup]], Sequence[Any]]) -> Sequence[Any]:
        studio = _only(self._fleet.studios(self._clock()), "name", name, "vault")
        return tell(studio, self._fleet.backups(studio.id, self._clock()))

    def _list(
        self, member: str, scope: tuple[str, ...], query: Mapping[str, str], find: Callable[[], Sequence[Any]]
    ) -> Mapping[str, Any]:
        page, token = self._listings.page(query.get("nextToken"), scope, find)
        return {member: page} | ({"NextToken": token} if token else {})


class _Ec2(_Service):
    """EC2: each backup is a snapshot, with the tags Studio and Workstation. Filters are not looked at."""

    def answer(self, form: Mapping[str, str], request_id: str) -> str:
        """Return the answer to a request's form."""
        if form.get("Action") != "DescribeSnapshots":
            raise ApiError("InvalidAction", f"The action {form.get('Action', '')} is not valid here.")

        def find() -> Sequence[tuple[FleetStudio, FleetBackup]]:
            now = self._clock()
            return [(each, backup) for each in self._fleet.studios(now) for backup in self._fleet.backups(each.id, now)]

        page, token = self._listings.page(form.get("NextToken"), ("snapshots",), find)
        return living.snapshots_page(page, token, request_id)


def _only(studios: Sequence[FleetStudio], member: str, wanted: str, what: str) -> FleetStudio:
    for studio in studios:
        if getattr(studio, member) == wanted:
            return studio
    raise ApiError("ResourceNotFoundException", f"There is no {what} {wanted}.")


def create_app(
    fleet: FleetLike,
    *,
    clock: Callable[[], float] = time.time,
    page_size: int = 100,
    latency: float = 0.0,
    throttle_ratio: float = 0.0,
    error_ratio: float = 0.0,
    seed: int = 0,
) -> Starlette:
    """Return the application.

    `clock` gives the Unix time, `latency` is in seconds, the ratios are of requests and drawn from `seed`.
    `app.state.requests` counts what was asked for, by (operation, studio id or "").
    """
    listings = Listings(page_size, clock)
    nimble = _Nimble(fleet, clock, listings)
    backup = _AwsBackup(fleet, clock, listings)
    ec2 = _Ec2(fleet, clock, listings)
    requests: Counter[tuple[str, str]] = Counter()
    dice = random.Random(seed)  # noqa: S311  # no secret hangs on it

    def fault() -> None:
        if dice.random() < throttle_ratio:
            raise ApiError("ThrottlingException", "Too many requests.")
        if dice.random() < error_ratio:
            raise ApiError("InternalServerErrorException", "Something went wrong, as it was asked to.")

    async def endpoint(request: Request) -> Response:
        if latency:
            await asyncio.sleep(latency)
        request_id = f"{dice.getrandbits(128):032x}"
        service = _service(request)
        # The path as it was sent: a %2F in an id is part of the id.
        path = [unquote(part) for part in request.scope["raw_path"].decode("ascii").strip("/").split("/")]
        try:
            if service == "ec2":
                form = dict(parse_qsl((await request.body()).decode()))
                requests[form.get("Action", ""), ""] += 1
                fault()
                return _answer(ec2.answer(form, request_id).encode(), 200, request_id, media_type="text/xml")
            if not service:
                raise ApiError("MissingAuthenticationTokenException", "The request is not signed for a service here.")
            if request.method != "GET":
                raise ApiError("MethodNotAllowedException", "Every operation here is a GET.")
            requests[_operation(path)] += 1
            fault()
            answer = (backup if service == "backup" else nimble).answer(path, request.query_params)
            return _answer(msgspec.json.encode(answer), 200, request_id)
        except ApiError as error:
            status = _STATUSES[error.name]
            if service == "ec2":
                told = living.ec2_error(error.name, str(error), request_id).encode()
                return _answer(told, status, request_id, media_type="text/xml")
            body = {"code": error.name, "context": {}, "message": str(error)}
            return _answer(msgspec.json.encode(body), status, request_id, error_type=error.name)

    def gone(_request: Request, _error: Exception) -> Response:
        return Response(status_code=400)  # which nobody reads

    app = Starlette(
        routes=[Route("/{path:path}", endpoint, methods=_METHODS)], exception_handlers={ClientDisconnect: gone}
    )
    app.state.requests = requests
    return app


def _answer(
    body: bytes, status: int, request_id: str, *, media_type: str = "application/json", error_type: str = ""
) -> Response:
    headers = {"x-amzn-RequestId": request_id} | ({"x-amzn-ErrorType": error_type} if error_type else {})
    return Response(body, status, headers, media_type)


def _operation(path: Sequence[str]) -> tuple[str, str]:
    """Return what a request is counted as: its operation, and its studio or vault."""
    match path:
        case ["2020-08-01", "studios"]:
            return "ListStudios", ""
        case ["2020-08-01", "studios", studio]:
            return "GetStudio", studio
        case ["2020-08-01", "studios", studio, "streaming-session-backups"]:
            return "ListStreamingSessionBackups", studio
        case ["2020-08-01", "studios", studio, "streaming-session-backups", _]:
            return "GetStreamingSessionBackup", studio
        case ["backup-vaults"]:
            return "ListBackupVaults", ""
        case ["backup-vaults", vault, "recovery-points"]:
            return "ListRecoveryPointsByBackupVault", vault
        case ["backup-jobs"]:
            return "ListBackupJobs", ""
    return "other", ""


def _service(request: Request) -> str:
    """Return the service that a request is signed for (Signature Version 4), "" where it is for none that is here."""
    scope = re.match(
        r"AWS4-HMAC-SHA256 Credential=[^,]*/(nimble|ec2|backup)/aws4_request\b",
        request.headers.get("authorization", ""),
    )
    return scope[1] if scope else ""


def _with_token(answer: dict[str, Any], token: str | None) -> Mapping[str, Any]:
    return answer | ({"nextToken": token} if token else {})


def _studio(studio: FleetStudio) -> Mapping[str, Any]:
    return {
        "studioId": studio.id,
        "arn": studio.arn,
        "studioName": studio.name,
        "displayName": studio.display_name,
        "homeRegion": REGION,
        "state": "READY",
        "statusCode": "STUDIO_CREATED",
        "statusMessage": "The studio is ready.",
        "studioUrl": f"https://{studio.name}.nimblestudio.{REGION}.amazonaws.com",
        "createdAt": _timestamp(studio.created_at),
        "updatedAt": _timestamp(studio.created_at),
        "tags": {},
    }


def _backup(backup: FleetBackup) -> Mapping[str, Any]:
    return {
        "arn": backup.arn,
        "backupId": backup.id,
        "createdAt": _timestamp(backup.created_at),
        "launchProfileId": backup.launch_profile_id,
        "ownedBy": backup.owner,
        "sessionId": backup.session_id,
        "state": backup.state,
        "statusCode": backup.status_code,
        "statusMessage": backup.message,
        "tags": {},
    }


def _timestamp(unix_time: float) -> str:
    return datetime.fromtimestamp(unix_time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
