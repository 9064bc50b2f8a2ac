"""Secrets are planted wherever the exporter handles one, and looked for in all that it says."""

from __future__ import annotations

import html
import json
import re
import shlex
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.commands import free_port, get, run, started, wait_for
from tests.endpoint import Answer, Endpoint, Request, error, http
from tests.hostile.book import shown
from tests.hostile.exporter import configured
from tests.hostile.studios import ready
from tests.waiting import wait_until

#: What is never to be seen: each is unlike anything else.
ACCESS_KEY = "AKIAPLANTEDACCESSKEY"
SECRET_KEY = "planted+secret/access/key"
SESSION_TOKEN = "planted+session/token=="
ROLES_ACCESS_KEY = "ASIAPLANTEDROLESKEY"
ROLES_SECRET_KEY = "planted+roles/secret/key"
ROLES_SESSION_TOKEN = "planted+roles/session/token=="
IDENTITY_TOKEN = "planted.web-identity.token"
PROCESSS_SECRET_KEY = "planted+process/secret/key"
PROCESSS_COMPLAINT = "planted-in-what-the-process-complains"
PROXYS_PASSWORD = "planted-proxy-password"
KEY_IN_THE_WRONG_FILE = "planted+secret/in/the/wrong/file"
SECRETS = [value for name, value in list(globals().items()) if isinstance(value, str) and "planted" in value.lower()]

ROLE = "arn:aws:iam::111122223333:role/backups"
WAYS = ("message", "access-denied", "invalid-signature", "code", "request-id", "html", "no-json")


def told(request: Request) -> str:
    """Return all that was sent with a request, as a far side may quote it."""
    headers = sorted(request.headers.items(), key=lambda header: "auth" not in header[0] and "token" not in header[0])
    return " ".join([*(value for _, value in headers), request.body.decode(errors="replace"), request.path])


def quoting(request: Request) -> Answer:
    """Answer with what was sent, in the way that the studio is called after."""
    quoted = told(request)
    studio = request.parts[2]
    if request.parts[3:] and studio in WAYS:
        match studio:
            case "message":
                return error("ValidationException", 400, quoted)
            case "access-denied":
                return error("AccessDeniedException", 403, quoted)
            case "invalid-signature":
                return error("InvalidSignatureException", 403, quoted)
            case "code":
                return error(quoted, 400)
            case "request-id":
                return http({"message": "no"}, 400, x_amzn_RequestId=quoted)
            case "html":
                return http(f"<html>{quoted}</html>".encode(), 502, Content_Type="text/html")
            case "no-json":
                return http(quoted.encode())
    return http({"studio": {}, "streamingSessionBackups": ready(1, state="CREATE_FAILED")})


def xml(body: str, status: int = 200) -> bytes:
    return http(body.encode(), status, Content_Type="text/xml")


def sts(request: Request) -> Answer:
    if b"AssumeRoleWithWebIdentity" in request.body:
        said = f"<Code>InvalidIdentityToken</Code><Message>{html.escape(told(request))}</Message>"
        return xml(f"<ErrorResponse><Error>{said}</Error></ErrorResponse>", 400)
    return xml(
        f"<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>{ROLES_ACCESS_KEY}</AccessKeyId>"
        f"<SecretAccessKey>{ROLES_SECRET_KEY}</SecretAccessKey><SessionToken>{ROLES_SESSION_TOKEN}</SessionToken>"
        f"<Expiration>{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}</Expiration>"
        "</Credentials></AssumeRoleResult></AssumeRoleResponse>"
    )


def plant(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a secret wherever boto3 looks for one."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_SESSION_TOKEN", SESSION_TOKEN)
    (folder / "token").write_text(IDENTITY_TOKEN)
    answers = folder / "answers.py"
    answers.write_text(f'print(\'{{"Version": 1, "SecretAccessKey": "{PROCESSS_SECRET_KEY}"\')')
    complains = folder / "complains.py"
    complains.write_text(f"import sys; sys.exit({PROCESSS_COMPLAINT!r})")
    python = shlex.quote(sys.executable)
    (folder / "config").write_text(
        f"[profile base]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"
        f"[profile web]\nrole_arn = {ROLE}\nweb_identity_token_file = {folder / 'token'}\n"
        f"[profile cut-off]\ncredential_process = {python} {answers}\n"
        f"[profile complains]\ncredential_process = {python} {complains}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))


@shown(
    "Credentials",
    "a far side, a proxy or a credential process quotes what it was sent or knows",
    "access keys, signatures and tokens are `***` in errors; what is said of credentials that were refused or could not"
    " be had is not repeated at all",
)
def test_no_secret_is_in_any_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, monkeypatch)
    port = free_port()
    with Endpoint(quoting).running() as endpoint, Endpoint(sts).running() as role_endpoint:
        proxy = f"http://user:{PROXYS_PASSWORD}@127.0.0.1:1"
        monkeypatch.setenv("HTTP_PROXY", proxy)
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", role_endpoint.url)
        at = {"endpoint_url": endpoint.url}
        file = configured(
            tmp_path,
            {"name": "quotes", **at, "studios": [*WAYS, "well"]},
            {"name": "role", **at, "studios": ["role"], "profile": "base", "role_arn": ROLE},
            {"name": "web", **at, "studios": ["web"], "profile": "web"},
            {"name": "cut-off", **at, "studios": ["cut-off"], "profile": "cut-off"},
            {"name": "complains", **at, "studios": ["complains"], "profile": "complains"},
            {"name": "http", "endpoint_url": "http://nimble.example", "studios": ["http"]},
            {"name": "https", "endpoint_url": "https://nimble.example", "studios": ["https"]},
            poll_interval="2s",
            poll_timeout="20s",
        )
        outputs = []
        for command in ("once", "list", "check"):
            options = ["--online"] if command == "check" else []
            done = run(command, f"--config.file={file}", *options)
            assert done.returncode == 1
            outputs += [done.stdout, done.stderr]
        with started(
            "serve",
            f"--config.file={file}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--web.show-backups",
            "--web.enable-lifecycle",
            "--log.level=debug",
            log=tmp_path / "log",
        ) as process:
            wait_for(port, "/-/ready", "Ready")
            studios = len(json.loads(get(port, "/api/v1/studios")[1]))
            assert studios == len(WAYS) + 7
            asked = len(endpoint.requests)
            wait_until(lambda: len(endpoint.requests) > asked + 2 * studios)  # so that some are told of again
            outputs += [
                get(port, path)[1]
                for path in ("/", "/metrics", "/api/v1/studios", "/api/v1/backups", "/-/healthy", "/-/ready", "/no")
            ]
            good = json.loads(file.read_text())
            file.write_text(json.dumps({**good, "aws_secret_access_key": KEY_IN_THE_WRONG_FILE}))
            outputs.append(get(port, "/-/reload", "POST")[1])
            assert "has no place here" in outputs[-1]
            process.terminate()
            assert process.wait(10) == 0
            outputs.append((tmp_path / "log").read_text())
        outputs.append(run("check", f"--config.file={file}").stderr)
    everything = "\n".join(outputs)
    sent = " ".join(told(request) for server in (endpoint, role_endpoint) for request in server.requests)
    for secret in (ACCESS_KEY, SESSION_TOKEN, ROLES_ACCESS_KEY, ROLES_SESSION_TOKEN, IDENTITY_TOKEN):
        assert secret in sent  # it could have come back
    assert "SignedHeaders=" in everything  # and some of it did
    found = [secret for secret in {*SECRETS, *re.findall(r"Signature=(\w+)", sent)} if secret in everything]
    assert found == []
