"""Durations as Prometheus writes them: text <-> seconds."""

from __future__ import annotations

import re

_UNITS_MILLISECONDS = {
    "y": 365 * 86_400_000,
    "w": 7 * 86_400_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1000,
    "ms": 1,
}
#: Prometheus's own grammar (model.ParseDuration): each unit once at most, from the largest to the smallest.
_DURATION = re.compile("".join(rf"(?:([0-9]{{1,12}}){unit})?" for unit in _UNITS_MILLISECONDS))
_LONGEST_SECONDS = 365 * 86_400


def parse_duration(value: object) -> float:
    """Return a duration such as `1h30m` in seconds. Raises ValueError for what is none, and for zero."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise ValueError(f"a duration needs a unit (did you mean {value:g}s?)")
    match = _DURATION.fullmatch(value) if isinstance(value, str) and value else None
    if match is None:
        raise ValueError("is not a duration such as 500ms, 30s, 5m or 1h30m")
    seconds = sum(int(n) * unit for n, unit in zip(match.groups("0"), _UNITS_MILLISECONDS.values(), strict=True)) / 1000
    if not 0 < seconds <= _LONGEST_SECONDS:
        raise ValueError("must be more than zero and no more than a year")
    return seconds


def format_duration(seconds: float) -> str:
    """Return a duration as Prometheus writes it, to the millisecond: the inverse of `parse_duration`."""
    left = round(seconds * 1000)
    text = ""
    for unit, size in _UNITS_MILLISECONDS.items():
        if unit not in ("y", "w"):  # 7d reads better than 1w, and divides no worse
            number, left = divmod(left, size)
            text += f"{number}{unit}" if number else ""
    return text or "0s"
