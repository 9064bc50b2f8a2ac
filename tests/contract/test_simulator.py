"""The simulator against AWS's last client, which must not be able to tell it from what it knows."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

import pytest

from exporter import simulator
from tests.contract.conftest import AwsClient

NOW = 1.79e9
FLEET = simulator.Fleet(1, studios=2, sessions=200, failure_ratio=0.3)
STUDIO = FLEET.studios(NOW)[0].id


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with simulator.running(simulator.create_app(FLEET, clock=lambda: NOW)) as running:
        yield running


def call(aws_client: AwsClient, url: str, operation: str, unsigned: str = "", **parameters: str) -> Mapping[str, Any]:
    answer: Mapping[str, Any] = aws_client(
        "call", url, operation, json.dumps(parameters), *([unsigned] * bool(unsigned))
    )
    return answer


def faults(value: Any, shape: str, shapes: Mapping[str, Any], where: str = "") -> Iterator[str]:
    """Yield what of an answer is not as AWS's model has it: unknown members, wrong types, unknown values."""
    known = shapes[shape]
    match known["type"]:
        case "structure" if isinstance(value, dict):
            yield from (f"{where}.{name} is unknown" for name in value.keys() - known["members"].keys())
            yield from (f"{where}.{name} is missing" for name in known.get("required", []) if name not in value)
            for name in value.keys() & known["members"].keys():
                yield from faults(value[name], known["members"][name]["shape"], shapes, f"{where}.{name}")
        case "list" if isinstance(value, list):
            for each in value:
                yield from faults(each, known["member"]["shape"], shapes, f"{where}[]")
        case "map" if isinstance(value, dict):
            for each in value.values():
                yield from faults(each, known["value"]["shape"], shapes, f"{where}{{}}")
        case "timestamp" if isinstance(value, str):
            datetime.fromisoformat(value)
        case "string" if isinstance(value, str):
            if value not in known.get("enum", [value]):
                yield f"{where} is {value}"
        case _:
            yield f"{where} is no {known['type']}"


def raw(url: str, path: str) -> Any:
    signed = {"Authorization": "AWS4-HMAC-SHA256 Credential=x/20260101/us-west-2/nimble/aws4_request, Signature=x"}
    with urllib.request.urlopen(urllib.request.Request(url + path, headers=signed)) as answer:
        return json.load(answer)


def test_every_answer_is_of_the_shapes_that_aws_has(aws_client: AwsClient, url: str) -> None:
    shapes = aws_client("model")["service"]["shapes"]
    studios = "/2020-08-01/studios"
    pages = []
    for studio in FLEET.studios(NOW):
        backups = f"{studios}/{studio.id}/streaming-session-backups"
        pages.append(raw(url, backups))
        while token := pages[-1].get("nextToken"):
            pages.append(raw(url, f"{backups}?nextToken={quote(token)}"))
    listed = [backup for page in pages for backup in page["streamingSessionBackups"]]
    answers = [
        ("ListStudiosResponse", raw(url, studios)),
        ("GetStudioResponse", raw(url, f"{studios}/{STUDIO}")),
        ("GetStreamingSessionBackupResponse", raw(url, f"{backups}/{listed[-1]['backupId']}")),
        *(("ListStreamingSessionBackupsResponse", page) for page in pages),
    ]
    assert {backup["state"] for backup in listed} == set(shapes["StreamingSessionState"]["enum"])
    assert {backup["statusCode"] for backup in listed} == set(shapes["StreamingSessionStatusCode"]["enum"])
    assert [fault for shape, answer in answers for fault in faults(answer, shape, shapes, shape)] == []
    assert list(faults({"studios": [{"state": "ODD", "x": 1}]}, "ListStudiosResponse", shapes)) != []


def test_the_client_gets_a_studio_and_a_backup(aws_client: AwsClient, url: str) -> None:
    assert call(aws_client, url, "get_studio", studioId=STUDIO)["answer"]["studio"]["studioName"] == "aurora"
    backup = FLEET.backups(STUDIO, NOW)[0]
    got = call(aws_client, url, "get_streaming_session_backup", studioId=STUDIO, backupId=backup.id)
    assert got["answer"]["streamingSessionBackup"]["sessionId"] == backup.session_id


def test_the_client_knows_every_error(aws_client: AwsClient, url: str) -> None:
    listing = {"operation": "list_streaming_session_backups", "studioId": STUDIO}
    throttling = simulator.create_app(FLEET, clock=lambda: NOW, throttle_ratio=1)
    failing = simulator.create_app(FLEET, clock=lambda: NOW, error_ratio=1)
    with simulator.running(throttling) as throttles, simulator.running(failing) as fails:
        got = {
            "unknown": call(aws_client, url, "get_studio", studioId="nobody"),
            "token": call(aws_client, url, **listing, nextToken="foreign"),
            "unsigned": call(aws_client, url, **listing, unsigned="unsigned"),
            "throttled": call(aws_client, throttles, **listing),
            "failed": call(aws_client, fails, **listing),
        }
    assert {name: (answer["class"], answer["error"], answer["status"]) for name, answer in got.items()} == {
        "unknown": ("ResourceNotFoundException", "ResourceNotFoundException", 404),
        "token": ("ValidationException", "ValidationException", 400),
        "unsigned": ("ClientError", "MissingAuthenticationTokenException", 403),
        "throttled": ("ThrottlingException", "ThrottlingException", 429),
        "failed": ("InternalServerErrorException", "InternalServerErrorException", 500),
    }


def test_the_client_tries_again_when_throttled(aws_client: AwsClient, url: str) -> None:
    app = simulator.create_app(FLEET, clock=lambda: NOW, throttle_ratio=0.2)
    with simulator.running(app) as throttles:
        assert aws_client("count", throttles, "10") == aws_client("count", url)
    # More requests than pages: some were refused, and asked again.
    pages = 1 + sum(-(-len(FLEET.backups(studio.id, NOW)) // 100) for studio in FLEET.studios(NOW))
    assert app.state.requests.total() > pages


def test_the_client_sees_one_users_backups(aws_client: AwsClient, url: str) -> None:
    owner = FLEET.backups(STUDIO, NOW)[0].owner
    got = call(aws_client, url, "list_streaming_session_backups", studioId=STUDIO, ownedBy=owner)["answer"]
    assert {backup["ownedBy"] for backup in got["streamingSessionBackups"]} == {owner}
