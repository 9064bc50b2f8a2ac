"""What the log says of failures, through the poller and in its own clock."""

from __future__ import annotations

import asyncio

from structlog.testing import capture_logs

from exporter.backups import Studio
from exporter.outages import SUMMARY_SECONDS
from exporter.poller import Poller
from exporter.sources import Page, PollError, Reason
from tests.fakes import FakeSource, failing, listing, target

MINUTE = 60.0
STUDIO = Studio("acct/one", "one")


class Polled:
    """A studio that is polled each minute of a clock of its own."""

    def __init__(self, *, studio: Studio | None = STUDIO) -> None:
        self.now = 0.0
        self.source = FakeSource(listing(studio))
        self.poller = Poller([target(self.source)], max_concurrent_polls=2, clock=lambda: self.now)

    def log(self, polls: int = 1) -> list[dict[str, object]]:
        """Poll so many times, and return what was logged."""
        with capture_logs() as lines:
            for _ in range(polls):
                asyncio.run(self.poller.sweep())
                self.now += MINUTE
        return [dict(line) for line in lines if line["log_level"] != "debug"]

    def fail(self, reason: Reason) -> None:
        self.source.on_read = failing(reason)

    def heal(self) -> None:
        self.source.on_read = lambda _listing, _deadline: iter([Page()])


def test_a_failed_poll_is_one_line_that_says_all_there_is_to_say() -> None:
    polled = Polled()
    polled.fail(Reason.THROTTLED)
    assert polled.log() == [
        {
            "event": "poll failed",
            "log_level": "warning",
            "target": "main",
            "studio": "one",
            "studio_id": "acct/one",
            "reason": "throttled",
            "code": "Wanted",
            "request_id": "",
            "error": "as the test wants it",
            "advice": Reason.THROTTLED.advice,
        }
    ]


def test_a_listing_that_is_no_single_studios_is_named_itself() -> None:
    polled = Polled(studio=None)
    polled.fail(Reason.THROTTLED)
    [line] = polled.log()
    assert (line["target"], line["listing"]) == ("main", "all")


def test_a_failure_that_repeats_is_told_once_an_hour_and_then_its_end() -> None:
    polled = Polled()
    polled.fail(Reason.SERVER_ERROR)
    assert [line["event"] for line in polled.log(60)] == ["poll failed"]
    [hourly] = polled.log(60)
    assert (hourly["event"], hourly["failures"], hourly["for_seconds"]) == ("poll still fails", 61, SUMMARY_SECONDS)
    assert hourly["reason"] == "server_error"
    polled.heal()
    [end] = polled.log(60)
    assert (end["event"], end["log_level"], end["failures"], end["for_seconds"]) == (
        "poll works again",
        "info",
        120,
        7200,
    )
    assert end["studio"] == "one"


def test_another_reason_is_told_at_once_but_those_that_take_turns_only_once_each() -> None:
    polled = Polled()
    told = []
    for reason in (Reason.TIMEOUT, Reason.CONNECTION) * 20:
        polled.fail(reason)
        told += polled.log()
    assert [line["reason"] for line in told] == ["timeout", "connection"]


def test_each_outage_is_told() -> None:
    polled = Polled()
    told = []
    for _ in range(2):
        polled.fail(Reason.TIMEOUT)
        told += polled.log(3)
        polled.heal()
        told += polled.log(3)
    assert [line["event"] for line in told] == ["poll failed", "poll works again"] * 2


def test_each_failed_poll_has_a_line_at_the_level_debug() -> None:
    polled = Polled()
    polled.fail(Reason.TIMEOUT)
    with capture_logs() as lines:
        for _ in range(3):
            asyncio.run(polled.poller.sweep())
    assert [line["event"] for line in lines] == ["poll failed", "poll failed again", "poll failed again"]


def test_discovery_is_told_of_in_the_same_way() -> None:
    polled = Polled()
    polled.heal()
    polled.source.shown = PollError(Reason.ACCESS_DENIED, "no")
    first, *more = polled.log(30)
    assert (first["event"], first["target"], first["reason"], more) == ("discovery failed", "main", "access_denied", [])
    polled.source.shown = [listing(STUDIO)]
    [end] = polled.log(30)
    assert (end["event"], end["failures"]) == ("discovery works again", 30)


def test_nothing_is_told_of_what_is_taken_out_and_an_outage_begins_anew_when_it_comes_back() -> None:
    polled = Polled()
    polled.fail(Reason.TIMEOUT)
    polled.log(5)
    polled.source.shown = []
    assert polled.log() == []
    polled.source.shown = [listing(STUDIO)]
    assert [line["event"] for line in polled.log()] == ["poll failed"]
