"""What the log says of failures: an outage's first, one an hour of those that repeat it, and its end.

In go failures and successes of whatever is tried again and again (a poll, a discovery), out come log lines: not one
for each, or a night of an API's trouble would bury everything else. At the level debug there is a line for each.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Set

import msgspec
import structlog

from exporter.sources import PollError, Reason

#: A failure for a reason that was told is told again when this has passed.
SUMMARY_SECONDS = 3600.0

log = structlog.get_logger(__name__)


class _Outage(msgspec.Struct):
    """Times are seconds of the monotonic clock."""

    began_at: float
    failures: int = 0
    told_at: dict[Reason, float] = {}


class Outages:
    """The outages that last, by what is out. `clock` returns seconds and is monotonic."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._outages: dict[Hashable, _Outage] = {}

    def failed(self, key: Hashable, what: str, error: PollError, **who: str) -> None:
        """Tell of a failure, unless one for the same reason was told within the hour in the same outage."""
        now = self._clock()
        outage = self._outages.setdefault(key, _Outage(now))
        outage.failures += 1
        told_at = outage.told_at.get(error.reason)
        event, level, since = f"{what} failed again", logging.DEBUG, {}
        if told_at is None:
            event, level = f"{what} failed", logging.WARNING
        elif now - told_at >= SUMMARY_SECONDS:
            event, level = f"{what} still fails", logging.WARNING
            since = {"failures": outage.failures, "for_seconds": round(now - outage.began_at)}
        if level > logging.DEBUG:
            outage.told_at[error.reason] = now
        log.log(
            level,
            event,
            **who,
            reason=str(error.reason),
            code=error.code,
            request_id=error.request_id,
            error=str(error),
            **since,
            advice=error.reason.advice,
        )

    def ended(self, key: Hashable, what: str, **who: str) -> None:
        """Tell that what was out works again; nothing where it was not out."""
        outage = self._outages.pop(key, None)
        if outage is not None:
            lasted = round(self._clock() - outage.began_at)
            event = f"{what} works again"
            log.info(event, **who, failures=outage.failures, for_seconds=lasted)

    def keep(self, keys: Set[Hashable]) -> None:
        """Tell nothing more of anything but these: it is no longer tried."""
        for key in self._outages.keys() - keys:
            del self._outages[key]
