"""Places to poll in: two lanes of the same size, the second for polls that take long.

In go polls that wait, out come places for them, in the order in which they asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Lanes:
    """Two lanes, of `size` places each."""

    def __init__(self, size: int) -> None:
        self._first, self._second = asyncio.Semaphore(size), asyncio.Semaphore(size)

    @asynccontextmanager
    async def place(self, *, slow: bool, patience: float) -> AsyncIterator[None]:
        """Wait for a place, in the second lane if the poll is known to be slow, and hold it meanwhile.

        A poll that has held one in the first lane for `patience` seconds goes on in the second as soon as that has
        room: it may be one that hangs, and is not known to yet.
        """
        if slow:
            async with self._second:
                yield
            return
        await self._first.acquire()
        held = self._first

        async def change() -> None:
            nonlocal held
            await asyncio.sleep(patience)
            await self._second.acquire()
            self._first.release()
            held = self._second

        changing = asyncio.create_task(change())
        try:
            yield
        finally:
            changing.cancel()
            held.release()
