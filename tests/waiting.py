"""Waiting for a condition, with a limit: what tests do in place of sleeping."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

LIMIT_SECONDS = 20.0


async def until(condition: Callable[[], object], limit: float = LIMIT_SECONDS) -> None:
    """Return as soon as the condition holds; fail when it does not within the limit."""
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, f"it did not come true within {limit:g} s"
        await asyncio.sleep(0.005)


def wait_until(condition: Callable[[], object], limit: float = LIMIT_SECONDS) -> None:
    """Do the same outside an event loop."""
    asyncio.run(until(condition, limit))
