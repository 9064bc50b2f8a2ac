"""Blocking work in daemon threads, each under a deadline: what is past it is given up, and kept account of.

In goes work that may hang, out comes its result or a PollError in time. Executors are joined at exit, so a thread that
hangs would keep the process from ending: these are not.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from exporter.sources import Deadline, PollError, Reason

T = TypeVar("T")
Key = tuple[str, ...]


class Threads:
    """Runs work for keys, and knows for which of them a thread is left that was given up."""

    def __init__(self) -> None:
        self._abandoned: dict[Key, asyncio.Future[None]] = {}

    @property
    def abandoned(self) -> int:
        """How many threads were given up and have not come to an end yet."""
        return len(self._abandoned)

    async def run(self, key: Key, work: Callable[[], T], deadline: Deadline) -> T:
        """Run blocking work in a daemon thread; past the deadline its result is no longer waited for."""
        loop = asyncio.get_running_loop()
        result: asyncio.Future[T] = loop.create_future()
        ended: asyncio.Future[None] = loop.create_future()

        def settle(outcome: Callable[[], None]) -> None:
            if not result.done():
                outcome()
            ended.set_result(None)

        def run() -> None:
            try:
                outcome = partial(result.set_result, work())
            except PollError as error:
                # It is kept for long: not with the frames that it came through, their connections and bodies.
                error.__cause__ = error.__context__ = None
                outcome = partial(result.set_exception, error.with_traceback(None))
            except Exception as error:  # noqa: BLE001  # a fault of ours in one source must not end the other polls
                name = type(error).__name__
                outcome = partial(result.set_exception, PollError(Reason.OTHER, f"{name}: {error}", code=name))
            with suppress(RuntimeError):  # the loop is closed: the process is ending
                loop.call_soon_threadsafe(settle, outcome)

        try:
            threading.Thread(target=run, name=f"poll {' '.join(key)}", daemon=True).start()
        except RuntimeError as error:  # the system has none left
            raise PollError(Reason.OTHER, f"no thread could be started: {error}", code="RuntimeError") from None
        try:
            async with asyncio.timeout(deadline.remaining):
                value = await result
        except TimeoutError:
            raise deadline.error() from None
        finally:
            deadline.expire()
            if not ended.done():
                self._abandoned[key] = ended
                ended.add_done_callback(lambda _: self._abandoned.pop(key))
        return value

    async def end_of(self, key: Key) -> None:
        """Wait until no thread of the listing is left of a poll that was given up."""
        while key in self._abandoned:
            await asyncio.wait([self._abandoned[key]])
