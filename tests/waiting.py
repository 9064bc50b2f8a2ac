"""Waiting for a condition, with a limit: what tests do in place of sleeping. And what a busy machine adds to a wait."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from exporter.sources import Deadline

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


@contextmanager
def deadline_of(seconds: float) -> Iterator[Deadline]:
    """Have a deadline expire by itself meanwhile, as it does for work that somebody waits for."""
    deadline = Deadline(seconds)
    timer = threading.Timer(deadline.remaining, deadline.expire)
    timer.daemon = True
    timer.start()
    try:
        yield deadline
    finally:
        timer.cancel()


class Lag:
    """How late this event loop woke at the worst, in seconds: what a busy machine adds to what is due."""

    worst = 0.0

    async def watch(self) -> None:
        """Wake every few milliseconds, without end."""
        while True:
            due = time.monotonic() + 0.005
            await asyncio.sleep(0.005)
            self.worst = max(self.worst, time.monotonic() - due)


@asynccontextmanager
async def event_loop_lag() -> AsyncIterator[Lag]:
    """Measure it meanwhile."""
    measured = Lag()
    task = asyncio.create_task(measured.watch())
    try:
        yield measured
    finally:
        task.cancel()
