"""The simulated API over HTTP: ids, pages and their tokens, signatures, faults."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest
from botocore.exceptions import ClientError

from exporter import simulator
from exporter.aws import Identity, Sessions
from exporter.simulator import FleetBackup, FleetStudio
from exporter.simulator.listings import ENDED_SECONDS, MAX_LISTINGS, TOKEN_SECONDS
from exporter.sources import Deadline

ODD = "us-west-2:a/b 100%"
SIGNED = "AWS4-HMAC-SHA256 Credential=x/20260101/us-west-2/nimble/aws4_request, Signature=x"


class Fleet:
    """Two studios, one with an odd id, whose backups grow by one a second."""

    def studios(self, now: float) -> Sequence[FleetStudio]:
        return [FleetStudio(id, f"name{number}", "Display", 1.7e9) for number, id in enumerate((ODD, "other"))]

    def backups(self, studio_id: str, now: float) -> Sequence[FleetBackup]:
        return [
            FleetBackup(f"b/{n}", "s", "lp", f"user-{n % 2}", "READY", "STREAMING_SESSION_READY", "", now)
            for n in range(int(now))
        ]


class Server:
    def __init__(self, **options: Any) -> None:
        self.now = 10.0
        self.app = simulator.create_app(Fleet(), clock=lambda: self.now, **options)
        self.context = simulator.running(self.app)

    def __enter__(self) -> Server:
        self.url = self.context.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.context.__exit__(None, None, None)

    def ask(
        self, *path: str, method: str = "GET", authorization: str = SIGNED, **query: str
    ) -> tuple[int, http.client.HTTPMessage, Any]:
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=10)
        target = "/2020-08-01/studios" + "".join("/" + quote(part, safe="") for part in path)
        headers = {"Authorization": authorization} if authorization else {}
        connection.request(method, f"{target}?{urlencode(query)}", headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, answer.headers, json.loads(body)

    def page(self, studio: str = ODD, **query: str) -> tuple[list[str], str | None]:
        status, _, body = self.ask(studio, "streaming-session-backups", **query)
        assert status == 200, body
        return [backup["backupId"] for backup in body["streamingSessionBackups"]], body.get("nextToken")

    def refusal(self, *path: str, **options: str) -> tuple[int, str]:
        status, headers, body = self.ask(*path, **options)
        assert headers["x-amzn-ErrorType"] == body["code"]
        assert set(body) == {"code", "context", "message"}
        return status, body["code"]


def test_ids_are_decoded_from_the_path_as_it_was_sent() -> None:
    with Server() as server:
        assert server.ask(ODD)[2]["studio"]["studioId"] == ODD
        assert server.ask(ODD, "streaming-session-backups", "b/3")[2]["streamingSessionBackup"]["backupId"] == "b/3"
        assert server.refusal("us-west-2:a") == (404, "ResourceNotFoundException")
        assert server.refusal(ODD, "streaming-session-backups", "b/99") == (404, "ResourceNotFoundException")


def test_boto3_with_our_model_gets_through() -> None:
    with Server(page_size=4) as server:
        client = Sessions().client("nimble", Identity(), "us-west-2", server.url, Deadline(10))
        studios = client.get_paginator("list_studios").paginate().build_full_result()["studios"]
        assert [studio["studioId"] for studio in studios] == [ODD, "other"]
        assert client.get_studio(studioId=ODD)["studio"]["studioName"] == "name0"
        pages = client.get_paginator("list_streaming_session_backups").paginate(studioId=ODD, ownedBy="user-1")
        listed = [backup for page in pages for backup in page["streamingSessionBackups"]]
        assert [backup["backupId"] for backup in listed] == ["b/1", "b/3", "b/5", "b/7", "b/9"]
        got = client.get_streaming_session_backup(studioId=ODD, backupId="b/9")["streamingSessionBackup"]
        assert got == listed[-1]
        assert got["createdAt"].timestamp() == 10.0
        with pytest.raises(ClientError) as caught:
            client.get_studio(studioId="nobody")
        assert type(caught.value).__name__ == "ResourceNotFoundException"


def test_pages_of_a_listing_are_of_one_moment() -> None:
    with Server(page_size=4) as server:
        first, token = server.page()
        server.now = 50.0
        second, token = server.page(nextToken=token or "")
        third, end = server.page(nextToken=token or "")
        assert first + second + third == [f"b/{n}" for n in range(10)]
        assert end is None
        assert len(server.page()[0]) == 4
        assert server.app.state.requests["ListStreamingSessionBackups", ODD] == 4


def test_a_page_that_got_lost_can_be_asked_for_again() -> None:
    with Server(page_size=4) as server:
        _, token = server.page()
        second = server.page(nextToken=token or "")
        last = server.page(nextToken=second[1] or "")
        assert last == (["b/8", "b/9"], None)
        assert server.page(nextToken=token or "") == second
        assert server.page(nextToken=second[1] or "") == last
        server.now += ENDED_SECONDS + 1
        assert server.refusal(ODD, "streaming-session-backups", nextToken=second[1] or "")[0] == 400


def test_only_one_users_backups_are_listed() -> None:
    with Server() as server:
        assert server.page(ownedBy="user-1")[0] == ["b/1", "b/3", "b/5", "b/7", "b/9"]
        assert server.page(ownedBy="nobody")[0] == []


def test_a_token_is_good_for_its_own_listing_and_for_a_while() -> None:
    with Server(page_size=4) as server:
        _, token = server.page()
        assert token
        backups = "streaming-session-backups"
        bad = (400, "ValidationException")
        assert server.refusal("other", backups, nextToken=token) == bad
        assert server.refusal(ODD, backups, nextToken=token, ownedBy="user-1") == bad
        assert server.refusal(nextToken=token) == bad
        for foreign in ("x", "bm9uc2Vuc2U=", "OTk5Lzk5OQ==", "é"):
            assert server.refusal(ODD, backups, nextToken=foreign) == bad
        server.now += TOKEN_SECONDS + 1
        assert server.refusal(ODD, backups, nextToken=token) == bad


@pytest.mark.parametrize("made_up", ["-3", "0", "3", "10", "99"])
def test_a_token_leads_only_to_where_a_page_ended(made_up: str) -> None:
    with Server(page_size=4) as server:
        listing, _ = base64.urlsafe_b64decode(server.page()[1] or "").decode().split("/")
        token = base64.urlsafe_b64encode(f"{listing}/{made_up}".encode()).decode()
        refused = server.refusal(ODD, "streaming-session-backups", nextToken=token)
        assert refused == (400, "ValidationException")


def test_listings_that_nobody_ends_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.simulator.listings.MAX_LISTINGS", 3)
    assert MAX_LISTINGS > 3
    with Server(page_size=4) as server:
        tokens = [server.page()[1] for _ in range(5)]
        assert server.refusal(ODD, "streaming-session-backups", nextToken=tokens[0] or "")[0] == 400
        assert server.page(nextToken=tokens[-1] or "")[0]


@pytest.mark.parametrize(
    "authorization", ["", "Bearer x", SIGNED.replace("nimble", "s3"), SIGNED.replace("AWS4-HMAC-SHA256", "Basic")]
)
def test_what_is_not_signed_for_the_service_is_refused(authorization: str) -> None:
    with Server() as server:
        assert server.refusal(authorization=authorization) == (403, "MissingAuthenticationTokenException")


def test_other_paths_and_methods_are_refused() -> None:
    with Server() as server:
        assert server.refusal(ODD, "streaming-sessions") == (404, "UnknownOperationException")
        assert server.refusal(ODD, "a", "b", "c") == (404, "UnknownOperationException")
        assert server.refusal(method="POST") == (405, "MethodNotAllowedException")


def test_faults_come_as_they_are_asked_for() -> None:
    with Server(throttle_ratio=1) as server:
        assert server.refusal() == (429, "ThrottlingException")
    with Server(error_ratio=1) as server:
        assert server.refusal() == (500, "InternalServerErrorException")
    with Server(throttle_ratio=0.5, seed=3) as server:
        statuses = [server.ask()[0] for _ in range(40)]
        assert 5 < statuses.count(429) < 35
    with Server(throttle_ratio=0.5, seed=3) as server:
        assert [server.ask()[0] for _ in range(40)] == statuses


def test_an_answer_can_take_its_time() -> None:
    with Server(latency=0.2) as server:
        begun = time.monotonic()
        server.ask()
        assert time.monotonic() - begun >= 0.2


def test_a_client_that_goes_before_its_request_is_whole_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    signed = SIGNED.replace("nimble", "ec2")
    head = f"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: {signed}\r\nContent-Length: 100\r\n\r\n"
    with Server() as server:
        with socket.create_connection(("127.0.0.1", urlsplit(server.url).port or 0)) as gone:
            gone.sendall(head.encode() + b"Action=Des")
        server.ask()  # it came later, and was answered
    assert caplog.records == []


def test_every_answer_has_a_request_id_of_its_own() -> None:
    with Server() as server:
        assert len({server.ask()[1]["x-amzn-RequestId"] for _ in range(5)}) == 5
