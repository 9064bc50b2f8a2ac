"""Credentials that are not there, come, expire and are refused, beside some that are good."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from exporter.sources import Reason
from tests.commands import run as run_command
from tests.commands import started
from tests.endpoint import Answer, Endpoint, Request, error, http, page
from tests.hostile.book import shown
from tests.hostile.exporter import configured, polling, studios
from tests.hostile.studios import ready
from tests.waiting import until, wait_until

PART = "Credentials"
ROLE = "arn:aws:iam::111122223333:role/backups"


def signed_by(request: Request) -> str:
    return request.headers["authorization"].partition("Credential=")[2].partition("/")[0]


def profile(name: str, key: str) -> str:
    return f"[{name}]\naws_access_key_id = {key}\naws_secret_access_key = secret\n"


@shown(
    PART,
    "there are none at the start",
    "`credentials`: `Unable to locate credentials`; the next poll after they came is good",
)
@shown(
    PART,
    "a profile that does not exist",
    "`credentials`: `The config profile (NAME) could not be found`, until there is one",
)
@shown(
    PART, "a role that may not be assumed", "`credentials`: `AssumeRole: the credentials were refused`, until it may be"
)
def test_they_may_come_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    file = tmp_path / "credentials"
    file.write_text(profile("well", "WELL"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    allowed = False

    def sts(_: Request) -> Answer:
        expires = datetime.now(UTC) + timedelta(hours=1)
        if allowed:
            body = (
                "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ROLE</AccessKeyId><SecretAccessKey>s"
                f"</SecretAccessKey><SessionToken>t</SessionToken><Expiration>{expires:%Y-%m-%dT%H:%M:%SZ}</Expiration>"
                "</Credentials></AssumeRoleResult></AssumeRoleResponse>"
            )
            return http(body.encode(), Content_Type="text/xml")
        body = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"
        return http(body.encode(), 403, Content_Type="text/xml")

    async def run() -> None:
        nonlocal allowed
        with Endpoint(lambda _: page(ready(2))).running() as endpoint, Endpoint(sts).running() as role_endpoint:
            monkeypatch.setenv("AWS_ENDPOINT_URL_STS", role_endpoint.url)
            config = configured(
                tmp_path,
                *(
                    {"name": name, "endpoint_url": endpoint.url, "studios": [name], **identity}
                    for name, identity in {
                        "none": {},
                        "profile": {"profile": "nobody"},
                        "role": {"profile": "well", "role_arn": ROLE},
                        "well": {"profile": "well"},
                    }.items()
                ),
                poll_interval="500ms",
                poll_timeout="20s",
            )
            async with polling(config) as poller:
                await until(lambda: len(studios(poller)) == 4)
                errors = {id: known.error for id, known in studios(poller).items() if known.error}
                assert {id: (error.reason, str(error)) for id, error in errors.items()} == {
                    "none": (Reason.CREDENTIALS, "Unable to locate credentials"),
                    "profile": (Reason.CREDENTIALS, "The config profile (nobody) could not be found"),
                    "role": (Reason.CREDENTIALS, "AssumeRole: the credentials were refused"),
                }
                file.write_text(profile("well", "WELL") + profile("default", "LATER") + profile("nobody", "SOMEBODY"))
                allowed = True
                await until(lambda: all(known.up for known in studios(poller).values()))
                assert dict(studios(poller)["well"].failures) == {}
        assert {signed_by(request) for request in endpoint.requests} == {"WELL", "LATER", "SOMEBODY", "ROLE"}

    asyncio.run(run())


@shown(
    PART,
    "they expire, and others take their place in the file",
    "`credentials` until then: they are looked up anew after each refusal",
)
def test_they_may_expire_and_be_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    file = tmp_path / "credentials"
    file.write_text(profile("default", "OLD") + profile("well", "WELL"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    expired = False

    def answer(request: Request) -> Answer:
        return error("ExpiredTokenException", 403) if expired and signed_by(request) == "OLD" else page(ready(2))

    async def run() -> None:
        nonlocal expired
        with Endpoint(answer).running() as endpoint:
            config = configured(
                tmp_path,
                {"name": "old", "endpoint_url": endpoint.url, "studios": ["old"]},
                {"name": "well", "endpoint_url": endpoint.url, "studios": ["well"], "profile": "well"},
                poll_interval="200ms",
                poll_timeout="20s",
            )
            async with polling(config) as poller:
                await until(lambda: len(studios(poller)) == 2)
                expired = True
                await until(lambda: not studios(poller)["old"].up)
                await until(lambda: studios(poller)["old"].failures[Reason.CREDENTIALS] >= 3)
                file.write_text(profile("default", "NEW") + profile("well", "WELL"))
                await until(lambda: studios(poller)["old"].up)
                assert dict(studios(poller)["well"].failures) == {}

    asyncio.run(run())


@pytest.fixture
def waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A pipe that the credential process of the profile `waits` reads its answer from; it is given one in the end."""
    pipe = tmp_path / "answer"
    os.mkfifo(pipe)
    file = tmp_path / "aws-config"
    file.write_text(f"[profile waits]\ncredential_process = cat {shlex.quote(str(pipe))}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    yield pipe
    with suppress(OSError):  # nobody reads it any more
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))


def one_that_waits_and_one_that_is_well(folder: Path, url: str) -> Path:
    return configured(
        folder,
        {"name": "waits", "endpoint_url": url, "studios": ["waits"], "profile": "waits"},
        {"name": "well", "endpoint_url": url, "studios": ["well"]},
        poll_interval="1s",
        poll_timeout="1s",
    )


@shown(
    PART,
    "a credential process does not end",
    "`timeout`; it cannot be interrupted, so the studio waits for it, and is polled again once it ended;"
    " `studio_backup_exporter_abandoned_polls` counts it until then",
)
def test_a_credential_process_that_does_not_end_is_waited_for_by_its_own_studio_only(
    tmp_path: Path, waits: Path
) -> None:
    async def run() -> None:
        with Endpoint(lambda _: page(ready(2))).running() as endpoint:
            async with polling(one_that_waits_and_one_that_is_well(tmp_path, endpoint.url)) as poller:
                await until(lambda: len(studios(poller)) == 2)
                polls = studios(poller)["well"].polls
                await until(lambda: studios(poller)["well"].polls >= polls + 2)
                known = studios(poller)
                assert known["waits"].failures == {Reason.TIMEOUT: 1}
                assert dict(known["well"].failures) == {}
                assert poller.status().abandoned_polls == 1
                answer = {"Version": 1, "AccessKeyId": "PROCESS", "SecretAccessKey": "secret"}
                await asyncio.to_thread(waits.write_text, json.dumps(answer))
                await until(lambda: studios(poller)["waits"].up)
                assert poller.status().abandoned_polls == 0
        assert {signed_by(request) for request in endpoint.requests} == {"testing", "PROCESS"}

    asyncio.run(run())


@pytest.mark.parametrize("command", [("list", "--format=json"), ("check", "--online"), ("once",)])
def test_no_command_waits_for_it(tmp_path: Path, waits: Path, command: Sequence[str]) -> None:
    assert waits.is_fifo()
    with Endpoint(lambda _: page(ready(2))).running() as endpoint:
        file = one_that_waits_and_one_that_is_well(tmp_path, endpoint.url)
        done = run_command(*command, f"--config.file={file}")
    assert done.returncode == 1
    assert "timeout" in done.stderr
    assert "no complete answer within 1 s" in done.stderr
    assert {"list": '"studio": "well"', "check": "target well: ", "once": 'studio="well"'}[command[0]] in done.stdout


def test_an_interrupt_ends_a_command_that_waits_for_it_at_once(tmp_path: Path, waits: Path) -> None:
    with Endpoint(lambda _: page(ready(2))).running() as endpoint:
        file = one_that_waits_and_one_that_is_well(tmp_path, endpoint.url)
        file.write_text(file.read_text().replace('"poll_timeout": "1s"', '"poll_timeout": "1m"'))
        with started("list", f"--config.file={file}") as process:
            wait_until(lambda: endpoint.requests)
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 130
            assert "Traceback" not in process.communicate()[1]
    assert waits.is_fifo()
