"""Whatever the pages of a listing are: the counts of the reference, or a failed poll, over real HTTP."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.backups import Census, Studio
from exporter.reading import read
from exporter.sources import Listing, PollError, Reason
from exporter.sources.nimble import ERROR_CODES, NimbleSource
from tests.access import api
from tests.endpoint import Answer, Endpoint, Request, http
from tests.environment import set_aws_environment
from tests.fuzz import reference
from tests.waiting import deadline_of

LISTING = Listing("studio", "main", (Studio("studio", "studio"),))

#: Drawn from a list: twenty thousand examples of a recursive strategy take hours.
ODDITIES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 2**53, 2**70, 1e300, -0.0),
    *("", "x", 'a"b', "a\nb", "\x00", "é", "\u2028", "x" * 65, "x" * 5000),
    *([], [1], [None, {}], {}, {"": []}, {"state": "READY"}, [[[["x"]]]], {"a": {"b": {"c": 0.1}}}),
)
ANYTHING = st.text(max_size=10) | st.sampled_from(ODDITIES)
CODES = (*ERROR_CODES, *(f"STREAMING_SESSION_{state}" for state in reference.STATES), "NOT_DOCUMENTED")
TIMES = st.one_of(
    st.datetimes().map(lambda moment: f"{moment.isoformat()}Z"),
    st.datetimes().map(lambda moment: moment.strftime("%Y%m%dT%H%M%S+0200")),
    st.sampled_from(["2024-05-01T10:00:00Z", "2024-05-01T12:00:00+02:00", 1714557600, "1714557600.5", "yesterday"]),
    st.floats(allow_nan=False, allow_infinity=False),
)


def odd(usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw what is usual, and now and then anything."""
    return st.one_of(usual, usual, usual, ANYTHING)


BACKUPS = st.fixed_dictionaries(
    {},
    optional={
        "backupId": odd(st.integers(0, 9).map("b-{}".format)),
        "sessionId": odd(st.integers(0, 3).map("s-{}".format)),
        "state": odd(st.sampled_from([*reference.STATES, "PAUSED", 'a"b', "x\ny", "x" * 65])),
        "statusCode": odd(st.sampled_from(CODES)),
        "createdAt": odd(TIMES),
        "statusMessage": ANYTHING,
        "ownedBy": ANYTHING,
    },
)


@st.composite
def listings(draw: st.DrawFn) -> list[bytes]:
    """Draw the bodies of a listing's pages: as they should be, but for a token now and then."""
    pages = draw(st.lists(st.lists(BACKUPS, max_size=5), min_size=1, max_size=3))
    bodies = []
    for number, backups in enumerate(pages):
        page: dict[str, Any] = {"streamingSessionBackups": backups, **draw(st.sampled_from([{}, {"more": [1, {}]}]))}
        if number + 1 < len(pages):
            page["nextToken"] = draw(odd(st.just(f"token/{number}?")))
        elif draw(st.booleans()):
            page["nextToken"] = draw(odd(st.sampled_from([None, "", "token/0?"])))
        bodies.append(json.dumps(page, ensure_ascii=draw(st.booleans())).encode())
    return bodies


@st.composite
def spoilt(draw: st.DrawFn) -> list[bytes]:
    """Draw a listing of which one page is no longer what it was: cut off, changed, wrapped, or something else."""
    bodies = draw(listings())
    place = draw(st.integers(0, len(bodies) - 1))
    body = bodies[place]
    cut = draw(st.integers(0, len(body)))
    bodies[place] = draw(
        st.one_of(
            st.just(body[:cut]),
            st.binary(min_size=1, max_size=4).map(lambda more: body[:cut] + more + body[cut:]),
            st.binary(min_size=1, max_size=4).map(lambda more: body[:cut] + more + body[cut + len(more) :]),
            st.sampled_from([b"[%s]", b"\xef\xbb\xbf%s", b"%s%s", b" \n%s\t ", b"<html>%s", b"/**/%s", b"%s,"]).map(
                lambda frame: frame.replace(b"%s", body)
            ),
            st.sampled_from(
                [b"", b"null", b"{}", b'{"streamingSessionBackups":null}', b'{"streamingSessionBackups":{}}']
            ),
            ANYTHING.map(lambda value: json.dumps(value).encode()),
            st.just(body.replace(b"null", b"NaN")),
            st.just(body.replace(b"{}", b"[" * 5000)),
        )
    )
    return bodies


class FarSide:
    """Answers a listing's requests with its pages, one after the other, and with an empty one after the last."""

    def __init__(self) -> None:
        self.endpoint = Endpoint(self._answer)
        self._answers: list[bytes] = []

    def shows(self, bodies: Sequence[bytes], *, zipped: bool) -> None:
        self._answers = [
            http(gzip.compress(body), Content_Encoding="gzip") if zipped else http(body) for body in bodies
        ]

    def _answer(self, _: Request) -> Answer:
        return self._answers.pop(0) if self._answers else http({"streamingSessionBackups": []})


@pytest.fixture(scope="module")
def far_side() -> Iterator[FarSide]:
    side = FarSide()
    with side.endpoint.running():
        yield side


@pytest.fixture(scope="module")
def source(far_side: FarSide, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NimbleSource]:
    with pytest.MonkeyPatch.context() as patch:
        set_aws_environment(patch, tmp_path_factory.mktemp("fuzz"))
        yield NimbleSource(api(far_side.endpoint.url), studios={})


def counted(source: NimbleSource, previous: Census | None = None) -> Census | None:
    """Return what the exporter counts, None for a poll that failed as a bad response."""
    with deadline_of(30.0) as deadline:
        try:
            return read(source, LISTING, deadline, {"studio": previous}, {})["studio"]
        except PollError as error:
            refusal = error
    assert refusal.reason is Reason.BAD_RESPONSE, refusal
    assert str(refusal).isprintable()
    return None


def expected(bodies: Sequence[bytes]) -> reference.Counts | None:
    try:
        return reference.counted(reference.listed(bodies), list(NimbleSource.known_pairs))
    except reference.BadListingError:
        return None


def without_zeros(counts: Mapping[Any, int]) -> Mapping[Any, int]:
    return {what: count for what, count in counts.items() if count}


def agree(census: Census | None, counts: reference.Counts | None) -> None:
    assert (census is None) == (counts is None)
    if census is None or counts is None:
        return
    assert without_zeros(census.counts) == counts.pairs
    assert census.counts.keys() >= set(NimbleSource.known_pairs)
    assert (census.newest, census.oldest) == (counts.newest, counts.oldest)
    assert without_zeros(census.latest_states) == counts.latest
    assert (census.workstations_ready, census.stalest_ready) == (counts.ready, counts.stalest_ready)
    assert (
        without_zeros({state: sum(s == state for _, s in census.failures) for state in reference.FAILED})
        == counts.failed
    )


ONE_ENDPOINT = settings(suppress_health_check=[HealthCheck.too_slow])


@ONE_ENDPOINT
@given(bodies=listings(), zipped=st.booleans())
def test_a_listing_is_counted_as_the_reference_does(
    far_side: FarSide, source: NimbleSource, bodies: list[bytes], zipped: bool
) -> None:
    far_side.shows(bodies, zipped=zipped)
    agree(counted(source), expected(bodies))


@ONE_ENDPOINT
@given(bodies=spoilt())
def test_a_spoilt_listing_is_counted_as_the_reference_does_or_not_at_all(
    far_side: FarSide, source: NimbleSource, bodies: list[bytes]
) -> None:
    far_side.shows(bodies, zipped=False)
    agree(counted(source), expected(bodies))


@ONE_ENDPOINT
@given(first=listings(), second=listings())
def test_what_was_counted_before_stays_at_zero(
    far_side: FarSide, source: NimbleSource, first: list[bytes], second: list[bytes]
) -> None:
    far_side.shows(first, zipped=False)
    before = counted(source)
    far_side.shows(second, zipped=False)
    after, counts = counted(source, before), expected(second)
    assert (after is None) == (counts is None)
    if before is None or after is None or counts is None:
        return
    assert without_zeros(after.counts) == counts.pairs
    assert after.counts.keys() >= before.counts.keys()


@ONE_ENDPOINT
@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 3)), max_size=300))
def test_hundreds_of_unforeseen_pairs_are_64_and_the_rest(
    far_side: FarSide, source: NimbleSource, pairs: list[tuple[int, int]]
) -> None:
    states = ["CREATE_FAILED", "PAUSED", "OTHER", None]
    backups = [{"state": states[state], "statusCode": f"C{code}"} for code, state in pairs]
    bodies = [json.dumps({"streamingSessionBackups": backups}).encode()]
    far_side.shows(bodies, zipped=False)
    agree(counted(source), expected(bodies))
