"""The way to AWS over HTTP: why calls fail, how soon, and what is counted of them."""

from __future__ import annotations

import gzip
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.exceptions import UnknownServiceError

from exporter.aws import Api, Identity, Sessions
from exporter.aws.account import MAX_ERROR_CODES, ApiCalls
from exporter.sources import Deadline, PollError, Reason
from tests.access import api
from tests.endpoint import Answer, Endpoint, Request, error, hang, http, page, reset
from tests.hostile.book import shown
from tests.tls import new_certificate, server_context
from tests.waiting import deadline_of, wait_until

Start = Callable[[Callable[[Request], Answer]], Endpoint]


@pytest.fixture
def endpoint() -> Iterator[Start]:
    with ExitStack() as stack:
        yield lambda answer: stack.enter_context(Endpoint(answer).running())


@pytest.fixture(autouse=True)
def no_waiting_between_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)


def ask(of: Api, seconds: float = 10.0) -> bytes:
    with deadline_of(seconds) as deadline:
        return of.fetch(bytes, "ListStreamingSessionBackups", deadline, studioId="s-1")


def refusal(of: Api, seconds: float = 10.0) -> PollError:
    with pytest.raises(PollError) as caught:
        ask(of, seconds)
    return caught.value


@pytest.mark.parametrize(
    ("code", "status", "reason", "tries"),
    [
        ("ThrottlingException", 429, Reason.THROTTLED, 3),
        ("Throttling", 400, Reason.THROTTLED, 3),
        ("RequestLimitExceeded", 503, Reason.THROTTLED, 3),
        ("AccessDeniedException", 403, Reason.ACCESS_DENIED, 1),
        ("UnauthorizedOperation", 400, Reason.ACCESS_DENIED, 1),
        ("ResourceNotFoundException", 404, Reason.NOT_FOUND, 1),
        ("ResourceNotFoundException", 400, Reason.NOT_FOUND, 1),
        ("InternalServerErrorException", 500, Reason.SERVER_ERROR, 3),
        ("ServiceUnavailableException", 503, Reason.SERVER_ERROR, 3),
        ("GatewayTimeout", 504, Reason.SERVER_ERROR, 3),
        ("RequestTimeout", 408, Reason.SERVER_ERROR, 3),
        ("ExpiredTokenException", 403, Reason.CREDENTIALS, 1),
        ("ExpiredToken", 400, Reason.CREDENTIALS, 1),
        ("UnrecognizedClientException", 403, Reason.CREDENTIALS, 1),
        ("InvalidSignatureException", 403, Reason.CREDENTIALS, 1),
        ("SignatureDoesNotMatch", 403, Reason.CREDENTIALS, 1),
        ("ValidationException", 400, Reason.OTHER, 1),
        ("ConflictException", 409, Reason.OTHER, 1),
        ("ServiceQuotaExceededException", 402, Reason.OTHER, 1),
    ],
)
def test_an_error_has_its_reason_code_and_request_id(
    endpoint: Start, code: str, status: int, reason: Reason, tries: int
) -> None:
    calls = ApiCalls()
    server = endpoint(lambda _: error(code, status))
    refused = refusal(api(server.url, calls=calls))
    assert (refused.reason, refused.code, refused.request_id) == (reason, code, "request-1")
    key = ("nimble", "us-west-2", "main", "ListStreamingSessionBackups")
    assert len(server.requests) == tries
    assert calls.requests() == {key: tries}
    assert calls.errors() == {(*key, code): tries}
    [histogram] = calls.durations().values()
    assert sum(histogram.counts) == tries


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_gateways_html_is_a_server_error(endpoint: Start, status: int) -> None:
    server = endpoint(lambda _: http(b"<html>Bad gateway</html>", status, Content_Type="text/html"))
    assert refusal(api(server.url)).reason is Reason.SERVER_ERROR


def test_what_passes_is_tried_again(endpoint: Start) -> None:
    answers = iter([error("ThrottlingException", 429), error("InternalServerErrorException", 500), page()])
    calls = ApiCalls()
    assert ask(api(endpoint(lambda _: next(answers)).url, calls=calls))
    assert sum(calls.requests().values()) == 3
    assert sum(calls.errors().values()) == 2


def test_a_message_about_credentials_is_not_repeated(endpoint: Start) -> None:
    told = "The Canonical String should have been x-amz-security-token:SECRET"
    refused = refusal(api(endpoint(lambda _: error("InvalidSignatureException", 403, told)).url))
    assert "SECRET" not in str(refused)


def test_a_message_is_one_line_of_bounded_length(endpoint: Start) -> None:
    refused = refusal(api(endpoint(lambda _: error("ValidationException", 400, "a\nb" * 1000)).url))
    assert "\n" not in str(refused)
    assert len(str(refused)) <= 300


@pytest.mark.parametrize("reflect", ["message", "code", "request id"])
def test_no_part_of_a_requests_signature_comes_back_in_an_error(
    endpoint: Start, monkeypatch: pytest.MonkeyPatch, reflect: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAPLANTEDACCESSKEY")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "planted-session-token")

    def answer(request: Request) -> Answer:
        told = f"{request.headers['authorization']} {request.headers['x-amz-security-token']}"
        said = {"message": told if reflect == "message" else "", "code": told if reflect == "code" else "Odd"}
        return http(said, 400, x_amzn_RequestId=told if reflect == "request id" else "r-1")

    calls = ApiCalls()
    failure = refusal(api(endpoint(answer).url, calls=calls))
    told = f"{failure} {failure.code} {failure.request_id} {calls.errors()}"
    assert "SignedHeaders=" in told  # it did come back
    assert not re.search(r"AKIAPLANTEDACCESSKEY|planted-session-token|[0-9a-f]{64}", told)


@shown(
    "Errors",
    "one studio is throttled for ever",
    "`throttled`; the others keep their retries, since botocore's quota of them, which all calls share, is lifted",
)
def test_one_studio_that_is_throttled_for_ever_uses_up_no_others_retries(endpoint: Start) -> None:
    failed_once = set()

    def answer(request: Request) -> Answer:
        if "s-1" in request.parts:
            return error("ThrottlingException", 429)
        if request.path in failed_once:
            return page()
        failed_once.add(request.path)
        return error("InternalServerErrorException", 500)

    shared = api(endpoint(answer).url)
    for _ in range(60):  # botocore's quota is for 500 / 14 retries
        assert refusal(shared).reason is Reason.THROTTLED
    with deadline_of(10.0) as deadline:
        assert shared.fetch(bytes, "ListStreamingSessionBackups", deadline, studioId="s-2")


def test_an_answer_without_an_end_costs_no_more_memory_than_a_page_may(
    endpoint: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.aws.clients.MAX_BODY_BYTES", 2**20)
    sent = []

    def for_ever() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
        while True:
            sent.append(2**16)
            yield b" " * 2**16

    failure = refusal(api(endpoint(lambda _: for_ever()).url), seconds=30)
    assert (failure.reason, str(failure)) == (
        Reason.BAD_RESPONSE,
        "ListStreamingSessionBackups: the body is longer than 64 MiB",
    )
    assert sum(sent) < 64 * 2**20  # what fits into the sockets' buffers is sent too


def test_gzip_may_not_unfold_to_more_than_a_page(endpoint: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.aws.clients.MAX_BODY_BYTES", 2**20)
    bomb = http(gzip.compress(b" " * (2**20 + 1)), Content_Encoding="gzip")
    failure = refusal(api(endpoint(lambda _: bomb).url))
    assert str(failure) == "ListStreamingSessionBackups: the body is longer than 64 MiB"
    just = http(gzip.compress(b" " * (2**20 - 1) + b"x"), Content_Encoding="gzip")
    assert len(ask(api(endpoint(lambda _: just).url))) == 2**20


def test_error_codes_cannot_make_series_without_end() -> None:
    calls = ApiCalls()
    for number in range(MAX_ERROR_CODES + 10):
        calls.failed("s", "r", "t", "o", f"code-{number}")
    calls.failed("s", "r", "t", "o", 'quo"te')
    assert len(calls.errors()) == MAX_ERROR_CODES + 1
    assert calls.errors()["s", "r", "t", "o", "OTHER"] == 11


# Nothing to connect to, or nobody who answers


def test_refused_reset_and_unresolved_are_connection(endpoint: Start) -> None:
    calls = ApiCalls()
    gone = endpoint(lambda _: reset)
    assert refusal(api(gone.url, calls=calls)).reason is Reason.CONNECTION
    assert {code for *_, code in calls.errors()} == {"ConnectionClosedError"}
    assert refusal(api("http://127.0.0.1:1")).reason is Reason.CONNECTION
    assert refusal(api("http://no-such-host.invalid")).reason is Reason.CONNECTION


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return new_certificate(tmp_path)


def test_tls_fails_without_the_ca_bundle_and_works_with_it(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Endpoint(lambda _: page(), server_context(certificate)).running() as server:
        assert refusal(api(server.url)).reason is Reason.CONNECTION
        assert server.requests == []
        monkeypatch.setenv("AWS_CA_BUNDLE", f"{certificate}.crt")
        assert ask(api(server.url))


@shown("The network", "there is an HTTP proxy (`HTTP_PROXY`, `HTTPS_PROXY`)", "requests go through it")
def test_a_proxy_is_used(endpoint: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = endpoint(lambda _: page())
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    assert ask(api("http://nimble.example"))
    assert proxy.requests[0].path.startswith("/2020-08-01/studios/s-1/")


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("where", ["nothing", "headers", "body", "body without a length"])
def test_an_answer_that_does_not_come_to_an_end_costs_no_more_than_the_deadline(
    where: str, tls: bool, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", f"{certificate}.crt")
    whole = page([{"backupId": "b-1"}])

    def answer(_: Request) -> Answer:
        if where == "nothing":
            return hang
        if where == "headers":
            return server.drip(whole, 0.2, at_once=20)
        if where == "body":
            return server.drip(whole, 0.5, at_once=whole.index(b"\r\n\r\n") + 5)
        body = b"HTTP/1.1 200 OK\r\n\r\n" + b'{"streamingSessionBackups": []}' + b" " * 1000
        return server.drip(body, 0.05, at_once=60)

    server = Endpoint(lambda _: whole, server_context(certificate) if tls else None)
    calls = ApiCalls()
    with server.running():
        target = api(server.url, calls=calls)
        ask(target)  # so that the client is made
        server.answer = answer
        begun = time.monotonic()
        refused = refusal(target, seconds=0.5)
        took = time.monotonic() - begun
    assert refused.reason is Reason.TIMEOUT
    assert took < 10  # by themselves these answers take from 20 s to for ever
    assert sum(calls.requests().values()) == 2  # what came too late is not tried again


def test_no_try_is_made_after_the_deadline(endpoint: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 2.0)
    server = endpoint(lambda _: page())
    target = api(server.url)
    ask(target)  # so that the client is made
    server.answer = lambda _: error("ThrottlingException", 429)
    assert refusal(target, seconds=1.0).reason is Reason.THROTTLED
    assert len(server.requests) == 2


def test_a_deadline_cuts_short_no_call_but_its_own(endpoint: Start) -> None:
    """One client's connections are shared: what was cut short must be the connection that this call waits on."""
    release = threading.Event()

    def answer(request: Request) -> Answer:
        if request.parts[2] == "slow":
            release.wait(30)
        return page() if request.parts[2] != "hangs" else hang

    server = endpoint(answer)
    shared = api(server.url)
    # This leaves its connection to the others.
    shared.fetch(bytes, "ListStreamingSessionBackups", Deadline(30), studioId="quick")
    answers: list[bytes] = []

    def slow() -> None:
        answers.append(shared.fetch(bytes, "ListStreamingSessionBackups", Deadline(30), studioId="slow"))

    thread = threading.Thread(target=slow)
    thread.start()
    wait_until(lambda: len(server.requests) == 2)
    with deadline_of(0.3) as early, pytest.raises(PollError):
        shared.fetch(bytes, "ListStreamingSessionBackups", early, studioId="hangs")
    release.set()
    thread.join()
    assert answers


# Credentials


def test_no_credentials_is_told_and_they_may_come(endpoint: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    server = endpoint(lambda _: page())
    target = api(server.url)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    refused = refusal(target)
    assert (refused.reason, refused.code) == (Reason.CREDENTIALS, "NoCredentialsError")
    assert server.requests == []
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    assert ask(target)


def test_a_profile_that_is_not_there_is_told_and_may_come(
    endpoint: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    target = api(endpoint(lambda _: page()).url, profile="later")
    assert refusal(target).code == "ProfileNotFound"
    (tmp_path / "credentials").write_text("[later]\naws_access_key_id = later\naws_secret_access_key = x\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    assert ask(target)


def test_credentials_that_were_refused_are_looked_up_anew(endpoint: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: Request) -> Answer:
        fresh = "Credential=rotated/" in request.headers["authorization"]
        return page() if fresh else error("ExpiredTokenException", 403)

    target = api(endpoint(answer).url)
    assert refusal(target).reason is Reason.CREDENTIALS
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "rotated")
    assert ask(target)


def test_a_credential_process_that_hangs_costs_others_no_more_than_their_deadline(
    endpoint: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pipe = tmp_path / "never"
    subprocess.run(["mkfifo", pipe], check=True)
    (tmp_path / "config").write_text(f"[profile slow]\ncredential_process = cat {pipe}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    sessions = Sessions()
    server = endpoint(lambda _: page())

    def wait_for_ever() -> None:
        with suppress(PollError):
            ask(api(server.url, sessions=sessions, profile="slow"), 0.2)

    first = threading.Thread(target=wait_for_ever)
    first.start()
    wait_until(lambda: sessions._logins and next(iter(sessions._logins.values())).lock.locked())
    assert refusal(api(server.url, sessions=sessions, profile="slow"), 0.2).reason is Reason.TIMEOUT
    assert ask(api(server.url, sessions=sessions))  # another identity waits for nothing
    pipe.write_text("{}")
    first.join()


# Sessions and models


@pytest.mark.parametrize("by", ["close", "forget"])
def test_connections_that_are_idle_end_with_their_session(endpoint: Start, by: str) -> None:
    server, sessions = endpoint(lambda _: page()), Sessions()
    assert ask(api(server.url, sessions=sessions))
    client = sessions.client("nimble", Identity(), "us-west-2", server.url, Deadline(10.0))
    pools = client._endpoint.http_session._manager.pools
    kept = [pools[key] for key in pools.keys()]  # noqa: SIM118  # as an exception may keep them
    assert server.connections == 1
    if by == "close":
        sessions.close()
    else:
        sessions.forget(Identity())
    wait_until(lambda: server.connections == 0)
    assert kept


def test_other_sessions_of_the_process_know_nothing_of_the_model() -> None:
    api("http://127.0.0.1:1")
    for session in (boto3.Session(), boto3.DEFAULT_SESSION or boto3.Session()):
        with pytest.raises(UnknownServiceError):
            session.client("nimble", region_name="us-west-2")
    with pytest.raises(UnknownServiceError):
        botocore.session.get_session().create_client("nimble", region_name="us-west-2")


def test_the_default_endpoint_is_awss(monkeypatch: pytest.MonkeyPatch) -> None:
    client: Any = Sessions().client("nimble", Identity(), "us-west-2", None, Deadline(10))
    assert client.meta.endpoint_url == "https://nimble.us-west-2.amazonaws.com"
    assert client.meta.service_model.signing_name == "nimble"
