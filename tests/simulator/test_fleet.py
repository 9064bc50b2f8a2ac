"""The made-up fleet: the same for the same seed and time, plausible, and of documented words only."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.backups import FAILED_STATES, STATES
from exporter.simulator import Fleet, FleetBackup
from exporter.simulator.fleet import RETAINED
from exporter.sources.nimble import ERROR_CODES

NOW = 1.79e9


def fitting(state: str) -> set[str]:
    """Return the status codes that make sense with a state."""
    if state in FAILED_STATES:
        return set(ERROR_CODES)
    return {f"STREAMING_SESSION_{state}"} | ({"STREAMING_SESSION_STARTED"} if state == "READY" else set())


def everything(fleet: Fleet, now: float = NOW) -> list[FleetBackup]:
    return [backup for studio in fleet.studios(now) for backup in fleet.backups(studio.id, now)]


@given(st.integers(), st.floats(1e9, 4e9))
@settings(max_examples=30)
def test_the_same_seed_and_time_give_the_same_fleet(seed: int, now: float) -> None:
    backups = everything(Fleet(seed, studios=2, sessions=5, failure_ratio=0.3), now)
    assert backups == everything(Fleet(seed, studios=2, sessions=5, failure_ratio=0.3), now)
    assert len({backup.id for backup in backups}) == len(backups)
    for backup in backups:
        assert backup.state in STATES
        assert backup.status_code in fitting(backup.state)
        assert backup.created_at <= now
        assert backup.message


def test_another_seed_gives_another_fleet() -> None:
    assert {b.id for b in everything(Fleet(1))} & {b.id for b in everything(Fleet(2))} == set()


def test_a_fleet_looks_like_a_studio() -> None:
    states = Counter(backup.state for backup in everything(Fleet(1)))
    assert states["READY"] > 0.85 * states.total()
    assert 0 < sum(states[state] for state in FAILED_STATES) < 0.1 * states.total()
    assert states["CREATE_IN_PROGRESS"]


def test_what_fails_is_as_asked_for() -> None:
    assert not {b.state for b in everything(Fleet(1, failure_ratio=0))} & set(FAILED_STATES)
    assert "READY" not in {b.state for b in everything(Fleet(1, failure_ratio=1))}


def test_a_session_keeps_ten_backups_and_what_could_not_be_deleted() -> None:
    kept = Counter(
        b.session_id for b in everything(Fleet(1)) if b.state not in ("DELETE_FAILED", "DELETED", "DELETE_IN_PROGRESS")
    )
    assert len(kept) == 60
    assert set(kept.values()) == {RETAINED}


def test_things_change_as_one_watches() -> None:
    fleet = Fleet(1)
    moments = [Counter((b.state, b.status_code) for b in everything(fleet, NOW + 5 * n)) for n in range(24)]
    assert sum(early != late for early, late in pairwise(moments)) > 6


def test_a_backup_begins_and_comes_to_an_end() -> None:
    fleet = Fleet(1, studios=1, sessions=1, failure_ratio=0)
    studio = fleet.studios(NOW)[0].id
    lives: dict[str, list[str]] = {}
    for step in range(0, 12 * 2400, 15):
        for backup in fleet.backups(studio, NOW + step):
            states = lives.setdefault(backup.id, [])
            if not states or states[-1] != backup.state:
                states.append(backup.state)
    whole = [states for states in lives.values() if states[0] == "CREATE_IN_PROGRESS" and states[-1] == "DELETED"]
    assert whole
    assert all(states[1] == "READY" and states[-2] == "DELETE_IN_PROGRESS" for states in whole)
