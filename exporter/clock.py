"""The clock that intervals, deadlines and ages of counts are measured with.

No change of the wall clock moves it, and it goes on while the machine is suspended: counts from before a night's sleep
are old, though the processor did nothing since.
"""

from __future__ import annotations

import time

#: CLOCK_MONOTONIC stands still in suspension on Linux (clock_gettime(2)); elsewhere there is no CLOCK_BOOTTIME.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def seconds() -> float:
    """Return the seconds since some moment in the past."""
    return time.clock_gettime(_CLOCK)
