"""What a listing's pages mean, said as plainly as can be: the bodies in, the counts out.

Written for the tests and on purpose without anything of the exporter's way of reading and counting: the standard
library's JSON, whole lists, a pass for each count. How a timestamp is read has tests of its own.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import msgspec

from exporter.sources.answers import parse_timestamp

STATES = [
    *("CREATE_IN_PROGRESS", "DELETE_IN_PROGRESS", "STOP_IN_PROGRESS", "START_IN_PROGRESS"),
    *("READY", "DELETED", "STOPPED"),
    *("CREATE_FAILED", "DELETE_FAILED", "STOP_FAILED", "START_FAILED"),
]
FAILED = [state for state in STATES if state.endswith("_FAILED")]
MOST_UNFORESEEN = 64
WANTED = ("backupId", "sessionId", "state", "statusCode", "createdAt", "statusMessage")

Pair = tuple[str, str]


class BadListingError(Exception):
    """The pages are no listing."""


class Counts(msgspec.Struct):
    """What is counted of a studio."""

    pairs: Mapping[Pair, int]
    newest: Mapping[str, float]
    oldest: Mapping[str, float]
    latest: Mapping[str, int]
    ready: int
    stalest_ready: float | None
    failed: Mapping[str, int]


def listed(bodies: Sequence[bytes]) -> list[dict[str, Any]]:
    """Return the backups of a listing whose pages are these, then an empty one. Raises BadListingError."""
    backups, tokens = [], []
    for body in [*bodies, b'{"streamingSessionBackups": []}']:
        page = _parsed(body)
        if not isinstance(page, dict):
            raise BadListingError("no object")
        found, token = page.get("streamingSessionBackups"), page.get("nextToken")
        if not isinstance(found, list) or not all(isinstance(backup, dict) for backup in found):
            raise BadListingError("no list of objects")
        if not isinstance(token, (str, type(None))):
            raise BadListingError("a token that is no text")
        backups += found
        if not all(map(_is_text, [token, *(backup.get(member) for backup in found for member in WANTED)])):
            raise BadListingError("half a surrogate pair, which is no character")
        if not token:
            return backups
        if token in tokens:
            raise BadListingError("a token came back")
        tokens.append(token)
    raise AssertionError("the last page has no token")


def _parsed(body: bytes) -> Any:
    def refuse(constant: str) -> NoReturn:
        raise BadListingError(f"{constant} is no JSON")

    try:
        return json.loads(body.decode(), parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise BadListingError(str(error)) from None


def _is_text(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def counted(backups: Sequence[Mapping[str, Any]], known_pairs: Sequence[Pair]) -> Counts:
    """Count backups, whose labels are those of `labels`."""
    states = [pair[0] for pair in labels(backups, known_pairs)]
    times = [parse_timestamp(backup.get("createdAt")) for backup in backups]
    dated: dict[str, list[float]] = {}
    for state, time in zip(states, times, strict=True):
        if time is not None:
            dated.setdefault(state, []).append(time)
    # A workstation's backups, the newest last; of two as new as each other one that failed counts, else the first.
    of_workstation: dict[str, list[tuple[float, str]]] = {}
    for backup, state, time in zip(backups, states, times, strict=True):
        workstation = backup.get("sessionId")
        if isinstance(workstation, str) and workstation:
            of_workstation.setdefault(workstation, []).append((-1.0 if time is None else time, state))
    latest: Counter[str] = Counter()
    newest_ready = []
    for own in of_workstation.values():
        newest = [state for time, state in own if time == max(time for time, _ in own)]
        failed = [state for state in newest if state in FAILED]
        latest[failed[-1] if failed else newest[0]] += 1
        ready = [time for time, state in own if state == "READY"]
        if ready:
            newest_ready.append(max(ready))
    ids = {(backup["backupId"], state) for backup, state in zip(backups, states, strict=True) if _is_id(backup)}
    return Counts(
        pairs=Counter(labels(backups, known_pairs)),
        newest={state: max(own) for state, own in dated.items()},
        oldest={state: min(own) for state, own in dated.items()},
        latest=latest,
        ready=len(newest_ready),
        stalest_ready=min((time for time in newest_ready if time >= 0), default=None),
        failed=Counter(state for _, state in ids if state in FAILED),
    )


def _is_id(backup: Mapping[str, Any]) -> bool:
    return isinstance(backup.get("backupId"), str) and backup["backupId"] != ""


def labels(backups: Sequence[Mapping[str, Any]], known_pairs: Sequence[Pair]) -> list[Pair]:
    """Return each backup's pair of labels: as it was sent, or what it becomes where there are too many or it is odd."""
    unforeseen: set[Pair] = set()
    found = []
    for backup in backups:
        state, code = _label(backup.get("state")), _label(backup.get("statusCode"))
        is_overflow = code == "OTHER" and (state == "OTHER" or state in STATES)
        if (state, code) not in known_pairs and not is_overflow:
            if (state, code) in unforeseen or len(unforeseen) < MOST_UNFORESEEN:
                unforeseen.add((state, code))
            else:
                state, code = (state if state in STATES else "OTHER"), "OTHER"
        found.append((state, code))
    return found


def _label(value: Any) -> str:
    if value is None:
        return "UNKNOWN"
    if isinstance(value, str) and re.fullmatch("[A-Za-z0-9_.-]{1,64}", value):
        return value
    return "OTHER"
