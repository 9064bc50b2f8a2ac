"""An AWS Backup to test against: its three lists, over HTTP, in pages.

In go vaults with recovery points and jobs, members called as AWS calls them; out come answers that are held against
botocore's own output shapes before they are sent, so that no test rests on a member that AWS does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import msgspec
from botocore.loaders import Loader
from botocore.model import ServiceModel

from tests.endpoint import Answer, Endpoint, Request, error, http

MODEL = ServiceModel(Loader().load_service_model("backup", "service-2"))
ACCOUNT = "111122223333"
REGION = "us-west-2"

Members = Mapping[str, Any]


class Vault(msgspec.Struct):
    name: str
    recovery_points: Sequence[Members] = ()
    jobs: Sequence[Members] = ()
    account: str = ACCOUNT

    @property
    def arn(self) -> str:
        return f"arn:aws:backup:{REGION}:{self.account}:backup-vault:{self.name}"


class BackupServer:
    """Answers for `vaults`, or for those that `account_of` says are the caller's.

    `fault` may answer in its place: it is asked with the operation and the number of the page, from 1 on. `strict` is
    whether values have to be among those of AWS's enumerations.
    """

    def __init__(self, *vaults: Vault, page_size: int = 1000, strict: bool = True) -> None:
        self.vaults = list(vaults)
        self.page_size = page_size
        self.strict = strict
        self.account_of: Callable[[Request], str] = lambda _request: ACCOUNT
        self.fault: Callable[[str, int], Answer | None] = lambda _operation, _page: None
        self.calls: list[tuple[str, Mapping[str, str]]] = []

    @contextmanager
    def running(self) -> Iterator[Endpoint]:
        with Endpoint(self.answer).running() as endpoint:
            yield endpoint

    def answer(self, request: Request) -> Answer:
        if "/backup/aws4_request" not in request.headers.get("authorization", ""):
            return error("AccessDeniedException", 403)
        account = self.account_of(request)
        vaults = {vault.name: vault for vault in self.vaults if vault.account == account}
        match request.parts:
            case ["backup-vaults"]:
                shown = [{"BackupVaultName": vault.name, "BackupVaultArn": vault.arn} for vault in vaults.values()]
                return self._page("ListBackupVaults", "BackupVaultList", shown, request)
            case ["backup-vaults", name, "recovery-points"]:
                if name not in vaults:
                    return error("ResourceNotFoundException", 400)
                points = vaults[name].recovery_points
                return self._page("ListRecoveryPointsByBackupVault", "RecoveryPoints", points, request)
            case ["backup-jobs"]:
                found = vaults.get(request.query["backupVaultName"])
                since = datetime.fromisoformat(request.query["createdAfter"]).timestamp()
                jobs = [job for job in found.jobs if job.get("CreationDate", since) >= since] if found else []
                return self._page("ListBackupJobs", "BackupJobs", jobs, request)
        return error("MissingAuthenticationTokenException", 403)

    def _page(self, operation: str, member: str, everything: Sequence[Members], request: Request) -> Answer:
        begin = 0
        if token := request.query.get("nextToken"):
            told, _, offset = token.partition("/")
            if told != operation or not offset.isdigit():
                return error("InvalidParameterValueException", 400, "Invalid NextToken")
            begin = int(offset)
        size = min(self.page_size, int(request.query.get("maxResults", 1000)))
        self.calls.append((operation, request.query))
        fault = self.fault(operation, begin // size + 1)
        if fault is not None:
            return fault
        body: dict[str, Any] = {member: everything[begin : begin + size]}
        if begin + size < len(everything):
            body["NextToken"] = f"{operation}/{begin + size}"
        check(MODEL.operation_model(operation).output_shape, body, strict=self.strict)
        return http(body)


def check(shape: Any, answer: object, where: str = "", *, strict: bool = True) -> None:
    """Fail unless a value is what botocore's shape says."""
    kinds: dict[str, type | tuple[type, ...]] = {
        "structure": dict,
        "list": (list, tuple),
        "string": str,
        "timestamp": (int, float),
        "boolean": bool,
        "long": int,
    }
    assert isinstance(answer, kinds[shape.type_name]), f"{where}: {answer!r} is no {shape.type_name}"
    value: Any = answer
    if shape.type_name == "structure":
        assert not set(value) - set(shape.members), f"{where}: {set(value) - set(shape.members)} is not AWS's"
        for name, member in value.items():
            check(shape.members[name], member, f"{where}.{name}", strict=strict)
    elif shape.type_name == "list":
        for number, item in enumerate(value):
            check(shape.member, item, f"{where}[{number}]", strict=strict)
    elif strict and getattr(shape, "enum", None):
        assert value in shape.enum, f"{where}: {value} is none of {shape.enum}"
