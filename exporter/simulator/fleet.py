"""A made-up fleet of studios and workstations, and the backups that it has at a moment.

In go a seed and a Unix time in seconds, out come studios and backups: a pure function, so that the same seed and time
give the same fleet. Time is compressed: a session stops every 5 to 40 minutes, not every evening, and its backup takes
one or two minutes, so that whoever watches sees things change.

A session keeps its ten newest backups; the one before them is being deleted, or could not be.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

import msgspec

ACCOUNT_ID = "111122223333"
REGION = "us-west-2"
#: The most that a launch profile's sessionBackup.maxBackupsToRetain can say (AWS's service model).
RETAINED = 10

_NAMES = (
    ("aurora", "Aurora Pictures"),
    ("driftwood", "Driftwood Animation"),
    ("nocturne", "Nocturne Visual Effects"),
    ("paperboat", "Paper Boat Features"),
    ("solstice", "Solstice Games"),
)
#: What went wrong, by status code.
_FAILURES = (
    ("INTERNAL_ERROR", "The backup could not be created because of an internal error. Try again."),
    ("INSUFFICIENT_CAPACITY", "There is not enough capacity for the requested instance type in this zone."),
    ("NETWORK_CONNECTION_ERROR", "The workstation lost its connection to the studio's network."),
    ("ACTIVE_DIRECTORY_DOMAIN_JOIN_ERROR", "The workstation could not join the studio's domain."),
    ("INITIALIZATION_SCRIPT_ERROR", "An initialization script ended with exit code 1."),
    ("DECRYPT_STREAMING_IMAGE_ERROR", "The key of the streaming image may not be used."),
    ("NETWORK_INTERFACE_ERROR", "The network interface could not be attached."),
    ("AMI_VALIDATION_ERROR", "The image of the workstation is no longer valid."),
)
_RESTORED_RATIO = 0.06
_STOPPED_RATIO = 0.04
_DELETING_SECONDS = 60.0
_DELETED_SECONDS = 60.0
_MOVING_SECONDS = 90.0


class FleetStudio(msgspec.Struct, frozen=True):
    """A studio. `created_at` is a Unix time in seconds."""

    id: str
    name: str
    display_name: str
    created_at: float

    @property
    def arn(self) -> str:
        """Its Amazon Resource Name."""
        return f"arn:aws:nimble:{REGION}:{ACCOUNT_ID}:studio/{self.id}"


class FleetBackup(msgspec.Struct, frozen=True):
    """A backup of a session. `created_at` is a Unix time in seconds."""

    id: str
    session_id: str
    launch_profile_id: str
    owner: str
    state: str
    status_code: str
    message: str
    created_at: float

    @property
    def arn(self) -> str:
        """Its Amazon Resource Name."""
        return f"arn:aws:nimble:{REGION}:{ACCOUNT_ID}:streaming-session-backup/{self.id}"


class FleetLike(Protocol):
    """What the API tells of: a Fleet, or whatever a test has made up."""

    def studios(self, now: float) -> Sequence[FleetStudio]:
        """Return the studios that there are."""

    def backups(self, studio_id: str, now: float) -> Sequence[FleetBackup]:
        """Return a studio's backups, in any order."""


class Fleet:
    """So many studios with so many sessions each. `failure_ratio` of what sessions do fails."""

    def __init__(self, seed: int, *, studios: int = 3, sessions: int = 20, failure_ratio: float = 0.02) -> None:
        self._seed = seed
        self._sessions = sessions
        self._failure_ratio = failure_ratio
        self._studios = [self._studio(number) for number in range(studios)]

    def studios(self, now: float) -> Sequence[FleetStudio]:  # noqa: ARG002  # tests' own fleets have it
        """Return the studios: the same at any time."""
        return self._studios

    def backups(self, studio_id: str, now: float) -> list[FleetBackup]:
        """Return a studio's backups, the newest of each session first."""
        found = []
        for session in range(self._sessions):
            plan = _Dice(f"{self._seed}/{studio_id}/{session}")
            period = 300 + 2100 * plan.roll(0)
            newest = int(now / period - plan.roll(1))
            for place in range(RETAINED + 3):
                began = (newest - place + plan.roll(1)) * period
                backup = self._backup(studio_id, plan, newest - place, place, now, began, began + place * period)
                if backup is not None:
                    found.append(backup)
        return found

    def _studio(self, number: int) -> FleetStudio:
        dice = _Dice(f"{self._seed}/studio/{number}")
        name, display_name = _NAMES[number] if number < len(_NAMES) else (f"studio{number + 1}", f"Studio {number + 1}")
        return FleetStudio(f"{REGION}:stid-{dice.name}", name, display_name, 1_670_000_000 + 10_000_000 * dice.roll(0))

    def _backup(
        self, studio_id: str, plan: _Dice, cycle: int, place: int, now: float, began: float, newest_began: float
    ) -> FleetBackup | None:
        """Return the backup of a session's cycle, `place` cycles before its newest; None when it has gone."""
        dice = _Dice(f"{plan.name}/{cycle}")
        outcome = self._kept(dice, now - began) if place < RETAINED else self._leaving(dice, place, now - newest_began)
        if outcome is None:
            return None
        state, code, message = outcome
        return FleetBackup(
            id=f"b-{dice.name}",
            session_id=f"s-{plan.name}",
            launch_profile_id=f"lp-{_Dice(f'{studio_id}/profile/{int(3 * plan.roll(2))}').name}",
            owner=f"user-{_Dice(f'{studio_id}/user/{int(8 * plan.roll(3))}').name}",
            state=state,
            status_code=code,
            message=message,
            created_at=began,
        )

    def _kept(self, dice: _Dice, age: float) -> tuple[str, str, str]:
        """Return state, code and message of one of the backups that a session keeps, `age` seconds after it began."""
        if age < 30 + 90 * dice.roll(0):
            return _moving("CREATE_IN_PROGRESS", "The backup is being created.")
        if dice.roll(1) < self._failure_ratio:
            return ("CREATE_FAILED", *_failure(dice))
        since = age - 120 - 600 * dice.roll(2)  # what befalls some, after a while
        if since > 0 and dice.roll(3) < _RESTORED_RATIO:
            if since < _MOVING_SECONDS:
                return _moving("START_IN_PROGRESS", "A session is being started from the backup.")
            if dice.roll(4) < self._failure_ratio:
                return ("START_FAILED", *_failure(dice))
            return "READY", "STREAMING_SESSION_STARTED", "A session was started from the backup."
        if since > 0 and dice.roll(3) > 1 - _STOPPED_RATIO:
            if since < _MOVING_SECONDS:
                return _moving("STOP_IN_PROGRESS", "The session of the backup is being stopped.")
            if dice.roll(4) < self._failure_ratio:
                return ("STOP_FAILED", *_failure(dice))
            return _moving("STOPPED", "The session of the backup is stopped.")
        return _moving("READY", "The backup is ready.")

    def _leaving(self, dice: _Dice, place: int, since: float) -> tuple[str, str, str] | None:
        """Return the same of one that is too many, `since` seconds after the newest began; None when it has gone."""
        if dice.roll(5) < self._failure_ratio and (place > RETAINED or since > _DELETING_SECONDS):
            return ("DELETE_FAILED", *_failure(dice))
        if place > RETAINED or since > _DELETING_SECONDS + _DELETED_SECONDS:
            return None
        if since < _DELETING_SECONDS:
            return _moving("DELETE_IN_PROGRESS", "The backup is being deleted: the session has newer ones.")
        return _moving("DELETED", "The backup was deleted.")


def _moving(state: str, message: str) -> tuple[str, str, str]:
    return state, f"STREAMING_SESSION_{state}", message


def _failure(dice: _Dice) -> tuple[str, str]:
    return _FAILURES[int(len(_FAILURES) * dice.roll(6))]


class _Dice:
    """Seven even numbers from 0 to 1, and a name, that follow from a text."""

    def __init__(self, text: str) -> None:
        digest = hashlib.blake2b(text.encode(), digest_size=39).digest()
        self.name = digest[:11].hex()
        self._rolls = digest[11:]

    def roll(self, number: int) -> float:
        return int.from_bytes(self._rolls[4 * number : 4 * number + 4]) / 2**32
