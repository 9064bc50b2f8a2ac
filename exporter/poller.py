"""When to poll.

In go targets with their sources, out comes a Status: an immutable picture of all that is known. The loop (asyncio) only
schedules and has the roster kept; each discovery and each poll runs in a daemon thread of its own, since executors are
joined at exit and a poll that hangs must not keep the process from ending.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from exporter import clock
from exporter.backups import Census, Studio
from exporter.claims import ListingId
from exporter.lanes import Lanes
from exporter.outages import Outages
from exporter.reading import read
from exporter.roster import Ended, Roster
from exporter.sources import Deadline, PollError, Reason
from exporter.status import Status, Target, TargetStatus
from exporter.threads import Threads

#: Consecutive multiples of it, less their whole part, are spread evenly however many there are (a Weyl sequence).
_GOLDEN_RATIO = 0.6180339887498949
#: Reasons that say a poll may have held its place until its deadline.
_SLOW = (Reason.TIMEOUT, Reason.CONNECTION)
#: The part of its poll_timeout for which a poll that is not known to be slow keeps others waiting.
_PATIENCE = 0.1


class Poller:
    """Polls the listings of all targets, each at its own interval, and keeps what they say.

    A listing whose last poll timed out or found no connection polls in a second lane of the same size, and a poll that
    takes long goes on there, so that those which hang cost the others nothing.
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
        #: What follows targets and polls listings. In one group: what is cancelled does not take another step.
        self._tasks: set[asyncio.Task[None]] = set()
        self._roster = Roster()
        self._reasons: dict[ListingId, Reason | None] = {}
        self._due: dict[ListingId, float] = {}
        self._threads = Threads()
        self._outages = Outages(clock)
        self._listings_begun = 0
        self._in_progress = 0
        self._lateness = 0.0
        self._ready = False
        self.reconfigure(targets, max_concurrent_polls=max_concurrent_polls)

    def status(self) -> Status:
        """Return all that is known now. It is for the thread of the loop: any other might see it half changed."""
        now, wall_now = self._clock(), self._wall_clock()
        studios = []
        for known in self._roster.studio_statuses(now):
            due = self._due.get((known.target.name, known.listing))
            next_poll = None if due is None else wall_now + due - now
            studios.append(msgspec.structs.replace(known, next_poll=next_poll))
        targets = self._roster.target_statuses()
        return Status(
            targets=targets,
            studios=studios,
            polls_in_progress=self._in_progress,
            abandoned_polls=self._threads.abandoned,
            lateness_seconds=self._lateness,
            ready=self._is_ready(now, targets),
        )

    def _is_ready(self, now: float, targets: Sequence[TargetStatus]) -> bool:
        if not self._ready:
            longest = max(known.target.poll_timeout for known in targets)
            self._ready = now - self._started >= 2 * longest or (
                all(known.up is not None for known in targets)
                and all(id in self._reasons for id in self._roster.listings if self._roster.is_polled(id))
            )
        return self._ready

    # When to poll

    async def run(self) -> None:
        """Poll until cancelled."""
        async with asyncio.TaskGroup() as self._group:
            self._follow_all(self._group)
            await asyncio.get_running_loop().create_future()

    def reconfigure(self, targets: Sequence[Target], *, max_concurrent_polls: int) -> None:
        """Poll other targets from now on: polls in flight are given up, and begun anew, as is discovery."""
        for task in self._tasks:
            task.cancel()
        self._lanes = Lanes(max_concurrent_polls)
        self._roster.retarget(targets)
        self._forget_the_gone()
        if self._group is not None:
            self._follow_all(self._group)

    def _follow_all(self, group: asyncio.TaskGroup) -> None:
        for target in self._roster.targets:
            self._start(group, self._follow(target, group))

    def _start(self, group: asyncio.TaskGroup, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def sweep(self) -> None:
        """Discover and poll everything once."""
        await asyncio.gather(*(self._discover(target) for target in self._roster.targets))
        now = self._clock()
        await asyncio.gather(
            *(self._poll_in_lane(id, due=now) for id in self._roster.listings if self._roster.is_polled(id))
        )

    async def _follow(self, target: Target, group: asyncio.TaskGroup) -> None:
        """Keep the target's listings as they are discovered, and poll each."""
        tasks: dict[ListingId, asyncio.Task[None]] = {}
        while True:
            discovered = await self._discover(target)
            for listing_id in tasks.keys() - self._roster.listings.keys():
                tasks.pop(listing_id).cancel()
            for listing_id in self._roster.listings:
                if listing_id[0] == target.name and listing_id not in tasks:
                    tasks[listing_id] = self._start(group, self._keep_polling(listing_id, target.poll_interval))
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
            if self._roster.is_polled(listing_id):
                await self._poll_in_lane(listing_id, due)
            missed = (self._clock() - due - step) // interval
            due += step + max(0, missed) * interval
            step = interval
            self._due[listing_id] = due
            await asyncio.sleep(max(0, due - self._clock()))

    async def _poll_in_lane(self, listing_id: ListingId, due: float) -> None:
        await self._threads.end_of(listing_id)
        slow = self._reasons.get(listing_id) in _SLOW
        patience = self._roster.target(listing_id).poll_timeout * _PATIENCE
        async with self._lanes.place(slow=slow, patience=patience):
            self._lateness = max(0.0, self._clock() - due)
            self._in_progress += 1
            try:
                await self._poll(listing_id)
            finally:
                self._in_progress -= 1

    async def _discover(self, target: Target) -> bool:
        """Have told what listings the target has. Return whether it could be."""
        discovery_id = (target.name, "")
        await self._threads.end_of(discovery_id)
        deadline = Deadline(target.poll_timeout)
        try:
            found = await self._threads.run(discovery_id, partial(target.source.listings, deadline), deadline)
        except PollError as error:
            self._roster.not_discovered(target, error)
            self._outages.failed(discovery_id, "discovery", error, target=target.name)
            return False
        self._outages.ended(discovery_id, "discovery", target=target.name)
        self._roster.discovered(target, found)
        self._forget_the_gone()
        return True

    async def _poll(self, listing_id: ListingId) -> None:
        target, listing = self._roster.target(listing_id), self._roster.listings[listing_id]
        deadline = Deadline(target.poll_timeout)
        found: dict[str, Studio] = {}
        censuses: Mapping[str, Census] = {}
        failure: PollError | None = None
        begun = self._clock()
        try:
            work = partial(read, target.source, listing, deadline, self._roster.censuses(listing_id), found)
            censuses = await self._threads.run(listing_id, work, deadline)
        except PollError as error:
            failure = error
        now = self._clock()
        self._reasons[listing_id] = failure.reason if failure else None
        self._roster.polled(listing_id, Ended(found, censuses, failure, now - begun, now, self._wall_clock()))
        called = self._roster.called(listing_id)
        if failure is not None:
            self._outages.failed(listing_id, "poll", failure, **called)
        else:
            self._outages.ended(listing_id, "poll", **called)

    def _forget_the_gone(self) -> None:
        """Keep no account of listings and targets that are no more."""
        there = self._roster.listings.keys()
        for known in (self._reasons, self._due):
            for listing_id in known.keys() - there:
                del known[listing_id]
        self._outages.keep({*there, *((target.name, "") for target in self._roster.targets)})
