"""The backups themselves, for a person who looks one up: ids never become labels.

In go targets, out come rows read by a walk over every listing, and these as a table or as JSON.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

import msgspec

from exporter.backups import Backup, Studio, label
from exporter.pages import duration_in_words
from exporter.sources import Deadline, Listing, PollError
from exporter.status import Target
from exporter.threads import Threads

T = TypeVar("T")


class Row(msgspec.Struct, frozen=True):
    """A backup, its studio and the target that it was found by."""

    target: Target
    studio: Studio
    backup: Backup


class Failure(msgspec.Struct, frozen=True):
    """What of a target could not be read: its discovery, or one listing."""

    target: Target
    listing: str
    error: PollError

    def __str__(self) -> str:
        what = f"listing {self.listing}" if self.listing else "discovery"
        code = f" ({self.error.code})" if self.error.code else ""
        return f"target {self.target.name}: {what}: {self.error.reason}: {self.error}{code}"


def walk(
    targets: Sequence[Target], read: Callable[[Target, Listing, Deadline], Sequence[Row]], *, concurrency: int
) -> tuple[list[Row], list[Failure]]:
    """Discover every target, and give each listing to `read`, so many at a time. Return its rows, and what failed.

    A studio that two targets see is the first one's, as it is when polled.
    """
    rows, failures = asyncio.run(_walk(targets, read, concurrency))
    owners: dict[tuple[str, str, str], Target] = {}

    def is_first(row: Row) -> bool:
        key = (row.target.source.name, row.target.aws_region, row.studio.id)
        return owners.setdefault(key, row.target) is row.target

    return [row for row in rows if is_first(row)], failures


async def _walk(
    targets: Sequence[Target], read: Callable[[Target, Listing, Deadline], Sequence[Row]], concurrency: int
) -> tuple[list[Row], list[Failure]]:
    threads, places = Threads(), asyncio.Semaphore(concurrency)
    failures: list[Failure] = []

    async def attempt(target: Target, key: str, work: Callable[[Deadline], Sequence[T]]) -> Sequence[T]:
        async with places:
            deadline = Deadline(target.poll_timeout)
            try:
                return await threads.run((target.name, key), partial(work, deadline), deadline)
            except PollError as error:
                failures.append(Failure(target, key, error))
                return []

    found = await asyncio.gather(*(attempt(target, "", target.source.listings) for target in targets))
    listings = [(target, listing) for target, some in zip(targets, found, strict=True) for listing in some]
    answers = await asyncio.gather(*(attempt(each[0], each[1].key, partial(read, *each)) for each in listings))
    return [row for answer in answers for row in answer], failures


def every_backup(target: Target, listing: Listing, deadline: Deadline) -> list[Row]:
    """Read a listing to its end."""
    studios = {studio.id: studio.after(None) for studio in listing.studios or ()}
    rows: list[Backup] = []
    for page in target.source.read(listing, deadline):
        studios.update((studio.id, studio.after(studios.get(studio.id))) for studio in page.studios)
        rows.extend(page.backups)
    deadline.check()
    return [Row(target, studios[backup.studio], backup) for backup in rows]


def first_page(target: Target, listing: Listing, deadline: Deadline) -> list[Row]:
    """Read the first page that has to be read to know that the listing can be."""
    for page in target.source.read(listing, deadline):
        if page.backups or not page.studios:
            break
    return []


def select(rows: Sequence[Row], states: Collection[str], studio: str | None) -> list[Row]:
    """Return the rows of these states and this studio (its id or name), by studio, the newest first; none means any."""
    chosen = [
        row
        for row in rows
        if (not states or label(row.backup.state) in states)
        and (studio is None or studio in (row.studio.id, row.studio.name))
    ]
    return sorted(
        chosen, key=lambda row: (row.studio.name, row.studio.id, -(row.backup.created_at or 0), row.backup.id)
    )


def table(rows: Sequence[Row], now: float) -> str:
    """Return the rows as a table to read; `now` is a Unix time in seconds, which ages are reckoned from."""
    head = ("STUDIO", "BACKUP", "WORKSTATION", "STATE", "STATUS CODE", "CREATED (UTC)", "AGE", "MESSAGE")
    lines = [head, *(_cells(row, now) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines
    )


def as_json(rows: Sequence[Row], now: float) -> str:
    """Return the rows as a JSON array; `now` as for `table`."""
    return json.dumps([dict(_members(row, now)) for row in rows], indent=2) + "\n"


def _cells(row: Row, now: float) -> tuple[str, ...]:
    backup = row.backup
    created = "" if backup.created_at is None else f"{_moment(backup.created_at):%Y-%m-%d %H:%M:%S}"
    age = "" if backup.created_at is None else duration_in_words(now - backup.created_at)
    state, code = label(backup.state), label(backup.status_code)
    cells = (row.studio.name, backup.id, backup.workstation, state, code, created, age, backup.message)
    # What came over the network must not steer the terminal.
    return tuple("".join(c if c.isprintable() else " " for c in cell) for cell in cells)


def _members(row: Row, now: float) -> Iterator[tuple[str, Any]]:
    backup = row.backup
    yield "source", row.target.source.name
    yield "target", row.target.name
    yield "aws_region", row.target.aws_region
    yield "studio_id", row.studio.id
    yield "studio", row.studio.name
    yield "id", backup.id
    yield "workstation", backup.workstation
    yield "state", label(backup.state)
    yield "status_code", label(backup.status_code)
    yield "created_at", None if backup.created_at is None else _moment(backup.created_at).isoformat()
    yield "age_seconds", None if backup.created_at is None else round(now - backup.created_at)
    yield "message", backup.message


def _moment(unix_time: float) -> datetime:
    return datetime.fromtimestamp(unix_time, UTC)
