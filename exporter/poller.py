"""When to poll, and what is known of each studio.

In go targets with their sources, out comes a Status: an immutable picture of all that is known. The loop (asyncio) only
schedules and keeps account; each discovery and each poll runs in a daemon thread of its own, since executors are joined
at exit and a poll that hangs must not keep the process from ending. What is known of a studio changes by replacing its
StudioStatus as a whole, in the loop's thread alone.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec
import structlog

from exporter import clock
from exporter.backups import Census, Studio
from exporter.claims import Claims, ListingId, StudioKey
from exporter.outages import Outages
from exporter.reading import read
from exporter.sources import Deadline, Listing, PollError, Reason
from exporter.status import Status, StudioStatus, Target, TargetStatus
from exporter.threads import Threads

#: Consecutive multiples of it, less their whole part, are spread evenly however many there are (a Weyl sequence).
_GOLDEN_RATIO = 0.6180339887498949
#: Reasons that say a poll may have held its place until its deadline.
_SLOW = (Reason.TIMEOUT, Reason.CONNECTION)

log = structlog.get_logger(__name__)


class Poller:
    """Polls the listings of all targets, each at its own interval, and keeps what they say.

    A listing whose last poll timed out or found no connection polls in a second lane of the same size, so that those
    which hang cost the others nothing.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        *,
        max_concurrent_polls: int,
        wall_clock: Callable[[], float] = time.time,
        clock: Callable[[], float] = clock.seconds,
    ) -> None:
        self._wall_clock = wall_clock
        self._clock = clock
        self._started = clock()
        self._group: asyncio.TaskGroup | None = None
        self._followers: list[asyncio.Task[None]] = []
        self._targets: dict[str, TargetStatus] = {}
        self._listings: dict[ListingId, Listing] = {}
        self._claims = Claims()
        self._studios: dict[StudioKey, StudioStatus] = {}
        #: Studios that no listing is for any more: one that a listing is for again goes on from there.
        self._gone: dict[StudioKey, StudioStatus] = {}
        #: Why a listing that is to reveal its studios has revealed none: for it, reading is discovering.
        self._unrevealed: dict[ListingId, PollError] = {}
        self._reasons: dict[ListingId, Reason | None] = {}
        self._due: dict[ListingId, float] = {}
        self._threads = Threads()
        self._outages = Outages(clock)
        self._listings_begun = 0
        self._in_progress = 0
        self._lateness = 0.0
        self._ready = False
        self.reconfigure(targets, max_concurrent_polls=max_concurrent_polls)

    # What is known

    def status(self) -> Status:
        """Return all that is known now. It is for the thread of the loop: any other might see it half changed."""
        now, wall_now = self._clock(), self._wall_clock()
        studios = []
        for _, known in sorted(self._studios.items(), key=lambda item: (item[1].studio.name, item[0])):
            stale = now - known.census_at > known.target.stale_after
            due = self._due.get((known.target.name, known.listing))
            studios.append(
                msgspec.structs.replace(
                    known,
                    census=None if stale else known.census,
                    next_poll=None if due is None else wall_now + due - now,
                )
            )
        found = Counter(listing_id[0] for listing_id in self._claims.owners.values())
        return Status(
            targets=[
                msgspec.structs.replace(self._with_unrevealed(known), studios=found[name])
                for name, known in self._targets.items()
            ],
            studios=studios,
            polls_in_progress=self._in_progress,
            abandoned_polls=self._threads.abandoned,
            lateness_seconds=self._lateness,
            ready=self._is_ready(now),
        )

    def _with_unrevealed(self, known: TargetStatus) -> TargetStatus:
        for listing_id, error in self._unrevealed.items():
            if listing_id[0] == known.target.name:
                return msgspec.structs.replace(known, up=False, error=error)
        return known

    def _is_ready(self, now: float) -> bool:
        if not self._ready:
            longest = max(status.target.poll_timeout for status in self._targets.values())
            self._ready = now - self._started >= 2 * longest or (
                all(status.up is not None for status in self._targets.values())
                and all(listing_id in self._reasons for listing_id in self._listings if self._is_polled(listing_id))
            )
        return self._ready

    # When to poll

    async def run(self) -> None:
        """Poll until cancelled."""
        async with asyncio.TaskGroup() as self._group:
            self._follow_all(self._group)
            await asyncio.get_running_loop().create_future()

    def reconfigure(self, targets: Sequence[Target], *, max_concurrent_polls: int) -> None:
        """Poll other targets from now on.

        Studios that no target is for any more go at once, and so does all that a target had which now asks elsewhere;
        the others keep their counts and counters. Polls in flight are given up, and begun anew, as is discovery.
        """
        for follower in self._followers:
            follower.cancel()
        before = {
            target.name: self._targets[target.name]
            for target in targets
            if target.name in self._targets and self._targets[target.name].target.scope == target.scope
        }
        for name in self._targets.keys() - before.keys():
            self._outages.forget((name, ""))
        self._targets = {
            target.name: msgspec.structs.replace(before.get(target.name) or TargetStatus(target), target=target)
            for target in targets
        }
        self._lanes = (asyncio.Semaphore(max_concurrent_polls), asyncio.Semaphore(max_concurrent_polls))
        for listing_id in list(self._listings):
            if listing_id[0] in before:
                self._narrow(listing_id)
            else:
                self._drop(listing_id)
        self._settle()
        if self._group is not None:
            self._follow_all(self._group)

    def _follow_all(self, group: asyncio.TaskGroup) -> None:
        self._followers = [group.create_task(self._follow(each.target)) for each in self._targets.values()]

    async def sweep(self) -> None:
        """Discover and poll everything once."""
        await asyncio.gather(*(self._discover(status.target) for status in self._targets.values()))
        now = self._clock()
        await asyncio.gather(
            *(self._poll_in_lane(listing_id, due=now) for listing_id in self._listings if self._is_polled(listing_id))
        )

    async def _follow(self, target: Target) -> None:
        """Keep the target's listings as they are discovered, and poll each."""
        tasks: dict[ListingId, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                discovered = await self._discover(target)
                for listing_id in [id for id in tasks if id not in self._listings]:
                    tasks.pop(listing_id).cancel()
                for listing_id in self._listings:
                    if listing_id[0] == target.name and listing_id not in tasks:
                        tasks[listing_id] = group.create_task(self._keep_polling(listing_id, target.poll_interval))
                await asyncio.sleep(
                    target.discovery_interval if discovered else min(target.discovery_interval, target.poll_interval)
                )

    async def _keep_polling(self, listing_id: ListingId, interval: float) -> None:
        """Poll at once, then at a fixed place in each interval: listings begun together are spread over it."""
        due = self._clock()
        place = 1 - (self._listings_begun * _GOLDEN_RATIO) % 1
        self._listings_begun += 1
        step = place * interval
        while True:
            if self._is_polled(listing_id):
                await self._poll_in_lane(listing_id, due)
            missed = (self._clock() - due - step) // interval
            due += step + max(0, missed) * interval
            step = interval
            self._due[listing_id] = due
            await asyncio.sleep(max(0, due - self._clock()))

    async def _poll_in_lane(self, listing_id: ListingId, due: float) -> None:
        await self._threads.end_of(listing_id)
        lane = self._lanes[self._reasons.get(listing_id) in _SLOW]
        async with lane:
            self._lateness = max(0.0, self._clock() - due)
            self._in_progress += 1
            try:
                await self._poll(self._targets[listing_id[0]].target, self._listings[listing_id])
            finally:
                self._in_progress -= 1

    # Discovery

    async def _discover(self, target: Target) -> bool:
        """Take in what listings the target has; keep those it had if that cannot be told. Return whether it could."""
        discovery_id = (target.name, "")
        await self._threads.end_of(discovery_id)
        deadline = Deadline(target.poll_timeout)
        before = self._targets[target.name]
        try:
            found = await self._threads.run(discovery_id, partial(target.source.listings, deadline), deadline)
        except PollError as error:
            self._targets[target.name] = msgspec.structs.replace(before, up=False, error=error)
            self._outages.failed(discovery_id, "discovery", error, target=target.name)
            return False
        self._outages.ended(discovery_id, "discovery", target=target.name)
        listings = {(target.name, listing.key): listing for listing in found}
        for listing_id in [id for id in self._listings if id[0] == target.name and id not in listings]:
            self._drop(listing_id)
        for listing_id, listing in listings.items():
            self._listings[listing_id] = listing
            self._claims.add(listing_id, (studio.id for studio in listing.studios or ()))
        self._settle()
        for listing_id, listing in listings.items():
            for studio in listing.studios or ():
                key = self._claims.key(listing_id, studio.id)
                known = self._studios.get(key)
                if known is not None and self._claims.owners[key] == listing_id:
                    self._studios[key] = msgspec.structs.replace(known, studio=studio.after(known.studio))
        self._targets[target.name] = TargetStatus(target, up=True)
        return True

    def _drop(self, listing_id: ListingId) -> None:
        for known in (self._listings, self._reasons, self._due, self._unrevealed):
            known.pop(listing_id, None)
        self._claims.drop(listing_id)
        self._outages.forget(listing_id)

    def _narrow(self, listing_id: ListingId) -> None:
        """Leave a listing those studios that its target's configuration is for; drop one that is left none."""
        wants = self._targets[listing_id[0]].target.source.wants
        wanted = {id for id in self._claims.studios(listing_id) if wants(self._studio(listing_id, id))}
        listing = self._listings[listing_id]
        if listing.studios is not None:
            listing = msgspec.structs.replace(listing, studios=tuple(s for s in listing.studios if s.id in wanted))
            self._listings[listing_id] = listing
        if listing.studios == ():
            self._drop(listing_id)
        else:
            self._claims.drop(listing_id)
            self._claims.add(listing_id, wanted)

    def _settle(self) -> None:
        """Give each studio to the listing that it is to be counted by; put away those that none is for."""
        self._claims.settle([known.target for known in self._targets.values()])
        owners = self._claims.owners
        for key in self._studios.keys() - owners.keys():
            self._gone[key] = self._studios.pop(key)
        for key, (name, listing) in owners.items():
            known = self._studios.get(key) or self._gone.pop(key, None)
            if known is not None:
                self._studios[key] = msgspec.structs.replace(known, target=self._targets[name].target, listing=listing)

    def _is_polled(self, listing_id: ListingId) -> bool:
        """Say whether any of the listing's studios is counted by it."""
        listing = self._listings[listing_id]
        if listing.studios is None:
            return True
        owned = [self._claims.is_owner(listing_id, studio.id) for studio in listing.studios]  # each is told of
        return any(owned)

    # A poll

    async def _poll(self, target: Target, listing: Listing) -> None:
        listing_id = (target.name, listing.key)
        deadline = Deadline(target.poll_timeout)
        found: dict[str, Studio] = {}
        before = {id: self._studios.get(self._claims.key(listing_id, id)) for id in self._claims.studios(listing_id)}
        previous = {id: known.census if known is not None else None for id, known in before.items()}
        begun = self._clock()
        censuses: Mapping[str, Census] = {}
        failure: PollError | None = None
        try:
            work = partial(read, target.source, listing, deadline, previous, found)
            censuses = await self._threads.run(listing_id, work, deadline)
        except PollError as error:
            failure = error
        if listing_id not in self._listings:
            return  # it was taken out meanwhile
        self._reasons[listing_id] = failure.reason if failure else None
        shown = found.keys() | censuses.keys()
        if shown - self._claims.studios(listing_id):
            self._claims.add(listing_id, shown)
            self._settle()
        self._unrevealed.pop(listing_id, None)
        if failure is not None and not self._claims.studios(listing_id):
            self._unrevealed[listing_id] = failure
        now, wall_now = self._clock(), self._wall_clock()
        for studio_id in self._claims.studios(listing_id):
            if self._claims.is_owner(listing_id, studio_id):
                key = self._claims.key(listing_id, studio_id)
                known = self._studios.get(key) or StudioStatus(self._studio(listing_id, studio_id), target, listing.key)
                known = msgspec.structs.replace(
                    known,
                    studio=found.get(studio_id, known.studio).after(known.studio),
                    polls=known.polls + 1,
                    duration_seconds=now - begun,
                    last_poll=wall_now,
                    error=failure,
                )
                if failure is not None:
                    known = known.failed(failure.reason)
                elif studio_id in censuses:
                    known = known.counted(censuses[studio_id], now, wall_now)
                self._studios[key] = known
        if failure is not None:
            self._outages.failed(listing_id, "poll", failure, **self._who(listing_id))
        else:
            self._outages.ended(listing_id, "poll", **self._who(listing_id))

    def _who(self, listing_id: ListingId) -> Mapping[str, str]:
        """Return what the log calls a listing: by its studio, where it is one studio's."""
        studios = self._listings[listing_id].studios
        if studios is None or len(studios) != 1:
            return {"target": listing_id[0], "listing": listing_id[1]}
        studio = self._studio(listing_id, studios[0].id)
        return {"target": listing_id[0], "studio": studio.name, "studio_id": studio.id}

    def _studio(self, listing_id: ListingId, studio_id: str) -> Studio:
        """Return what is known of one of a listing's studios."""
        known = self._studios.get(self._claims.key(listing_id, studio_id))
        if known is not None:
            return known.studio
        told = (studio for studio in self._listings[listing_id].studios or () if studio.id == studio_id)
        return next(told, Studio(studio_id)).after(None)
