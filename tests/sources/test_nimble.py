"""The Nimble source over HTTP: what it asks for, what it makes of the answers, and which it refuses."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.backups import Backup, Studio
from exporter.sources import Deadline, Listing, PollError, Reason
from exporter.sources.answers import account_of, parse_timestamp
from exporter.sources.nimble import NimbleSource
from tests.access import api
from tests.endpoint import Answer, Endpoint, Request, error, http, page
from tests.waiting import deadline_of

STUDIO = "us-west-2:stid-EXAMPLE11111"
LISTING = Listing(STUDIO, "main", (Studio(STUDIO, "aurora"),))
ONE_BACKUP = {"backupId": "b-1", "sessionId": "s-1", "state": "READY", "statusCode": "STREAMING_SESSION_READY"}


@pytest.fixture
def endpoint() -> Iterator[Callable[[Callable[[Request], Answer]], Endpoint]]:
    with ExitStack() as stack:
        yield lambda answer: stack.enter_context(Endpoint(answer).running())


Start = Callable[[Callable[[Request], Answer]], Endpoint]


def source(to: Endpoint, studios: dict[str, str] | None = None, **options: Any) -> NimbleSource:
    return NimbleSource(api(to.url), studios=studios or {}, **options)


def read(from_source: NimbleSource, listing: Listing = LISTING, seconds: float = 10) -> list[Backup]:
    with deadline_of(seconds) as deadline:
        return [backup for page in from_source.read(listing, deadline) for backup in page.backups]


def refusal(from_source: NimbleSource) -> PollError:
    with pytest.raises(PollError) as caught:
        read(from_source)
    return caught.value


def test_there_are_39_known_pairs() -> None:
    assert len(set(NimbleSource.known_pairs)) == 39
    assert ("READY", "STREAMING_SESSION_READY") in NimbleSource.known_pairs
    assert ("CREATE_FAILED", "INTERNAL_ERROR") in NimbleSource.known_pairs


@pytest.mark.parametrize("end", [{}, {"nextToken": None}, {"nextToken": ""}])
def test_pages_are_followed_until_there_is_no_token(endpoint: Start, end: dict[str, Any]) -> None:
    def answer(request: Request) -> Answer:
        number = int(request.query.get("nextToken", "0"))
        backups = [{"backupId": f"b-{number}-{n}"} for n in range(3)]
        return http({"streamingSessionBackups": backups} | ({"nextToken": f"{number + 1}"} if number < 4 else end))

    server = endpoint(answer)
    assert len(read(source(server))) == 15
    assert [request.query for request in server.requests] == [{}, *({"nextToken": f"{n}"} for n in range(1, 5))]


def test_an_empty_page_with_a_token_does_not_end_the_list(endpoint: Start) -> None:
    server = endpoint(lambda request: page([ONE_BACKUP]) if request.query else page(token="more"))
    assert len(read(source(server))) == 1


def test_a_backup_is_read_as_it_was_sent(endpoint: Start) -> None:
    sent = {
        "backupId": "b-1",
        "sessionId": "s-1",
        "state": "CREATE_FAILED",
        "statusCode": "INTERNAL_ERROR",
        "statusMessage": "The disk is full",
        "createdAt": "2024-05-01T12:00:00.500Z",
        "ownedBy": "somebody",
        "tags": {"a": "b"},
        "aMemberOfTomorrow": [1, {"2": 3}],
    }
    server = endpoint(lambda _: page([sent]))
    created = datetime(2024, 5, 1, 12, 0, 0, 500_000, tzinfo=UTC).timestamp()
    [backup] = read(source(server))
    assert backup == Backup("b-1", STUDIO, "s-1", "CREATE_FAILED", "INTERNAL_ERROR", created, "The disk is full")


@pytest.mark.parametrize("studio_id", [STUDIO, "a/b", "100%", "two words", "%41", "ü", "a?b#c"])
def test_a_studio_id_travels_whole(endpoint: Start, studio_id: str) -> None:
    server = endpoint(lambda _: page())
    read(source(server), Listing(studio_id, "main", (Studio(studio_id, "odd"),)))
    assert server.requests[0].parts == ["2020-08-01", "studios", studio_id, "streaming-session-backups"]


def test_requests_are_signed_for_the_service_and_its_region(endpoint: Start) -> None:
    server = endpoint(lambda _: page())
    read(source(server))
    assert "/us-west-2/nimble/aws4_request" in server.requests[0].headers["authorization"]


def test_only_one_users_backups_are_asked_for(endpoint: Start) -> None:
    server = endpoint(lambda request: page() if "nextToken" in request.query else page(token="t"))
    read(source(server, owned_by="user-1"))
    assert [request.query["ownedBy"] for request in server.requests] == ["user-1", "user-1"]


@pytest.mark.parametrize(
    "member", ["backupId", "sessionId", "state", "statusCode", "createdAt", "statusMessage", "everything"]
)
@pytest.mark.parametrize("value", [None, 7, True, "", [], {}, "x" * 5000, 'a"b\\c\nd'])
def test_an_odd_member_loses_no_backup(endpoint: Start, member: str, value: Any) -> None:
    odd = dict.fromkeys(ONE_BACKUP, value) if member == "everything" else ONE_BACKUP | {member: value}
    server = endpoint(lambda _: page([ONE_BACKUP, odd]))
    assert len(read(source(server))) == 2


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<html>down for maintenance</html>", id="html"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"{}", id="member absent"),
        pytest.param(b'{"streamingSessionBackups": null}', id="member null"),
        pytest.param(b'{"streamingSessionBackups": {}}', id="member an object"),
        pytest.param(b'{"streamingSessionBackups": [null]}', id="a null backup"),
        pytest.param(b'{"streamingSessionBackups": ["b-1"]}', id="a backup that is text"),
        pytest.param(b'{"streamingSessionBackups": [], "nextToken": 7}', id="a token that is a number"),
        pytest.param(b'{"streamingSessionBackups": [', id="cut off"),
        pytest.param(b'{"streamingSessionBackups": []} trailing', id="more than it should be"),
        pytest.param(b'\xef\xbb\xbf{"streamingSessionBackups": []}', id="byte order mark"),
        pytest.param(b'{"streamingSessionBackups": [{"state": "\xff"}]}', id="not UTF-8"),
        pytest.param(b'[{"streamingSessionBackups": []}]', id="an array"),
        pytest.param(b'"text"', id="text"),
        pytest.param(b"null", id="null"),
        pytest.param(b'{"streamingSessionBackups": [], "nextToken": "\\ud800"}', id="half a surrogate pair"),
        pytest.param(b"[" * 100_000, id="nested too deep"),
        pytest.param(b'{"streamingSessionBackups": ' + b"[" * 100_000, id="nested too deep within"),
    ],
)
def test_what_is_not_a_page_under_status_200_is_refused(endpoint: Start, body: bytes) -> None:
    server = endpoint(lambda request: http(body) if request.query else page([ONE_BACKUP], token="next"))
    refused = refusal(source(server))
    assert (refused.reason, refused.request_id) == (Reason.BAD_RESPONSE, "request-1")
    assert "\n" not in str(refused)


@pytest.mark.parametrize("missing", [1, 30, 5000])
def test_a_body_shorter_than_its_content_length_is_refused(endpoint: Start, missing: int) -> None:
    whole = json.dumps({"streamingSessionBackups": []}).encode()

    def cut(_: Request) -> Iterator[bytes]:
        yield http(whole, length=len(whole) + missing)

    refused = refusal(source(endpoint(cut)))
    assert refused.reason is Reason.BAD_RESPONSE
    assert f"{len(whole)} of {len(whole) + missing} bytes" in str(refused)


def test_an_answer_that_ends_within_its_headers_is_refused(endpoint: Start) -> None:
    server = endpoint(lambda _: iter([b"HTTP/1.1 200 OK\r\nContent-Type: applicat"]))
    assert refusal(source(server)).reason in (Reason.BAD_RESPONSE, Reason.CONNECTION)


def test_a_gzipped_answer_is_read_and_a_broken_one_refused(endpoint: Start) -> None:
    packed = gzip.compress(json.dumps({"streamingSessionBackups": [ONE_BACKUP]}).encode())
    assert len(read(source(endpoint(lambda _: http(packed, Content_Encoding="gzip"))))) == 1
    broken = endpoint(lambda _: http(packed[:-9], Content_Encoding="gzip"))
    assert refusal(source(broken)).reason is Reason.BAD_RESPONSE


def test_a_token_that_comes_back_is_refused(endpoint: Start) -> None:
    server = endpoint(lambda _: page([ONE_BACKUP], token="again"))
    refused = refusal(source(server))
    assert (refused.reason, len(server.requests)) == (Reason.BAD_RESPONSE, 2)


def test_a_list_without_end_is_refused(endpoint: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.sources.MAX_PAGES", 20)
    server = endpoint(lambda request: page(token=request.query.get("nextToken", "") + "x"))
    refused = refusal(source(server))
    assert (refused.reason, len(server.requests)) == (Reason.BAD_RESPONSE, 20)


def test_named_studios_are_identified_by_their_first_poll_and_anew_after_a_discovery(endpoint: Start) -> None:
    def answer(request: Request) -> Answer:
        if request.parts[-1] == STUDIO:
            arn = "arn:aws:nimble:us-west-2:111122223333:studio/" + STUDIO
            return http({"studio": {"studioId": STUDIO, "studioName": "aurora", "displayName": "Aurora!", "arn": arn}})
        return page()

    server = endpoint(answer)
    named = source(server, {STUDIO: ""})
    told: list[Studio] = []
    for _ in range(2):
        [found] = named.listings(Deadline(5))
        for _ in range(2):
            with deadline_of(5) as deadline:
                told += [studio for page in named.read(found, deadline) for studio in page.studios]
    operations = Counter(request.parts[-1] == STUDIO for request in server.requests)
    assert operations == {True: 2, False: 4}
    assert told == [Studio(STUDIO, "aurora", "Aurora!", "111122223333")] * 2


def test_the_name_in_the_configuration_comes_first(endpoint: Start) -> None:
    server = endpoint(
        lambda request: http({"studio": {"studioName": "aurora"}}) if request.parts[-1] == STUDIO else page()
    )
    named = source(server, {STUDIO: "main-stage"})
    [found] = named.listings(Deadline(5))
    assert found.studios == (Studio(STUDIO, "main-stage"),)
    read(named, found)
    [again] = named.listings(Deadline(5))
    assert again.studios == (Studio(STUDIO, "main-stage"),)


@pytest.mark.parametrize(
    ("refused", "asked"), [(error("AccessDeniedException", 403), 1), (error("ValidationException", 400), 2)]
)
def test_a_studio_that_may_not_be_named_is_counted_all_the_same(endpoint: Start, refused: bytes, asked: int) -> None:
    server = endpoint(lambda request: refused if request.parts[-1] == STUDIO else page([ONE_BACKUP]))
    named = source(server, {STUDIO: ""})
    [found] = named.listings(Deadline(5))
    assert [len(read(named, found)) for _ in range(2)] == [1, 1]
    assert sum(request.parts[-1] == STUDIO for request in server.requests) == asked
    assert found.studios == (Studio(STUDIO),)


def discovered(*names: str) -> Callable[[Request], bytes]:
    studios = [{"studioId": f"us-west-2:{name}", "studioName": name} for name in names]

    def answer(request: Request) -> bytes:
        half = len(studios) // 2
        if request.query.get("nextToken"):
            return http({"studios": studios[half:]})
        return http({"studios": studios[:half], "nextToken": "half"})

    return answer


def names(listings: Sequence[Listing]) -> list[str]:
    return [studio.name for listing in listings for studio in listing.studios or ()]


def test_discovery_finds_the_studios_of_every_page(endpoint: Start) -> None:
    found = source(endpoint(discovered("d", "b", "a", "c"))).listings(Deadline(5))
    assert names(found) == ["a", "b", "c", "d"]


def test_include_and_exclude_match_whole_ids_and_names(endpoint: Start) -> None:
    server = endpoint(discovered("film", "film-test", "games", "test"))
    patterns = [re.compile("film.*"), re.compile("us-west-2:games")]
    found = source(server, include=patterns, exclude=[re.compile(".*-test")]).listings(Deadline(5))
    assert names(found) == ["film", "games"]
    assert names(source(server, exclude=[re.compile("film")]).listings(Deadline(5))) == ["film-test", "games", "test"]


@pytest.mark.parametrize("body", [b"{}", b'{"studios": null}', b'{"studios": [{"studioName": "nameless"}]}', b"<html>"])
def test_discovery_is_as_strict(endpoint: Start, body: bytes) -> None:
    server = endpoint(lambda _: http(body))
    with pytest.raises(PollError) as caught:
        source(server).listings(Deadline(5))
    assert caught.value.reason is Reason.BAD_RESPONSE


@pytest.mark.parametrize("nameless", [{"studioName": None}, {}])
def test_a_studio_may_have_no_name(endpoint: Start, nameless: dict[str, Any]) -> None:
    server = endpoint(lambda _: http({"studios": [{"studioId": "id-1"} | nameless]}))
    assert names(source(server).listings(Deadline(5))) == [""]


def test_whom_the_configuration_is_for() -> None:
    film, games = Studio("us-west-2:film", "film"), Studio("us-west-2:games", "games")
    with Endpoint(lambda _: page()).running() as server:
        named = source(server, {film.id: ""})
        excluding = source(server, exclude=[re.compile("games")])
    assert [each.wants(studio) for each in (named, excluding) for studio in (film, games)] == [True, False] * 2


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-01-02T03:04:05Z", 1704164645.0),
        ("2024-01-02T03:04:05.250Z", 1704164645.25),
        ("2024-01-02T03:04:05.123456789Z", 1704164645.123456),
        ("2024-01-02T03:04:05,250Z", 1704164645.25),
        ("2024-01-02T05:04:05+02:00", 1704164645.0),
        ("2024-01-02T03:04:05", 1704164645.0),
        ("2024-01-02 03:04:05Z", 1704164645.0),
        ("2024-01-02t03:04:05z", 1704164645.0),
        ("20240102T030405Z", 1704164645.0),
        ("2024-W01-2T03:04:05Z", 1704164645.0),
        ("2024-01-02T03:04Z", 1704164640.0),
        ("2024-01-02", 1704153600.0),
        (1704164645, 1704164645.0),
        (1704164645.25, 1704164645.25),
        ("1704164645", 1704164645.0),
        (0, 0.0),
        ("", None),
        ("yesterday", None),
        ("2024-13-45T99:99:99Z", None),
        (None, None),
        (True, None),
        ({}, None),
        (-1, None),
        (1e300, None),
        ("nan", None),
        ("Infinity", None),
        ("0001-01-01T00:00:00+23:59", None),
    ],
)
def test_timestamps(value: Any, expected: float | None) -> None:
    assert parse_timestamp(value) == expected


@given(st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30), timezones=st.timezones()))  # noqa: DTZ001  # bounds have none
def test_every_moment_survives_iso_8601(moment: datetime) -> None:
    assert parse_timestamp(moment.isoformat()) == pytest.approx(moment.timestamp(), abs=1e-3)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner)))
def test_no_timestamp_raises(value: Any) -> None:
    parse_timestamp(value)


def test_the_account_is_in_the_arn() -> None:
    assert account_of("arn:aws:nimble:us-west-2:111122223333:studio/us-west-2:stid-1") == "111122223333"
    assert account_of("nonsense") == ""
