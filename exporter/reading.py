"""A listing's pages -> a census of each of its studios: whole, or not at all.

In go a source and a listing, out come censuses, or a PollError. Runs in a poll's thread.
"""

from __future__ import annotations

from collections.abc import Mapping

from exporter.backups import Census, Studio, Tally
from exporter.sources import Deadline, Listing, Source


def read(
    source: Source,
    listing: Listing,
    deadline: Deadline,
    previous: Mapping[str, Census | None],
    found: dict[str, Studio],
) -> Mapping[str, Census]:
    """Read a listing to its end and return a census for each studio: those it was for before, and those found in it.

    `found` takes what the pages say of studios, as they come: a name that was answered stays though the listing fails.
    """
    tallies = {id: Tally(source.known_pairs, census) for id, census in previous.items()}
    for page in source.read(listing, deadline):
        deadline.check()
        for studio in page.studios:
            found[studio.id] = studio
            if studio.id not in tallies:
                tallies[studio.id] = Tally(source.known_pairs)
        for backup in page.backups:
            tally = tallies.get(backup.studio)
            if tally is None:
                tally = tallies[backup.studio] = Tally(source.known_pairs)
            tally.add(backup)
    deadline.check()
    return {id: tally.census() for id, tally in tallies.items()}
