"""Several accounts: roles assumed from moto's STS over real HTTP, and studios told apart by whose they are."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer
from moto.sts.models import sts_backends

from exporter.aws.account import ApiCalls
from exporter.config import load
from exporter.poller import Poller
from exporter.sources import Reason
from exporter.status import Status
from exporter.targets import build
from tests.endpoint import Answer, Endpoint, Request, error, http, page

ROLES = {account: f"arn:aws:iam::{account}:role/backups" for account in ("111111111111", "222222222222")}


@pytest.fixture
def sts(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://{host}:{port}")
    yield f"http://{host}:{port}"
    server.stop()


def role_of(request: Request) -> str:
    """Return the account whose role signed the request, as moto's STS gave the keys out."""
    found = re.search(r"Credential=([^/]+)/", request.headers["authorization"])
    key = found[1] if found else ""
    for account in [*ROLES, "123456789012"]:
        for backend in sts_backends[account].values():
            for role in backend.assumed_roles:
                if role.access_key_id == key:
                    return str(role.arn).split(":")[4]
    return ""


def each_account_has_a_studio(request: Request) -> Answer:
    account = role_of(request)
    if not account:
        return error("UnrecognizedClientException", 403)
    if request.parts[-1] == "studios":
        arn = f"arn:aws:nimble:us-west-2:{account}:studio/st-{account}"
        return http({"studios": [{"studioId": f"st-{account}", "studioName": f"studio{account}", "arn": arn}]})
    if request.parts[2] != f"st-{account}":
        return error("AccessDeniedException", 403)
    return page([{"backupId": f"b-{n}", "state": "READY"} for n in range(int(account[0]))])


def poll(tmp_path: Path, *targets: str) -> tuple[Status, ApiCalls]:
    file = tmp_path / "config.yaml"
    file.write_text("targets:\n" + "".join(targets))
    config, calls = load(file), ApiCalls()

    async def sweep() -> Status:
        poller = Poller(build(config, calls), max_concurrent_polls=config.max_concurrent_polls)
        await poller.sweep()
        return poller.status()

    return asyncio.run(sweep()), calls


def target(name: str, account: str, url: str, region: str = "us-west-2") -> str:
    return (
        f"  - {{name: {name}, aws_region: {region}, endpoint_url: '{url}', role_arn: '{ROLES[account]}',"
        f" external_id: secret-handshake}}\n"
    )


def test_targets_that_assume_different_roles_count_separately(sts: str, tmp_path: Path) -> None:
    with Endpoint(each_account_has_a_studio).running() as server:
        status, calls = poll(tmp_path, *(target(f"t{account[0]}", account, server.url) for account in ROLES))
    counted = {
        (studio.target.name, studio.studio.name, studio.studio.account_id): sum(studio.census.counts.values())
        for studio in status.studios
        if studio.census
    }
    assert counted == {("t1", "studio111111111111", "111111111111"): 1, ("t2", "studio222222222222", "222222222222"): 2}
    assert {key: n for key, n in calls.requests().items() if key[3] == "AssumeRole"} == {
        ("nimble", "us-west-2", name, "AssumeRole"): 1 for name in ("t1", "t2")
    }


def test_targets_that_assume_the_same_role_share_one_session(sts: str, tmp_path: Path) -> None:
    with Endpoint(each_account_has_a_studio).running() as server:
        _, calls = poll(
            tmp_path,
            target("west", "111111111111", server.url),
            target("east", "111111111111", server.url, region="us-east-1"),
        )
        keys = {request.headers["authorization"].split("/")[0] for request in server.requests}
    assert sum(n for (*_, operation), n in calls.requests().items() if operation == "AssumeRole") == 1
    assert len(keys) == 1


def test_a_role_that_may_not_be_assumed_fails_its_own_target_only(
    sts: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        Endpoint(lambda _: http(b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error>"
                                b"</ErrorResponse>", 403)).running() as denying,
        Endpoint(each_account_has_a_studio).running() as server,
    ):  # fmt: skip
        # A role in a region of its own asks that region's STS: only this one denies.
        profile = tmp_path / "config"
        profile.write_text(
            f"[profile denied]\nservices = denied\n[services denied]\nsts =\n  endpoint_url = {denying.url}\n"
        )
        monkeypatch.setenv("AWS_CONFIG_FILE", str(profile))
        monkeypatch.delenv("AWS_ENDPOINT_URL_STS")
        profile.write_text(
            profile.read_text() + f"[profile ok]\nservices = ok\n[services ok]\nsts =\n  endpoint_url = {sts}\n"
        )
        credentials = tmp_path / "credentials"
        credentials.write_text(
            "".join(f"[{p}]\naws_access_key_id = a\naws_secret_access_key = b\n" for p in ("denied", "ok"))
        )
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
        status, _ = poll(
            tmp_path,
            target("refused", "111111111111", server.url).replace("}", ", profile: denied}"),
            target("granted", "222222222222", server.url).replace("}", ", profile: ok}"),
        )
    [refused, granted] = status.targets
    assert refused.error is not None
    assert (refused.error.reason, refused.error.code) == (Reason.CREDENTIALS, "AccessDenied")
    assert granted.up
    assert [studio.target.name for studio in status.studios] == ["granted"]
