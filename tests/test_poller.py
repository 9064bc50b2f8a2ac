"""When to poll, and what is known: with a source that is no AWS service, so that the poller can know none."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec
import pytest

from exporter.backups import Studio
from exporter.poller import Poller
from exporter.sources import Deadline, Listing, Page, PollError, Reason
from exporter.status import StudioStatus, Target
from tests.fakes import FakeSource, backup, failing, listing, target
from tests.hostile.book import shown
from tests.waiting import event_loop_lag, until

ONE, TWO, THREE = (Studio(f"acct/{name}", name) for name in ("one", "two", "three"))


def poller(*targets: Target, lanes: int = 4, clock: list[float] | None = None) -> Poller:
    if clock is None:
        return Poller(targets, max_concurrent_polls=lanes)
    return Poller(targets, max_concurrent_polls=lanes, clock=lambda: clock[0])


def sweep(made: Poller) -> dict[str, StudioStatus]:
    """Poll everything once and return what is known, by the studio's name."""
    asyncio.run(made.sweep())
    return known(made)


def known(made: Poller) -> dict[str, StudioStatus]:
    return {studio.studio.name: studio for studio in made.status().studios}


def counts(studio: StudioStatus) -> dict[tuple[str, str], int] | None:
    return None if studio.census is None else {pair: n for pair, n in studio.census.counts.items() if n}


def test_one_listing_can_be_of_three_studios() -> None:
    source = FakeSource(listing())
    source.pages = [
        Page([backup("a", ONE.id), backup("b", TWO.id)], [ONE, TWO]),
        Page([backup("c", ONE.id), backup("d", THREE.id, state="CREATE_FAILED", status_code="error")], [THREE]),
    ]
    studios = sweep(poller(target(source)))
    assert {name: counts(studio) for name, studio in studios.items()} == {
        "one": {("READY", "completed"): 2},
        "two": {("READY", "completed"): 1},
        "three": {("CREATE_FAILED", "error"): 1},
    }
    assert len({studio.duration_seconds for studio in studios.values()}) == 1
    assert source.reads == ["all"]


def test_a_studio_that_a_listing_revealed_stays_at_zero() -> None:
    source = FakeSource(listing())
    source.pages = [Page([backup("a", ONE.id), backup("b", TWO.id)], [ONE, TWO])]
    made = poller(target(source))
    sweep(made)
    source.pages = [Page([backup("a", ONE.id)], [ONE])]
    studios = sweep(made)
    assert counts(studios["two"]) == {}
    assert studios["two"].up


def test_the_failure_of_a_listing_is_that_of_all_its_studios() -> None:
    source = FakeSource(listing())
    source.pages = [Page([backup("a", ONE.id), backup("b", TWO.id)], [ONE, TWO])]
    made = poller(target(source))
    sweep(made)
    source.on_read = failing(Reason.THROTTLED)
    studios = sweep(made)
    assert {name: (studio.up, dict(studio.failures)) for name, studio in studios.items()} == {
        "one": (False, {Reason.THROTTLED: 1}),
        "two": (False, {Reason.THROTTLED: 1}),
    }


def test_a_listing_that_fails_late_changes_no_count() -> None:
    source = FakeSource(listing(ONE))
    source.pages = [Page([backup("a")])]
    made = poller(target(source))
    sweep(made)

    def fail_on_the_second_page(_listing: Listing, _deadline: Deadline) -> Iterator[Page]:
        yield Page([backup("a"), backup("b"), backup("c")])
        raise PollError(Reason.SERVER_ERROR, "late")

    source.on_read = fail_on_the_second_page
    studio = sweep(made)["one"]
    assert counts(studio) == {("READY", "completed"): 1}
    assert not studio.up


def test_nothing_is_known_of_a_studio_before_its_first_poll_ended() -> None:
    async def run() -> None:
        release = threading.Event()
        source = FakeSource(listing(ONE))

        def wait(_listing: Listing, _deadline: Deadline) -> Iterator[Page]:
            release.wait()
            yield Page()

        source.on_read = wait
        made = poller(target(source))
        sweeping = asyncio.create_task(made.sweep())
        await until(lambda: source.reads)
        assert known(made) == {}
        assert made.status().polls_in_progress == 1
        assert not made.status().ready
        release.set()
        await sweeping
        assert made.status().ready

    asyncio.run(run())


def test_a_failing_studio_shows_its_last_good_counts_until_they_are_stale() -> None:
    clock = [0.0]
    source = FakeSource(listing(ONE))
    source.pages = [Page([backup("a")])]
    made = poller(target(source, stale_after=300.0), clock=clock)
    sweep(made)
    good = known(made)["one"].last_success
    source.on_read = failing(Reason.ACCESS_DENIED)
    clock[0] = 300.0
    studio = sweep(made)["one"]
    assert not studio.up
    assert counts(studio) == {("READY", "completed"): 1}
    clock[0] = 300.1
    studio = sweep(made)["one"]
    assert studio.census is None
    assert studio.last_success == good
    assert studio.polls == 3
    source.on_read = lambda _listing, _deadline: iter([Page([backup("a"), backup("b")])])
    assert counts(sweep(made)["one"]) == {("READY", "completed"): 2}


def test_failures_are_counted_as_new_across_failed_polls_even_when_counts_went_stale() -> None:
    clock = [0.0]
    source = FakeSource(listing(ONE))
    source.pages = [Page([backup("a", state="CREATE_FAILED")])]
    made = poller(target(source, stale_after=300.0), clock=clock)
    assert sweep(made)["one"].new_failures["CREATE_FAILED"] == 0
    source.on_read = failing(Reason.TIMEOUT)
    clock[0] = 1000.0
    sweep(made)
    both = Page([backup("a", state="CREATE_FAILED"), backup("b", state="CREATE_FAILED")])
    source.on_read = lambda _listing, _deadline: iter([both])
    assert sweep(made)["one"].new_failures["CREATE_FAILED"] == 1
    assert sweep(made)["one"].new_failures["CREATE_FAILED"] == 1


def test_a_name_that_was_answered_stays_though_the_listing_fails() -> None:
    source = FakeSource(listing(Studio(ONE.id, ONE.id)))

    def named_then_failed(_listing: Listing, _deadline: Deadline) -> Iterator[Page]:
        yield Page(studios=[ONE])
        raise PollError(Reason.SERVER_ERROR, "after the name")

    source.on_read = named_then_failed
    assert sweep(poller(target(source))).keys() == {"one"}


def test_a_name_stays_when_a_later_listing_does_not_tell_it_again() -> None:
    source = FakeSource(listing(Studio(ONE.id, ONE.id)))
    source.pages = [Page(studios=[ONE])]
    made = poller(target(source, poll_interval=0.02))

    async def run() -> None:
        polling = asyncio.create_task(made.run())
        await until(lambda: known(made).keys() == {"one"})
        source.pages = [Page()]
        await until(lambda: len(source.reads) >= 4)
        polling.cancel()

    asyncio.run(run())
    assert known(made).keys() == {"one"}


def test_a_studio_without_a_name_is_called_by_its_last_one_or_by_its_id() -> None:
    source = FakeSource(listing(Studio(ONE.id)))
    made = poller(target(source))
    assert sweep(made).keys() == {ONE.id}
    source.shown = [listing(Studio(ONE.id, "one", "The One", "acct"))]
    assert sweep(made)["one"].studio == Studio(ONE.id, "one", "The One", "acct")
    source.shown = [listing(Studio(ONE.id, display_name="Number One"))]
    assert sweep(made)["one"].studio == Studio(ONE.id, "one", "Number One", "acct")


def test_a_failure_that_is_kept_keeps_nothing_of_the_poll() -> None:
    held = []

    class Body:
        """Something that can be watched."""

    def read(_listing: Listing, _deadline: Deadline) -> Iterator[Page]:
        body = Body()
        held.append(weakref.ref(body))
        try:
            raise ValueError("no", body)
        except ValueError as error:
            raise PollError(Reason.BAD_RESPONSE, "no") from error
        yield Page()

    source = FakeSource(listing(ONE))
    source.on_read = read
    gc.disable()
    try:
        assert sweep(poller(target(source)))["one"].error
        assert held[0]() is None
    finally:
        gc.enable()


@shown(
    "Answers that are none",
    "anything that makes a source raise what it should not",
    "`other`, with the name of the exception",
)
def test_a_fault_in_a_source_fails_its_own_poll_only() -> None:
    broken, healthy = FakeSource(listing(ONE)), FakeSource(listing(TWO, target="other"))

    def fault(_listing: Listing, _deadline: Deadline) -> Iterator[Page]:
        yield Page()
        raise ZeroDivisionError

    broken.on_read = fault
    studios = sweep(poller(target(broken), target(healthy, "other")))
    assert studios["one"].failures == {Reason.OTHER: 1}
    assert studios["two"].up


@shown(
    "The machine",
    "no thread can be started",
    "`other` (RuntimeError): `no thread could be started: can't start new thread`, until one can be",
)
def test_a_poll_that_has_no_thread_fails_and_the_next_one_may_have_one(monkeypatch: pytest.MonkeyPatch) -> None:
    source = FakeSource(listing(ONE))
    made = poller(target(source))
    sweep(made)

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        error = sweep(made)["one"].error
    assert error is not None
    assert (error.reason, error.code) == (Reason.OTHER, "RuntimeError")
    assert str(error) == "no thread could be started: can't start new thread"
    assert [known.up for known in made.status().targets] == [False]
    assert made.status().abandoned_polls == 0
    assert sweep(made)["one"].up
    assert [known.up for known in made.status().targets] == [True]


class Hanging:
    """Reads that heed nothing: they end when they are released."""

    def __init__(self) -> None:
        self.released = threading.Event()

    def __call__(self, _listing: Listing, _deadline: Deadline) -> Iterator[Page]:
        self.released.wait()
        yield Page([backup("late")])


def test_a_hanging_poll_is_recorded_in_time_and_its_late_result_is_not_wanted() -> None:
    async def run() -> None:
        hanging = Hanging()
        source = FakeSource(listing(ONE))
        source.on_read = hanging
        made = poller(target(source, poll_timeout=0.2))
        begun = time.monotonic()
        await made.sweep()
        assert time.monotonic() - begun < 5  # it would never end by itself
        studio = known(made)["one"]
        assert (studio.up, dict(studio.failures)) == (False, {Reason.TIMEOUT: 1})
        assert made.status().abandoned_polls == 1
        assert made.status().polls_in_progress == 0
        hanging.released.set()
        await until(lambda: made.status().abandoned_polls == 0)
        assert known(made)["one"].census is None

    asyncio.run(run())


def test_a_poll_that_was_throttled_to_its_deadline_is_throttled() -> None:
    source = FakeSource(listing(ONE))
    released = threading.Event()

    def throttled(_listing: Listing, deadline: Deadline) -> Iterator[Page]:
        deadline.throttled = True
        released.wait()
        yield Page()

    source.on_read = throttled
    studio = sweep(poller(target(source, poll_timeout=0.1)))["one"]
    released.set()
    assert studio.failures == {Reason.THROTTLED: 1}


def test_no_poll_begins_while_an_abandoned_one_of_its_listing_lives() -> None:
    async def run() -> None:
        hanging = Hanging()
        source = FakeSource(listing(ONE))
        source.on_read = hanging
        made = poller(target(source, poll_interval=0.05, poll_timeout=0.05))
        polling = asyncio.create_task(made.run())
        await until(lambda: known(made))
        assert source.reads == [ONE.id]
        source.on_read = lambda _listing, _deadline: iter([Page([backup("a")])])
        hanging.released.set()
        await until(lambda: known(made)["one"].up)
        polling.cancel()

    asyncio.run(run())


def test_hanging_listings_do_not_keep_healthy_ones_from_being_polled() -> None:
    async def run() -> None:
        sick = [Studio(f"sick/{n}", f"sick-{n}") for n in range(10)]
        source = FakeSource(*(listing(studio) for studio in [*sick, ONE, TWO]))
        polls: dict[str, list[float]] = {ONE.id: [], TWO.id: []}

        def read(asked: Listing, deadline: Deadline) -> Iterator[Page]:
            if asked.key.startswith("sick"):
                expired = threading.Event()
                deadline.on_expiry(expired.set)
                expired.wait()
            else:
                polls[asked.key].append(time.monotonic())
            yield Page()

        source.on_read = read
        made = poller(target(source, poll_interval=2.0, poll_timeout=1.6), lanes=2)
        polling = asyncio.create_task(made.run())
        await until(lambda: len(known(made)) == 12)
        settled = len(polls[ONE.id])
        await until(lambda: min(map(len, polls.values())) >= settled + 4)
        gaps = [late - early for times in polls.values() for early, late in pairwise(times[-4:])]
        # Ten that hang for 1.6 s each, two at a time, would make 8 s of it in one lane.
        assert max(gaps) < 5
        assert made.status().abandoned_polls <= 10
        polling.cancel()

    asyncio.run(run())


def test_listings_that_hang_from_the_start_keep_healthy_ones_waiting_for_less_than_an_interval() -> None:
    async def run() -> None:
        sick = [Studio(f"sick/{n}", f"sick-{n}") for n in range(10)]
        source = FakeSource(*(listing(studio) for studio in [*sick, ONE]))
        at_once = 0

        def read(asked: Listing, deadline: Deadline) -> Iterator[Page]:
            if asked.key != ONE.id:
                expired = threading.Event()
                deadline.on_expiry(expired.set)
                expired.wait()
            yield Page()

        source.on_read = read
        made = poller(target(source, poll_interval=5.0, poll_timeout=1.0), lanes=2)
        begun = time.monotonic()
        polling = asyncio.create_task(made.run())

        def is_known() -> bool:
            nonlocal at_once
            at_once = max(at_once, made.status().polls_in_progress)
            return "one" in known(made)

        async with event_loop_lag() as lag:
            await until(is_known)
        # One lane alone would take 5 s for ten that hang for a second each, two at a time.
        assert time.monotonic() - begun < 4 + lag.worst
        assert at_once == 4
        polling.cancel()

    asyncio.run(run())


def test_polls_of_listings_begun_together_are_spread_over_the_interval() -> None:
    async def run() -> None:
        studios = [Studio(f"s/{n}", f"s-{n}") for n in range(20)]
        source = FakeSource(*(listing(studio) for studio in studios))
        made = poller(target(source, poll_interval=100.0))
        polling = asyncio.create_task(made.run())
        await until(lambda: all(studio.next_poll for studio in known(made).values()) and len(known(made)) == 20)
        due = sorted(studio.next_poll or 0 for studio in known(made).values())
        polling.cancel()
        gaps = [late - early for early, late in pairwise(due)]
        assert max(gaps) < 15
        assert due[-1] - time.time() <= 100

    asyncio.run(run())


def test_a_studio_that_is_discovered_no_longer_goes_at_once_and_one_that_stays_keeps_its_counters() -> None:
    source = FakeSource(listing(ONE), listing(TWO))
    made = poller(target(source))
    sweep(made)
    source.shown = [listing(ONE), listing(THREE)]
    assert {name: studio.polls for name, studio in sweep(made).items()} == {"one": 2, "three": 1}


def test_discovery_that_fails_after_it_worked_keeps_the_studios() -> None:
    source = FakeSource(listing(ONE))
    made = poller(target(source))
    sweep(made)
    source.shown = PollError(Reason.ACCESS_DENIED, "no more")
    assert sweep(made)["one"].polls == 2
    [status] = made.status().targets
    assert (status.up, status.studios, str(status.error)) == (False, 1, "no more")


@pytest.mark.parametrize("first_in_file", ["early", "late"])
def test_a_studio_that_two_targets_see_is_the_first_ones(first_in_file: str) -> None:
    early, late = FakeSource(listing(ONE)), FakeSource(listing(ONE, target="late"))
    targets: Sequence[Target] = [target(early, "early"), target(late, "late")]
    if first_in_file == "late":
        targets = targets[::-1]
    studios = sweep(poller(*targets))
    assert studios["one"].target.name == first_in_file
    assert (early.reads, late.reads) == (([ONE.id], []) if first_in_file == "early" else ([], [ONE.id]))


def test_a_studio_found_in_two_listings_is_the_first_ones() -> None:
    first, second = FakeSource(listing()), FakeSource(listing(key="other", target="second"))
    first.pages = [Page([backup("a")], [ONE])]
    second.pages = [Page([backup("b"), backup("c"), backup("d", TWO.id)], [ONE, TWO])]
    made = poller(target(first, "first"), target(second, "second"))
    for _ in range(2):  # whichever ended first
        studios = sweep(made)
    assert counts(studios["one"]) == {("READY", "completed"): 1}
    assert studios["one"].target.name == "first"
    assert studios["two"].target.name == "second"


def test_what_was_seen_twice_is_taken_over_when_the_first_target_loses_it() -> None:
    first, second = FakeSource(listing(ONE)), FakeSource(listing(ONE, target="second"))
    made = poller(target(first, "first"), target(second, "second"))
    sweep(made)
    first.shown = []
    assert sweep(made)["one"].target.name == "second"


def test_it_is_ready_in_the_end_though_a_discovery_never_ends() -> None:
    clock = [0.0]
    made = poller(target(FakeSource(), poll_timeout=30.0), clock=clock)
    assert not made.status().ready
    clock[0] = 60.0
    assert made.status().ready


def test_discovery_is_tried_again_at_the_poll_interval_while_it_fails() -> None:
    async def run() -> None:
        source = FakeSource()
        source.shown = PollError(Reason.CONNECTION, "not yet")
        made = poller(target(source, poll_interval=0.05, discovery_interval=3600.0))
        polling = asyncio.create_task(made.run())
        await until(lambda: made.status().targets[0].up is False)
        source.shown = [listing(ONE)]
        await until(lambda: known(made))
        polling.cancel()

    asyncio.run(run())


def test_a_listing_that_goes_while_it_is_polled_leaves_nothing() -> None:
    async def run() -> None:
        hanging = Hanging()
        source = FakeSource(listing(ONE))
        source.on_read = hanging
        made = poller(target(source, poll_interval=0.05, poll_timeout=20.0, discovery_interval=0.05))
        polling = asyncio.create_task(made.run())
        await until(lambda: source.reads)
        source.shown = []
        await until(lambda: made.status().polls_in_progress == 0)
        hanging.released.set()
        await until(lambda: made.status().abandoned_polls == 0)
        assert known(made) == {}
        polling.cancel()

    asyncio.run(run())


def test_other_targets_can_be_polled_from_now_on() -> None:
    async def run() -> None:
        stays, goes, comes = FakeSource(listing(ONE)), FakeSource(listing(TWO, target="goes")), FakeSource()
        comes.shown = [listing(THREE, target="comes")]
        for source in (stays, goes, comes):
            source.pages = [Page()]
        made = poller(target(stays), target(goes, "goes"))
        polling = asyncio.create_task(made.run())
        await until(lambda: known(made).keys() == {"one", "two"})
        made.reconfigure([target(stays), target(comes, "comes")], max_concurrent_polls=1)
        assert known(made).keys() == {"one"}  # what is gone is gone at once
        await until(lambda: known(made).keys() == {"one", "three"})
        await until(lambda: known(made)["one"].polls == 2)  # and counters go on
        assert [status.target.name for status in made.status().targets] == ["main", "comes"]
        polling.cancel()

    asyncio.run(run())


def test_a_poll_in_flight_is_given_up_when_targets_change_and_its_listing_waits_for_it() -> None:
    async def run() -> None:
        hanging = Hanging()
        old, new = FakeSource(listing(ONE)), FakeSource(listing(ONE))
        old.on_read = hanging
        new.pages = [Page([backup("a")])]
        made = poller(target(old))
        polling = asyncio.create_task(made.run())
        await until(lambda: old.reads)
        made.reconfigure([target(new)], max_concurrent_polls=4)
        await until(lambda: made.status().abandoned_polls == 1)
        assert made.status().polls_in_progress == 0
        assert new.reads == []
        hanging.released.set()
        await until(lambda: known(made))
        assert counts(known(made)["one"]) == {("READY", "completed"): 1}
        assert (old.reads, new.reads) == ([ONE.id], [ONE.id])
        polling.cancel()

    asyncio.run(run())


def test_a_studio_that_a_changed_target_no_longer_shows_goes_with_its_discovery() -> None:
    async def run() -> None:
        both, one = FakeSource(listing(ONE), listing(TWO)), FakeSource(listing(ONE))
        made = poller(target(both))
        polling = asyncio.create_task(made.run())
        await until(lambda: len(known(made)) == 2)
        made.reconfigure([target(one)], max_concurrent_polls=4)
        await until(lambda: known(made).keys() == {"one"})
        polling.cancel()

    asyncio.run(run())


def test_studios_that_a_changed_configuration_is_not_for_go_at_once() -> None:
    several = Listing("several", "main", (TWO, THREE))
    source, changed = FakeSource(listing(ONE), several, listing()), FakeSource()
    found = [Studio("acct/four", "four"), Studio("acct/five", "five")]
    source.on_read = lambda listing, _deadline: iter([Page(studios=[] if listing.studios else found)])
    made = poller(target(source))
    assert sweep(made).keys() == {"one", "two", "three", "four", "five"}
    changed.shown = PollError(Reason.CONNECTION, "not now")
    changed.unwanted = {ONE.id, TWO.id, "acct/four"}
    made.reconfigure([target(changed)], max_concurrent_polls=1)
    assert known(made).keys() == {"three", "five"}
    assert {name: studio.polls for name, studio in sweep(made).items()} == {"three": 2, "five": 2}
    assert sorted(changed.reads) == ["all", "several"]


def test_a_studio_that_comes_back_goes_on_where_it_was() -> None:
    source = FakeSource(listing(ONE))
    source.pages = [Page([backup("a", state="CREATE_FAILED")])]
    made = poller(target(source))
    sweep(made)
    source.shown = []
    assert sweep(made) == {}
    source.shown = [listing(ONE)]
    source.pages = [Page([backup("a", state="CREATE_FAILED"), backup("b", state="CREATE_FAILED")])]
    studio = sweep(made)["one"]
    assert (studio.polls, studio.new_failures["CREATE_FAILED"]) == (2, 1)


def test_studios_are_told_in_the_order_of_their_names_whichever_was_polled_first() -> None:
    source = FakeSource(*(listing(studio) for studio in (TWO, THREE, ONE)), listing())
    source.on_read = lambda listing, _deadline: iter([] if listing.studios else [Page(studios=[Studio("x", "p")])])
    assert list(sweep(poller(target(source), lanes=1))) == ["one", "p", "three", "two"]


def test_the_same_id_in_two_regions_is_two_studios() -> None:
    west, east = FakeSource(listing(ONE)), FakeSource(listing(ONE, target="east"))
    west.pages, east.pages = [Page([backup("a")])], [Page([backup("b"), backup("c")])]
    made = poller(target(west, "west"), msgspec.structs.replace(target(east, "east"), aws_region="us-east-1"))
    asyncio.run(made.sweep())
    assert {(s.target.aws_region, sum((counts(s) or {}).values())) for s in made.status().studios} == {
        ("us-west-2", 1),
        ("us-east-1", 2),
    }


def test_a_listing_that_reveals_its_studios_and_never_could_be_read_is_a_discovery_that_fails() -> None:
    source = FakeSource(listing())
    source.on_read = failing(Reason.ACCESS_DENIED)
    made = poller(target(source))
    sweep(made)
    [status] = made.status().targets
    assert (status.up, status.error and status.error.reason) == (False, Reason.ACCESS_DENIED)
    source.on_read = lambda _listing, _deadline: iter([Page([backup("a")], [ONE])])
    sweep(made)
    assert made.status().targets[0].up
    source.on_read = failing(Reason.ACCESS_DENIED)
    assert not sweep(made)["one"].up
    assert made.status().targets[0].up  # its studios are known, and tell of it themselves


@pytest.mark.parametrize("turns", range(5))  # of the loop, in which the poll's end is noticed and its lane goes on
def test_what_is_about_to_go_on_when_targets_change_does_not(turns: int) -> None:
    async def run() -> None:
        hanging, waits = Hanging(), FakeSource(listing(ONE), listing(TWO))
        waits.on_read = hanging
        made = poller(target(waits, "goes"), lanes=1)
        polling = asyncio.create_task(made.run())
        await until(lambda: waits.reads)
        [thread] = [thread for thread in threading.enumerate() if thread.name == f"poll goes {ONE.id}"]
        hanging.released.set()
        thread.join()  # the loop stands still meanwhile
        for _ in range(turns):
            await asyncio.sleep(0)
        made.reconfigure([target(FakeSource(listing(THREE)))], max_concurrent_polls=1)
        await until(lambda: polling.done() or known(made).keys() == {"three"})
        assert not polling.done()
        polling.cancel()

    asyncio.run(run())
