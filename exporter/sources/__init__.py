"""Anywhere that keeps backups, and all that polling needs to know of it.

A source names its listings, and reads each in pages of backups. What goes wrong comes out as a PollError, with one of
nine reasons. Sources run in threads of their own; a Deadline is how the poller ends them.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from enum import StrEnum
from typing import Protocol, TypeVar

import msgspec

from exporter import clock
from exporter.backups import Backup, Pair, Studio

#: More pages than any listing has: a list that goes on beyond them is a fault of the far side.
MAX_PAGES = 10_000

T = TypeVar("T")


class Reason(StrEnum):
    """Why a poll failed: the values of the `reason` label."""

    THROTTLED = "throttled"
    ACCESS_DENIED = "access_denied"
    NOT_FOUND = "not_found"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    SERVER_ERROR = "server_error"
    BAD_RESPONSE = "bad_response"
    CREDENTIALS = "credentials"
    OTHER = "other"

    @property
    def advice(self) -> str:
        """What to do about it, in a sentence."""
        return _ADVICE[self]


_ADVICE = {
    Reason.THROTTLED: "There are too many requests for the API: lengthen poll_interval, or have the quota raised.",
    Reason.ACCESS_DENIED: "The identity may not read this: see the IAM policy in the documentation.",
    Reason.NOT_FOUND: "There is no such thing: see whether the id, the region and the account are right.",
    Reason.TIMEOUT: "No complete answer came in time: see whether the endpoint can be reached, and how slow it is.",
    Reason.CONNECTION: "There was no connection: see DNS, proxy, firewall and CA bundle.",
    Reason.SERVER_ERROR: "The far side failed: wait, and see whether AWS tells of trouble.",
    Reason.BAD_RESPONSE: "This is not what the API answers: see what stands between, a proxy perhaps.",
    Reason.CREDENTIALS: (
        "There are no valid credentials: see the environment, the profile, the role's trust policy and this machine's"
        " clock."
    ),
    Reason.OTHER: "See the message.",
}


class PollError(Exception):
    """A listing, or a discovery, that could not be read to its end.

    `code` is the API's error code or the exception's class, `request_id` the API's; both "" where there is none.
    """

    def __init__(self, reason: Reason, message: str, *, code: str = "", request_id: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.code = code
        self.request_id = request_id


class Deadline:
    """The moment by which a poll has to have ended, known to the thread that polls and to the one that waits.

    The polling thread checks it after each page and says how its present wait can be cut short; the waiting one calls
    `expire`, which does so.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = clock.seconds) -> None:
        self.seconds = seconds
        self._clock = clock
        self._end = clock() + seconds
        self._lock = threading.Lock()
        self._expired = False
        self._interrupt: Callable[[], None] | None = None
        #: Whether the last answer was a refusal for too many requests: it tells a throttled poll from a slow one.
        self.throttled = False

    @property
    def remaining(self) -> float:
        """Seconds left, 0 when it has passed."""
        return 0.0 if self._expired else max(0.0, self._end - self._clock())

    def check(self) -> None:
        """Raise a PollError if the deadline has passed."""
        if self.remaining == 0:
            raise self.error()

    def error(self) -> PollError:
        """Return what a poll that did not end in time failed of."""
        if self.throttled:
            return PollError(Reason.THROTTLED, f"still throttled after {self.seconds:g} s", code="DeadlinePassed")
        return PollError(Reason.TIMEOUT, f"no complete answer within {self.seconds:g} s", code="DeadlinePassed")

    def on_expiry(self, interrupt: Callable[[], None] | None) -> None:
        """Set what cuts the present wait short, in place of what was set before; None when nothing is waited for."""
        with self._lock:
            self._interrupt = interrupt
            if self._expired and interrupt is not None:
                interrupt()

    def expire(self) -> None:
        """End the poll now, from any thread: whatever it waits for is cut short and every check fails."""
        with self._lock:
            self._expired = True
            if self._interrupt is not None:
                self._interrupt()


class Listing(msgspec.Struct, frozen=True):
    """The unit of polling: one complete answer.

    `key` is unique within the target. `studios` are those the answer is for; None where they are found in it. What is
    not known of them yet may come with a Page.
    """

    key: str
    target: str
    studios: tuple[Studio, ...] | None


class Page(msgspec.Struct, frozen=True):
    """A part of a listing: some backups, and what it says of studios beyond what the Listing did."""

    backups: Sequence[Backup] = ()
    studios: Sequence[Studio] = ()


class Source(Protocol):
    """A target's access to its backups. Discovery and reading block, and raise nothing but PollError."""

    @property
    def name(self) -> str:
        """The `source` label."""

    @property
    def known_pairs(self) -> Collection[Pair]:
        """(state, status_code) that are exported even where there are none."""

    def wants(self, studio: Studio) -> bool:
        """Say whether the configuration is for a studio, as far as that tells by itself."""

    def listings(self, deadline: Deadline) -> Sequence[Listing]:
        """Discovery: return what there is to poll."""

    def read(self, listing: Listing, deadline: Deadline) -> Iterator[Page]:
        """Yield the listing's pages. It is complete, and only then counts, when the iterator ends by itself."""


def selected(names: Collection[str], include: Sequence[re.Pattern[str]], exclude: Sequence[re.Pattern[str]]) -> bool:
    """Say whether a whole name matches what is to be included (everything if nothing is) and none what is not."""

    def matches(patterns: Sequence[re.Pattern[str]]) -> bool:
        return any(pattern.fullmatch(name) for pattern in patterns for name in names)

    return (not include or matches(include)) and not matches(exclude)


def pages(fetch: Callable[[str | None], tuple[T, str | None]], deadline: Deadline) -> Iterator[T]:
    """Yield what `fetch` returns for each token, from None to the last: one that is None or empty.

    Raises a PollError when the deadline passes, when a token comes back (the list would never end) and after MAX_PAGES.
    """
    token: str | None = None
    seen: set[str] = set()
    for _ in range(MAX_PAGES):
        page, token = fetch(token)
        deadline.check()
        yield page
        if not token:
            return
        if token in seen:
            raise PollError(Reason.BAD_RESPONSE, "the same nextToken came twice: the list would never end")
        seen.add(token)
    raise PollError(Reason.BAD_RESPONSE, f"the list did not end within {MAX_PAGES} pages")
