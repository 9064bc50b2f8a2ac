"""What is known of targets, their listings and studios.

In go what discoveries and polls told, out come a TargetStatus and a StudioStatus each. What is known of one changes by
replacing its status as a whole. No I/O and no clock: times come with what is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from exporter.backups import Census, Studio
from exporter.claims import Claims, ListingId, StudioKey
from exporter.sources import Listing, PollError
from exporter.status import StudioStatus, Target, TargetStatus


class Ended(msgspec.Struct, frozen=True):
    """A poll that has ended: what it read, or why it failed, and when that was by either clock (seconds)."""

    #: What was told of studios, by their ids, though the poll may have failed afterwards.
    studios: Mapping[str, Studio]
    #: By the studios' ids; empty if it failed.
    censuses: Mapping[str, Census]
    failure: PollError | None
    duration: float
    now: float
    wall_now: float


class Roster:
    """The targets that there are, in the file's order; the listings that they were found to have; whose these are."""

    def __init__(self) -> None:
        self._targets: dict[str, TargetStatus] = {}
        self._listings: dict[ListingId, Listing] = {}
        self._claims = Claims()
        self._studios: dict[StudioKey, StudioStatus] = {}
        #: Studios that no listing is for any more: one that a listing is for again goes on from there.
        self._gone: dict[StudioKey, StudioStatus] = {}
        #: Why a listing that is to reveal its studios has revealed none: for it, reading is discovering.
        self._unrevealed: dict[ListingId, PollError] = {}

    @property
    def listings(self) -> Mapping[ListingId, Listing]:
        """The listings that there are to poll."""
        return self._listings

    @property
    def targets(self) -> Sequence[Target]:
        """The targets, in the file's order."""
        return [known.target for known in self._targets.values()]

    def target(self, listing_id: ListingId) -> Target:
        """Return a listing's target."""
        return self._targets[listing_id[0]].target

    def target_statuses(self) -> Sequence[TargetStatus]:
        """Return what is known of each target, in the file's order."""
        found = Counter(name for name, _ in self._claims.owners.values())
        unrevealed = {name: error for (name, _), error in reversed(self._unrevealed.items())}
        return [
            msgspec.structs.replace(
                known,
                up=False if name in unrevealed else known.up,
                error=unrevealed.get(name, known.error),
                studios=found[name],
            )
            for name, known in self._targets.items()
        ]

    def studio_statuses(self, now: float) -> Sequence[StudioStatus]:
        """Return what is known of each studio, by their names; without counts that are stale."""
        known_by_name = sorted(self._studios.items(), key=lambda item: (item[1].studio.name, item[0]))
        return [
            msgspec.structs.replace(known, census=None) if now - known.census_at > known.target.stale_after else known
            for _, known in known_by_name
        ]

    # What is told

    def retarget(self, targets: Sequence[Target]) -> None:
        """Have other targets from now on.

        Studios that no target is for any more go at once, and so does all that a target had which now asks elsewhere;
        the others keep their counts and counters.
        """
        before = {
            target.name: self._targets[target.name]
            for target in targets
            if target.name in self._targets and self._targets[target.name].target.scope == target.scope
        }
        self._targets = {
            target.name: msgspec.structs.replace(before.get(target.name) or TargetStatus(target), target=target)
            for target in targets
        }
        for listing_id in list(self._listings):
            if listing_id[0] in before:
                self._narrow(listing_id)
            else:
                self._drop(listing_id)
        self._settle()

    def discovered(self, target: Target, found: Iterable[Listing]) -> None:
        """Take in the listings that a target has; those that it had beside them go, with their studios."""
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

    def not_discovered(self, target: Target, error: PollError) -> None:
        """Take in that it cannot be told what listings a target has: it keeps those it had."""
        self._targets[target.name] = msgspec.structs.replace(self._targets[target.name], up=False, error=error)

    def polled(self, listing_id: ListingId, poll: Ended) -> None:
        """Take in what a poll read of a listing's studios, or that it failed for all of them."""
        shown = poll.studios.keys() | poll.censuses.keys()
        if shown - self._claims.studios(listing_id):
            self._claims.add(listing_id, shown)
            self._settle()
        self._unrevealed.pop(listing_id, None)
        if poll.failure is not None and not self._claims.studios(listing_id):
            self._unrevealed[listing_id] = poll.failure
        for studio_id in self._claims.studios(listing_id):
            if self._claims.is_owner(listing_id, studio_id):
                key = self._claims.key(listing_id, studio_id)
                known = self._studios.get(key) or StudioStatus(
                    self._studio(listing_id, studio_id), self.target(listing_id), listing_id[1]
                )
                known = msgspec.structs.replace(
                    known,
                    studio=poll.studios.get(studio_id, known.studio).after(known.studio),
                    polls=known.polls + 1,
                    duration_seconds=poll.duration,
                    last_poll=poll.wall_now,
                    error=poll.failure,
                )
                if poll.failure is not None:
                    known = known.failed(poll.failure.reason)
                elif studio_id in poll.censuses:
                    known = known.counted(poll.censuses[studio_id], poll.now, poll.wall_now)
                self._studios[key] = known

    # What is asked

    def is_polled(self, listing_id: ListingId) -> bool:
        """Say whether any of the listing's studios is counted by it."""
        listing = self._listings[listing_id]
        if listing.studios is None:
            return True
        owned = [self._claims.is_owner(listing_id, studio.id) for studio in listing.studios]  # each is told of
        return any(owned)

    def censuses(self, listing_id: ListingId) -> Mapping[str, Census | None]:
        """Return the last census, fresh or not, of each studio that a listing is for, by the studio's id."""
        known = {id: self._studios.get(self._claims.key(listing_id, id)) for id in self._claims.studios(listing_id)}
        return {id: status.census if status is not None else None for id, status in known.items()}

    def called(self, listing_id: ListingId) -> Mapping[str, str]:
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

    # Whose the studios are

    def _drop(self, listing_id: ListingId) -> None:
        self._listings.pop(listing_id)
        self._unrevealed.pop(listing_id, None)
        self._claims.drop(listing_id)

    def _narrow(self, listing_id: ListingId) -> None:
        """Leave a listing those studios that its target's configuration is for; drop one that is left none."""
        wants = self.target(listing_id).source.wants
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
        self._claims.settle(self.targets)
        owners = self._claims.owners
        for key in self._studios.keys() - owners.keys():
            self._gone[key] = self._studios.pop(key)
        for key, listing_id in owners.items():
            known = self._studios.get(key) or self._gone.pop(key, None)
            if known is not None:
                self._studios[key] = msgspec.structs.replace(
                    known, target=self.target(listing_id), listing=listing_id[1]
                )
