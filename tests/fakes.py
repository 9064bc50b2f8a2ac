"""A source that no AWS service is behind: its listings and pages are what a test says they are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from exporter.backups import Backup, Pair, Studio
from exporter.sources import Deadline, Listing, Page, PollError, Reason
from exporter.status import Target


def backup(id: str = "b-1", studio: str = "acct/one", **members: Any) -> Backup:
    """Return a READY backup of one workstation, but for what `members` say."""
    given: dict[str, Any] = {"workstation": "ws-1", "state": "READY", "status_code": "completed", "created_at": 1000.0}
    return Backup(id=id, studio=studio, **given | members)


class FakeSource:
    """Yields `pages` for each read, or what `on_read` yields; discovery shows `shown`, or raises it.

    `unwanted` are the ids of studios that its configuration is not for.
    """

    name = "fake"
    known_pairs: Sequence[Pair] = (("READY", "completed"), ("CREATE_FAILED", "error"))

    def __init__(self, *shown: Listing) -> None:
        self.shown: Sequence[Listing] | PollError = shown
        self.pages: Sequence[Page] = ()
        self.on_read: Callable[[Listing, Deadline], Iterator[Page]] = lambda _listing, _deadline: iter(self.pages)
        self.reads: list[str] = []
        self.unwanted: Collection[str] = ()

    def listings(self, deadline: Deadline) -> Sequence[Listing]:
        if isinstance(self.shown, PollError):
            raise self.shown
        return self.shown

    def wants(self, studio: Studio) -> bool:
        return studio.id not in self.unwanted

    def read(self, listing: Listing, deadline: Deadline) -> Iterator[Page]:
        self.reads.append(listing.key)
        yield from self.on_read(listing, deadline)


def listing(studio: Studio | None = None, *, key: str = "all", target: str = "main") -> Listing:
    """Return a listing of the one studio, or of those that are found in it."""
    return Listing(studio.id if studio else key, target, (studio,) if studio else None)


def target(source: FakeSource, name: str = "main", **times: float) -> Target:
    """Return a target that polls every hour, unless `times` say otherwise."""
    given = {"poll_interval": 3600.0, "poll_timeout": 30.0, "stale_after": 18000.0, "discovery_interval": 3600.0}
    return Target(name=name, source=source, aws_region="us-west-2", scope=(), **(given | times))


def failing(reason: Reason) -> Callable[[Listing, Deadline], Iterator[Page]]:
    """Return an `on_read` that fails before its first page."""

    def read(_listing: Listing, _deadline: Deadline) -> Iterator[Page]:
        raise PollError(reason, "as the test wants it", code="Wanted")
        yield Page()

    return read
