"""Counting: a census against a plain recount, and its rules on odd values, workstations and failures."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.backups import FAILED_STATES, MAX_UNFORESEEN_PAIRS, OTHER, STATES, UNKNOWN, Backup, Census, Tally, label
from tests.fakes import backup

KNOWN = (("READY", "completed"), ("CREATE_FAILED", "error"))


def census(*backups: Backup, previous: Census | None = None) -> Census:
    tally = Tally(KNOWN, previous)
    for each in backups:
        tally.add(each)
    return tally.census()


def nonzero(counted: Census) -> dict[tuple[str, str], int]:
    return {pair: count for pair, count in counted.counts.items() if count}


def test_an_empty_listing_counts_zero_of_every_known_pair() -> None:
    assert dict(census().counts) == dict.fromkeys(KNOWN, 0)
    assert dict(census().latest_states) == dict.fromkeys(STATES, 0)
    assert census().stalest_ready is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, UNKNOWN),
        ("A_NEW_STATE", "A_NEW_STATE"),
        ("Client.InternalError", "Client.InternalError"),
        ("a" * 64, "a" * 64),
        ("a" * 65, OTHER),
        ("", OTHER),
        ('quo"te', OTHER),
        ("new\nline", OTHER),
        ("READY\n", OTHER),
        (5, OTHER),
        (["READY"], OTHER),
        ({"a": 1}, OTHER),
    ],
)
def test_a_value_becomes_a_label_only_if_it_looks_like_one(value: Any, expected: str) -> None:
    assert label(value) == expected
    assert nonzero(census(backup(state=value, status_code="x"))) == {(expected, "x"): 1}


def test_a_pair_once_seen_stays_at_zero() -> None:
    first = census(backup(state="NEW", status_code="odd"))
    assert census(previous=first).counts["NEW", "odd"] == 0


def test_unforeseen_pairs_beyond_the_limit_share_series_and_keep_a_known_state() -> None:
    crowd = [backup(f"b-{n}", state="CREATE_FAILED", status_code=f"code-{n}") for n in range(MAX_UNFORESEEN_PAIRS + 10)]
    counted = census(*crowd)
    assert counted.counts["CREATE_FAILED", OTHER] == 10
    assert sum(counted.counts.values()) == len(crowd)
    # The next listing finds the same pairs in another order: those that have series keep them.
    again = census(*reversed(crowd), previous=counted)
    assert again.counts == counted.counts
    strange = census(backup(state="STRANGE", status_code="strange"), previous=counted)
    assert nonzero(strange) == {(OTHER, OTHER): 1}


def test_odd_codes_cannot_make_series_without_end() -> None:
    crowd = [backup(f"b-{n}", state=f"STATE-{n}", status_code='"') for n in range(500)]
    assert len(census(*crowd).counts) <= len(KNOWN) + MAX_UNFORESEEN_PAIRS + 1


def test_newest_and_oldest_are_of_dated_backups_only() -> None:
    counted = census(
        backup("a", created_at=200.0),
        backup("b", created_at=100.0),
        backup("c", created_at=None),
        backup("d", created_at=None, state="CREATE_FAILED"),
    )
    assert counted.newest == {"READY": 200.0}
    assert counted.oldest == {"READY": 100.0}


def test_workstations_are_counted_by_their_newest_backup() -> None:
    counted = census(
        backup("a", workstation="ws-1", created_at=100.0),
        backup("b", workstation="ws-1", created_at=200.0, state="CREATE_FAILED"),
        backup("c", workstation="ws-2", created_at=300.0),
        backup("d", workstation="ws-2", created_at=50.0, state="CREATE_FAILED"),
        backup("e", workstation="ws-3", created_at=None),
        backup("f", workstation="", created_at=999.0),
    )
    assert {state: n for state, n in counted.latest_states.items() if n} == {"CREATE_FAILED": 1, "READY": 2}
    assert counted.workstations_ready == 3
    assert counted.stalest_ready == 100.0


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_backups_as_new_as_each_other_the_failed_one_is_told(order: int) -> None:
    both = [backup("a"), backup("b", state="START_FAILED")][::order]
    assert census(*both).latest_states["START_FAILED"] == 1


def test_failures_there_at_the_first_look_are_no_news() -> None:
    first = census(backup("a", state="CREATE_FAILED"))
    assert set(first.new_failures.values()) == {0}
    second = census(backup("a", state="CREATE_FAILED"), backup("b", state="CREATE_FAILED"), previous=first)
    assert second.new_failures == dict.fromkeys(FAILED_STATES, 0) | {"CREATE_FAILED": 1}


def test_a_failure_is_news_once_while_its_backup_is_listed() -> None:
    failed, retried = backup("a", state="CREATE_FAILED"), backup("a", state="CREATE_IN_PROGRESS")
    first = census()
    second = census(failed, previous=first)
    third = census(retried, previous=second)
    fourth = census(failed, previous=third)
    assert [c.new_failures["CREATE_FAILED"] for c in (second, third, fourth)] == [1, 0, 0]
    # Gone and come back, it is another one.
    assert census(failed, previous=census(previous=fourth)).new_failures["CREATE_FAILED"] == 1


def test_a_backup_that_fails_in_two_ways_is_news_twice() -> None:
    first = census()
    second = census(backup("a", state="CREATE_FAILED"), previous=first)
    third = census(backup("a", state="DELETE_FAILED"), previous=second)
    assert third.new_failures["DELETE_FAILED"] == 1


values = st.sampled_from([*STATES[:5], None, "NEW", "", 7]) | st.text(max_size=3)
backups = st.builds(
    Backup,
    id=st.sampled_from(["", "a", "b", "c", "d"]),
    studio=st.just("s"),
    workstation=st.sampled_from(["", "w1", "w2"]),
    state=values,
    status_code=values,
    created_at=st.none() | st.integers(0, 50).map(float),
)


@given(st.lists(backups, max_size=40))
def test_a_census_equals_a_plain_recount(given_backups: list[Backup]) -> None:
    counted = census(*given_backups)
    assert nonzero(counted) == Counter((label(b.state), label(b.status_code)) for b in given_backups)
    for state in {label(b.state) for b in given_backups}:
        dates = [b.created_at for b in given_backups if label(b.state) == state and b.created_at is not None]
        assert counted.newest.get(state) == max(dates, default=None)
        assert counted.oldest.get(state) == min(dates, default=None)
    ready = [b for b in given_backups if b.state == "READY" and b.workstation]
    assert counted.workstations_ready == len({b.workstation for b in ready})
    newest_ready = [
        max(dates)
        for w in {b.workstation for b in ready}
        if (dates := [b.created_at for b in ready if b.workstation == w and b.created_at is not None])
    ]
    assert counted.stalest_ready == min(newest_ready, default=None)
    assert sum(counted.latest_states.values()) == len({b.workstation for b in given_backups} - {""})
