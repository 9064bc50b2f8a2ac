"""Which listing a studio is counted by, where several are for it: the first, in the order of the file's targets.

In go targets and what studios their listings are for, known beforehand or found in them; out comes each studio's owner.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set

import structlog

from exporter.status import Target

ListingId = tuple[str, str]  # target's name, listing's key
StudioKey = tuple[str, str, str]  # source, region, studio's id: a vault's name may stand in several regions

log = structlog.get_logger(__name__)


class Claims:
    """What studios the listings are for. Owners are those of the last `settle`."""

    def __init__(self) -> None:
        self._claims: dict[ListingId, set[str]] = {}
        self._targets: dict[str, Target] = {}
        self._owners: dict[StudioKey, ListingId] = {}
        self._told: set[tuple[ListingId, str]] = set()

    @property
    def owners(self) -> Mapping[StudioKey, ListingId]:
        """Which listing each studio is counted by."""
        return self._owners

    def studios(self, listing_id: ListingId) -> Set[str]:
        """Return the ids of the studios that a listing is for."""
        return self._claims[listing_id]

    def add(self, listing_id: ListingId, studio_ids: Iterable[str]) -> None:
        """Take in that a listing is for these studios too."""
        self._claims.setdefault(listing_id, set()).update(studio_ids)

    def drop(self, listing_id: ListingId) -> None:
        """Forget a listing."""
        self._claims.pop(listing_id, None)

    def settle(self, targets: Sequence[Target]) -> None:
        """Give each studio to the first listing that is for it. Listings are of these targets, in the file's order."""
        self._targets = {target.name: target for target in targets}
        order = {name: place for place, name in enumerate(self._targets)}
        self._owners.clear()
        for listing_id in sorted(self._claims, key=lambda listing_id: order[listing_id[0]]):
            for studio_id in self._claims[listing_id]:
                self._owners.setdefault(self.key(listing_id, studio_id), listing_id)

    def key(self, listing_id: ListingId, studio_id: str) -> StudioKey:
        """Return what tells a listing's studio apart from all others."""
        target = self._targets[listing_id[0]]
        return target.source.name, target.aws_region, studio_id

    def is_owner(self, listing_id: ListingId, studio_id: str) -> bool:
        """Say whether a studio is counted by the listing; told once in the log where it is not."""
        owner = self._owners[self.key(listing_id, studio_id)]
        if owner == listing_id:
            return True
        if (listing_id, studio_id) not in self._told:
            self._told.add((listing_id, studio_id))
            log.warning(
                "studio is seen by two targets; the first in the file keeps it",
                studio_id=studio_id,
                kept_by=owner[0],
                left_out_of=listing_id[0],
            )
        return False
