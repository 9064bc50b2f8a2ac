"""What is known, whatever is told in whatever order: against rules that have to hold after each step."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from exporter.backups import Studio, Tally
from exporter.claims import ListingId
from exporter.roster import Ended, Roster
from exporter.sources import Listing, PollError, Reason
from exporter.status import Target
from tests.fakes import FakeSource, backup, listing, target

STUDIOS = [Studio(f"acct/{name}", name) for name in ("one", "two", "three")]
SOME = st.sets(st.sampled_from(STUDIOS))


@st.composite
def targets(draw: st.DrawFn) -> Sequence[Target]:
    made = []
    for name in draw(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, unique=True)):
        source = FakeSource()
        source.unwanted = {studio.id for studio in draw(SOME)}
        made.append(msgspec.structs.replace(target(source, name), scope=(draw(st.sampled_from("xy")),)))
    return made


class Told(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.roster = Roster()
        self.now = 0.0
        self.polls = dict.fromkeys((studio.id for studio in STUDIOS), 0)

    @rule(ordered=targets())
    def reload(self, ordered: Sequence[Target]) -> None:
        before = {known.studio.id: known for known in self.roster.studio_statuses(self.now)}
        scopes = {each.name: each.scope for each in self.roster.targets}
        self.roster.retarget(ordered)
        same = {each.name for each in ordered if scopes.get(each.name) == each.scope}
        assert {name for name, _ in self.roster.listings} <= same
        after = {known.studio.id: known for known in self.roster.studio_statuses(self.now)}
        for id, known in before.items():
            if known.target.name in same and self._target(known.target.name).source.wants(known.studio):
                assert after[id].census == known.census  # no gap

    def _target(self, name: str) -> Target:
        return next(each for each in self.roster.targets if each.name == name)

    @rule(data=st.data(), shown=SOME, reveals=st.booleans())
    def discover(self, data: st.DataObject, shown: set[Studio], reveals: bool) -> None:
        if self.roster.targets:
            of = data.draw(st.sampled_from(self.roster.targets))
            found = [listing(each, target=of.name) for each in shown if of.source.wants(each)]
            self.roster.discovered(of, found + [listing(target=of.name)] * reveals)
            assert {key for name, key in self.roster.listings if name == of.name} == {each.key for each in found} | (
                {"all"} if reveals else set()
            )

    @rule(data=st.data())
    def discovery_fails(self, data: st.DataObject) -> None:
        if self.roster.targets:
            self.roster.not_discovered(data.draw(st.sampled_from(self.roster.targets)), PollError(Reason.OTHER, "so"))

    @rule(data=st.data(), shown=SOME, fails=st.booleans(), count=st.integers(0, 3))
    def poll(self, data: st.DataObject, shown: set[Studio], fails: bool, count: int) -> None:
        polled = [id for id in self.roster.listings if self.roster.is_polled(id)]
        if not polled:
            return
        listing_id: ListingId = data.draw(st.sampled_from(polled))
        asked: Listing = self.roster.listings[listing_id]
        source = self.roster.target(listing_id).source
        found = {each.id: each for each in shown if asked.studios is None and source.wants(each)}
        before = {**dict.fromkeys(found), **self.roster.censuses(listing_id)}
        tallies = {id: Tally((), census) for id, census in before.items()}
        for id, tally in tallies.items():
            for number in range(count):
                tally.add(backup(f"b-{number}", id))
        censuses = {} if fails else {id: tally.census() for id, tally in tallies.items()}
        failure = PollError(Reason.TIMEOUT, "so") if fails else None
        self.now += 1
        self.roster.polled(listing_id, Ended(found, censuses, failure, 0.5, self.now, 1000 + self.now))
        for known in self.roster.studio_statuses(self.now):
            if (known.target.name, known.listing) == listing_id:
                assert known.up is not fails
                assert known.last_poll == 1000 + self.now
                assert fails or sum(known.census.counts.values()) == count  # type: ignore[union-attr]  # it was counted

    @invariant()
    def what_is_shown_is_of_the_targets_there_are(self) -> None:
        shown = self.roster.studio_statuses(self.now)
        assert len({known.studio.id for known in shown}) == len(shown)
        for known in shown:
            assert known.target in self.roster.targets
            assert (known.target.name, known.listing) in self.roster.listings
            assert known.target.source.wants(known.studio)
            assert known.polls >= self.polls[known.studio.id]  # counters never begin anew
            self.polls[known.studio.id] = known.polls
        told = {known.target.name: known.studios for known in self.roster.target_statuses()}
        assert list(told) == [each.name for each in self.roster.targets]
        assert sum(told.values()) >= len(shown)


TestTold = Told.TestCase
