"""The vocabulary of backups: what a studio, a backup and a census of backups are.

In go the backups of one complete listing, out comes one Census a studio. No I/O, and nothing of the project is
imported. Times are Unix times in seconds.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

#: The states of a Nimble Studio streaming-session backup (AWS's service model of 2020-08-01). Every source maps its own
#: words to these, so that one set of rules serves all.
STATES = (
    "CREATE_IN_PROGRESS",
    "DELETE_IN_PROGRESS",
    "READY",
    "DELETED",
    "CREATE_FAILED",
    "DELETE_FAILED",
    "STOP_IN_PROGRESS",
    "START_IN_PROGRESS",
    "STOPPED",
    "STOP_FAILED",
    "START_FAILED",
)
FAILED_STATES = tuple(state for state in STATES if state.endswith("_FAILED"))
READY = "READY"

#: What stands for a state or a status code that was not given, and for one that does not look like one.
UNKNOWN = "UNKNOWN"
OTHER = "OTHER"

#: How many failed backups of a studio are kept by name, for people to look up.
MAX_FAILED_BACKUPS = 100
#: How many pairs nobody foresaw get series of their own, in one studio.
MAX_UNFORESEEN_PAIRS = 64

Pair = tuple[str, str]
_LOOKS_LIKE_A_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}").fullmatch
_UNDATED = float("-inf")


class Studio(msgspec.Struct, frozen=True):
    """Whose backups are counted. `id` is unique by itself; `name` is what a person calls it. "" is what is not told."""

    id: str
    name: str = ""
    display_name: str = ""
    account_id: str = ""

    def after(self, last: Studio | None) -> Studio:
        """Return what is known once this is told: what is not stays as it was last, and the id serves as a name."""
        last = last or Studio(self.id, self.id)
        return Studio(
            self.id,
            self.name or last.name,
            self.display_name or last.display_name,
            self.account_id or last.account_id,
        )


class Backup(msgspec.Struct, frozen=True, gc=False):
    """One backup as its source told of it.

    `studio` is a Studio's id. `state` and `status_code` are as received: None where missing, anything where wrong.
    `created_at` is a Unix time, None where missing or unreadable. `id` and `workstation` are "" where missing.
    """

    id: str
    studio: str
    workstation: str
    state: Any
    status_code: Any
    created_at: float | None
    message: str = ""


class Census(msgspec.Struct, frozen=True):
    """What one complete listing says of one studio."""

    #: Backups by (state, status_code): every known pair, and every pair seen since the process began.
    counts: Mapping[Pair, int]
    #: The createdAt of the newest and the oldest dated backup, by state.
    newest: Mapping[str, float]
    oldest: Mapping[str, float]
    #: Workstations by the state of their newest backup: all eleven states, and any other that occurs.
    latest_states: Mapping[str, int]
    workstations_ready: int
    #: The least, over workstations that have a dated READY backup, of their newest one's createdAt.
    stalest_ready: float | None
    #: Each (backup id, failed state) that has been told of, of ids that are still listed.
    failures: frozenset[tuple[str, str]]
    #: How many of these are new since the census before, by failed state. None are at the first look.
    new_failures: Mapping[str, int]
    #: The newest of the failed backups themselves, the newest first.
    failed_backups: Sequence[Backup]


class Tally:
    """Counts the backups of one studio, one at a time, into a Census.

    `known_pairs` are counted even where there are none. `previous` is the studio's census before this one: it says
    which other pairs have series already and which failures are no news.
    """

    def __init__(self, known_pairs: Collection[Pair], previous: Census | None = None) -> None:
        self._counts = dict.fromkeys(known_pairs, 0)
        if previous is not None:
            self._counts.update(dict.fromkeys(previous.counts, 0))
        self._room = MAX_UNFORESEEN_PAIRS - sum(
            pair not in known_pairs and not _is_overflow(pair) for pair in self._counts
        )
        self._labels: dict[tuple[Any, Any], Pair] = {}
        self._newest: dict[str, float] = {}
        self._oldest: dict[str, float] = {}
        self._latest: dict[str, tuple[float, str]] = {}
        self._newest_ready: dict[str, float] = {}
        self._failures: set[tuple[str, str]] = set()
        self._failed: list[Backup] = []
        self._told = previous.failures if previous is not None else None
        self._watched = {id for id, _ in self._told or ()}
        self._still_listed: set[str] = set()

    def add(self, backup: Backup) -> None:
        """Count one backup."""
        try:
            pair = self._labels[backup.state, backup.status_code]
        except KeyError:
            pair = self._labels[backup.state, backup.status_code] = self._admit(backup)
        except TypeError:  # an unhashable value
            pair = self._admit(backup)
        self._counts[pair] += 1
        state = pair[0]
        created = _UNDATED if backup.created_at is None else backup.created_at
        if created != _UNDATED:
            if created > self._newest.get(state, _UNDATED):
                self._newest[state] = created
            if created < self._oldest.get(state, float("inf")):
                self._oldest[state] = created
        if backup.workstation:
            latest = self._latest.get(backup.workstation)
            # An undated backup is older than any other; of two as new as each other, one that failed is told.
            if latest is None or created > latest[0] or (created == latest[0] and state in FAILED_STATES):
                self._latest[backup.workstation] = (created, state)
            if state == READY and created >= self._newest_ready.get(backup.workstation, _UNDATED):
                self._newest_ready[backup.workstation] = created
        if state in FAILED_STATES:
            self._failed.append(backup)
            if backup.id:
                self._failures.add((backup.id, state))
        if backup.id in self._watched:
            self._still_listed.add(backup.id)

    def _admit(self, backup: Backup) -> Pair:
        """Return the labels of a pair met for the first time in this listing, making sure that it is counted."""
        state, code = label(backup.state), label(backup.status_code)
        if (state, code) not in self._counts:
            if not _is_overflow((state, code)):
                if self._room:
                    self._room -= 1
                else:  # a known state is kept: a CREATE_FAILED must be told as one whatever its code
                    state, code = (state if state in STATES else OTHER), OTHER
            self._counts.setdefault((state, code), 0)
        return state, code

    def census(self) -> Census:
        """Return what was counted."""
        latest_states = dict.fromkeys(STATES, 0)
        for _, state in self._latest.values():
            latest_states[state] = latest_states.get(state, 0) + 1
        new = dict.fromkeys(FAILED_STATES, 0)
        told = self._told
        if told is not None:
            for _, state in self._failures - told:
                new[state] += 1
            self._failures.update(failure for failure in told if failure[0] in self._still_listed)
        return Census(
            counts=self._counts,
            newest=self._newest,
            oldest=self._oldest,
            latest_states=latest_states,
            workstations_ready=len(self._newest_ready),
            stalest_ready=min((t for t in self._newest_ready.values() if t != _UNDATED), default=None),
            failures=frozenset(self._failures),
            new_failures=new,
            failed_backups=heapq.nlargest(MAX_FAILED_BACKUPS, self._failed, key=lambda each: each.created_at or 0.0),
        )


def _is_overflow(pair: Pair) -> bool:
    """Say whether this is one of the pairs that are left when MAX_UNFORESEEN_PAIRS are used up."""
    return pair[1] == OTHER and (pair[0] == OTHER or pair[0] in STATES)


def label(value: Any) -> str:
    """Return the label value for a state or a status code as it was received."""
    if value is None:
        return UNKNOWN
    return value if isinstance(value, str) and _LOOKS_LIKE_A_NAME(value) else OTHER
