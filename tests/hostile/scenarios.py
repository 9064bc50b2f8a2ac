"""What a far side may do wrong while it is polled, and what is to be seen of it.

Each scenario is a studio of its own; test_scenarios.py polls them all at once, and docs/behaviour.md is made from them.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from exporter.backups import MAX_UNFORESEEN_PAIRS
from exporter.sources import Reason
from tests.endpoint import Answer, Endpoint, Request, error, hang, http, page, reset
from tests.hostile.studios import ready

Pair = tuple[str, str]
LIST = "ListStreamingSessionBackups"
TIMEOUT_SECONDS = 4.0
#: What stands for the endpoint's address in errors.
HOST = "http://HOST"


class Visit(msgspec.Struct, frozen=True):
    """A request for a page of a studio's backups. `number` counts those of the studio since it fell sick, from 0 on."""

    request: Request
    number: int
    endpoint: Endpoint

    @property
    def token(self) -> str:
        return self.request.query.get("nextToken", "")


class Scenario(msgspec.Struct, frozen=True):
    """What one studio's far side does, and what is to be seen of it.

    `reason` is None where the poll is good: then `counts` are what is counted (nothing but zeros where empty), and
    `seen` says so in words. Otherwise `code` and `error` are what the log and the page tell.
    """

    id: str
    does: str
    answer: Callable[[Visit], Answer]
    reason: Reason | None = None
    code: str = ""
    error: str = ""
    counts: Mapping[Pair, int] = {}
    seen: str = ""


READY: Pair = ("READY", "STREAMING_SESSION_READY")


def _always(answer: Answer) -> Callable[[Visit], Answer]:
    return lambda _: answer


def _good(id: str, does: str, answer: Callable[[Visit], Answer], counts: Mapping[Pair, int], seen: str) -> Scenario:
    return Scenario(id, does, answer, counts=counts, seen=seen)


def _bad_response(id: str, does: str, answer: Callable[[Visit], Answer], error: str, code: str = "") -> Scenario:
    return Scenario(id, does, answer, Reason.BAD_RESPONSE, code, error)


def _gateway(status: int, title: str) -> bytes:
    return http(f"<html><h1>{status} {title}</h1></html>".encode(), status, Content_Type="text/html")


def _chain(visit: Visit, *pages: Sequence[Any]) -> bytes:
    """Return the page that the token asks for, with a token for the one after it."""
    place = int(visit.token or 0)
    return page(pages[place], str(place + 1) if place + 1 < len(pages) else None)


_UNFORESEEN = 300
_TIMES = [
    "2024-05-01T10:00:00Z",
    "2024-05-01T10:00:00.123456Z",
    "2024-05-01T12:00:00+02:00",
    "2024-05-01t10:00:00z",
    "20240501T100000Z",
    1714557600,
    1714557600.5,
    "1714557600",
    "yesterday",
    "",
    -1,
    1e300,
    None,
    {},
]

GOOD_ANSWERS = [
    _good("empty", "an empty list", _always(page()), {}, "a studio without backups: every count is 0"),
    _good(
        "empty-pages",
        "empty pages that carry a token, then the backups",
        lambda visit: _chain(visit, [], [], ready(3), [], ready(1)),
        {READY: 4},
        "all of them are counted",
    ),
    _good(
        "undocumented",
        "a state and a status code that AWS had not documented",
        _always(page(ready(1, state="PAUSED", statusCode="ON_A_TAPE"))),
        {("PAUSED", "ON_A_TAPE"): 1},
        "they are the labels, as they are",
    ),
    _good(
        "nameless",
        "backups whose state and status code are missing or null",
        _always(page([{"backupId": "b-1"}, *ready(1, state=None, statusCode=None), {}])),
        {("UNKNOWN", "UNKNOWN"): 3},
        "counted as `UNKNOWN`",
    ),
    _good(
        "mistyped",
        "members of the wrong type: numbers, lists, mappings",
        _always(
            page(ready(1, state=42, statusCode=[1], backupId=7, sessionId={}, createdAt=[], statusMessage=1.5, arn=0))
        ),
        {("OTHER", "OTHER"): 1},
        "counted, as `OTHER` where it is the state or the code",
    ),
    _good(
        "unprintable",
        "states with quotes, line breaks and 5,000 characters",
        _always(page([*ready(1, state='a"b'), *ready(1, state="a\nb"), *ready(1, state="x" * 5000)])),
        {("OTHER", READY[1]): 3},
        "counted as `OTHER`: what does not look like a state makes no label",
    ),
    _good(
        "unforeseen",
        f"{_UNFORESEEN} pairs of state and code that nobody foresaw",
        _always(page([each for n in range(_UNFORESEEN) for each in ready(1, state=f"S{n}", statusCode=f"C{n}")])),
        {
            **{(f"S{n}", f"C{n}"): 1 for n in range(MAX_UNFORESEEN_PAIRS)},
            ("OTHER", "OTHER"): _UNFORESEEN - MAX_UNFORESEEN_PAIRS,
        },
        f"{MAX_UNFORESEEN_PAIRS} of them as they are, the rest as `OTHER`",
    ),
    _good(
        "times",
        "`createdAt` in every form of ISO 8601, as a number, or garbage",
        _always(page([each for time in _TIMES for each in ready(1, createdAt=time)])),
        {READY: len(_TIMES)},
        "all are counted; those without a readable time have no part in newest and oldest",
    ),
    _good(
        "gzip",
        "a body in gzip, which nobody asked for",
        _always(
            http(gzip.compress(json.dumps({"streamingSessionBackups": ready(3)}).encode()), Content_Encoding="gzip")
        ),
        {READY: 3},
        "read as what it is",
    ),
    _good(
        "no-length",
        "a body without a Content-Length that ends with the connection",
        _always([b"HTTP/1.1 200 OK\r\n\r\n", json.dumps({"streamingSessionBackups": ready(3)}).encode()]),
        {READY: 3},
        "read as what it is",
    ),
    _good(
        "throttled-for-a-while",
        "429 twice, then the page",
        lambda visit: error("ThrottlingException", 429) if visit.number % 3 < 2 else page(ready(3)),
        {READY: 3},
        "tried again, within the deadline; `studio_backup_api_errors_total` tells",
    ),
]


def _without_end(visit: Visit) -> bytes:
    visit.endpoint.pause(0.2)
    return page([], f"{visit.number + 1}")


_ONE = json.dumps({"streamingSessionBackups": ready(3)}).encode()

BAD_ANSWERS = [
    _bad_response(
        "no-list",
        "an object without the list",
        _always(http({})),
        f"{LIST}: Object missing required field `streamingSessionBackups`",
        "ValidationError",
    ),
    _bad_response(
        "null-list",
        "a list that is null",
        _always(http({"streamingSessionBackups": None})),
        f"{LIST}: Expected `array`, got `null` - at `$.streamingSessionBackups`",
        "ValidationError",
    ),
    _bad_response(
        "not-backups",
        "a list of what are no objects",
        _always(http({"streamingSessionBackups": [1]})),
        f"{LIST}: Expected `object`, got `int` - at `$.streamingSessionBackups[0]`",
        "ValidationError",
    ),
    _bad_response(
        "token-type",
        "a token that is a number",
        _always(http({"streamingSessionBackups": ready(3), "nextToken": 7})),
        f"{LIST}: Expected `str | null`, got `int` - at `$.nextToken`",
        "ValidationError",
    ),
    _bad_response(
        "no-object",
        "JSON that is not an object",
        _always(http([])),
        f"{LIST}: Expected `object`, got `array`",
        "ValidationError",
    ),
    _bad_response(
        "no-body", "status 200 and nothing", _always(http(b"")), f"{LIST}: Input data was truncated", "DecodeError"
    ),
    _bad_response(
        "cut-json", "JSON that is cut off", _always(http(_ONE[:-9])), f"{LIST}: Input data was truncated", "DecodeError"
    ),
    _bad_response(
        "html",
        "a page of HTML under status 200",
        _always(http(b"<html>Please log in</html>", Content_Type="text/html")),
        f"{LIST}: JSON is malformed: invalid character (byte 0)",
        "DecodeError",
    ),
    _bad_response(
        "no-utf-8",
        "text that is not UTF-8",
        _always(http(_ONE.replace(b"b-0", b"b\xff0"))),
        f"{LIST}: 'utf-8' codec can't decode byte 0xff in position {_ONE.index(b'b-0') + 1}: invalid start byte",
        "UnicodeDecodeError",
    ),
    _bad_response(
        "short",
        "a body shorter than its Content-Length",
        _always([http(_ONE, length=len(_ONE) + 5)]),
        f"{LIST}: the body has {len(_ONE)} of {len(_ONE) + 5} bytes",
    ),
    _bad_response(
        "bad-gzip",
        "a body that is called gzip and is not",
        _always(http(_ONE, Content_Encoding="gzip")),
        f"{LIST}: the body is not gzip: Error -3 while decompressing data: incorrect header check",
    ),
    _bad_response(
        "cut-headers",
        "the end of the connection in the middle of the headers",
        _always([b"HTTP/1.1 200 OK\r\nContent-Ty"]),
        f"{LIST}: Input data was truncated",
        "DecodeError",
    ),
    _bad_response(
        "same-token",
        "the same token for ever",
        lambda visit: page(ready(3), "again"),
        "the same nextToken came twice: the list would never end",
    ),
    _bad_response(
        "old-token",
        "a token that was there before",
        lambda visit: page(ready(1), {"": "a", "a": "b", "b": "a"}[visit.token]),
        "the same nextToken came twice: the list would never end",
    ),
    Scenario(
        "no-end",
        "a new token for ever",
        _without_end,
        Reason.TIMEOUT,
        "DeadlinePassed",
        f"no complete answer within {TIMEOUT_SECONDS:g} s",
    ),
]


def _refused(name: str, status: int, reason: Reason, more: str = "") -> Scenario:
    return Scenario(
        name,
        f"{status} {name}",
        _always(error(name, status, "what AWS says")),
        reason,
        name,
        f"{LIST}: what AWS says{more}",
    )


def _credentials(name: str, status: int) -> Scenario:
    return Scenario(
        name,
        f"{status} {name}",
        _always(error(name, status, "what AWS says")),
        Reason.CREDENTIALS,
        name,
        f"{LIST}: the credentials were refused",
    )


ERRORS = [
    _refused("AccessDeniedException", 403, Reason.ACCESS_DENIED, f" (it takes the permission nimble:{LIST})"),
    _refused("ResourceNotFoundException", 404, Reason.NOT_FOUND),
    _refused("ThrottlingException", 429, Reason.THROTTLED),
    _refused("InternalServerErrorException", 500, Reason.SERVER_ERROR),
    _refused("ValidationException", 400, Reason.OTHER),
    _refused("ConflictException", 409, Reason.OTHER),
    _refused("ServiceQuotaExceededException", 402, Reason.OTHER),
    _credentials("ExpiredTokenException", 403),
    _credentials("InvalidSignatureException", 403),
    _credentials("UnrecognizedClientException", 403),
    Scenario("408", "408", _always(http(b"", 408)), Reason.SERVER_ERROR, "408", f"{LIST}: HTTP status 408"),
    Scenario(
        "500", "500 with nothing", _always(http(b"", 500)), Reason.SERVER_ERROR, "500", f"{LIST}: Internal Server Error"
    ),
    Scenario(
        "502",
        "502 with HTML",
        _always(_gateway(502, "Bad Gateway")),
        Reason.SERVER_ERROR,
        "502",
        f"{LIST}: Bad Gateway",
    ),
    Scenario(
        "503",
        "503 with HTML",
        _always(_gateway(503, "Service Unavailable")),
        Reason.SERVER_ERROR,
        "503",
        f"{LIST}: Service Unavailable",
    ),
    Scenario(
        "504",
        "504 with HTML",
        _always(_gateway(504, "Gateway Timeout")),
        Reason.SERVER_ERROR,
        "504",
        f"{LIST}: Gateway Timeout",
    ),
    _refused("ProxyAuthenticationRequired", 407, Reason.CONNECTION),
    Scenario(
        "302",
        "302 to another page",
        _always(http(b"<html>", 302, Location="http://127.0.0.1:1/")),
        Reason.BAD_RESPONSE,
        "302",
        f"{LIST}: HTTP status 302, a redirection, which the API does not use",
    ),
    Scenario(
        "second-page",
        "a good first page, then 500",
        lambda visit: (
            error("InternalServerErrorException", 500, "what AWS says") if visit.token else page(ready(7), "more")
        ),
        Reason.SERVER_ERROR,
        "InternalServerErrorException",
        f"{LIST}: what AWS says",
    ),
]

_TIMED_OUT = f"no complete answer within {TIMEOUT_SECONDS:g} s"
_GOOD = page(ready(3))


def _closed(id: str, does: str, answer: Answer, why: str = "") -> Scenario:
    return Scenario(
        id,
        does,
        _always(answer),
        Reason.CONNECTION,
        "ConnectionClosedError",
        "Connection was closed before we received a valid response from endpoint URL:"
        f' "{HOST}/2020-08-01/studios/{id}/streaming-session-backups".{why}',
    )


NETWORK = [
    _closed("reset", "a connection that is reset", reset, " (Connection reset by peer)"),
    _closed("closed", "a connection that ends without an answer", [b""]),
    _closed("no-http", "an answer that is not HTTP", [b"SSH-2.0-OpenSSH_9.6\r\n"]),
    _closed(
        "cut-chunks",
        "a connection that ends in the middle of a chunk",
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n{"],
    ),
    Scenario("hang", "no answer at all", _always(hang), Reason.TIMEOUT, "DeadlinePassed", _TIMED_OUT),
    Scenario(
        "drip-headers",
        "headers, a byte every half second",
        lambda visit: visit.endpoint.drip(_GOOD, 0.5),
        Reason.TIMEOUT,
        "DeadlinePassed",
        _TIMED_OUT,
    ),
    Scenario(
        "drip-body",
        "a body, a byte every half second",
        lambda visit: visit.endpoint.drip(_GOOD, 0.5, at_once=_GOOD.index(b"\r\n\r\n") + 8),
        Reason.TIMEOUT,
        "DeadlinePassed",
        _TIMED_OUT,
    ),
    Scenario(
        "drip-no-length",
        "a body without a length, a byte every half second",
        lambda visit: visit.endpoint.drip(b"HTTP/1.1 200 OK\r\n\r\n" + _ONE, 0.5, at_once=25),
        Reason.TIMEOUT,
        "DeadlinePassed",
        _TIMED_OUT,
    ),
    Scenario(
        "hang-on-second-page",
        "a good first page, then nothing",
        lambda visit: hang if visit.token else page(ready(7), "more"),
        Reason.TIMEOUT,
        "DeadlinePassed",
        _TIMED_OUT,
    ),
]

#: By what they are called in the document.
SCENARIOS: Mapping[str, Sequence[Scenario]] = {
    "Answers that are odd, and good": GOOD_ANSWERS,
    "Answers that are none": BAD_ANSWERS,
    "Errors": ERRORS,
    "The network": NETWORK,
}
