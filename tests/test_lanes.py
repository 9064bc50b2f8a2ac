"""Places to poll in: who waits for whom, and that no place is lost or made."""

from __future__ import annotations

import asyncio
import random

import pytest

from exporter.lanes import Lanes
from tests.waiting import until

NEVER = 3600.0


class Polls:
    """Polls that hold their places until they are ended; `inside` are those that have one, in the order they got it."""

    def __init__(self, size: int = 1) -> None:
        self.lanes = Lanes(size)
        self.inside: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}

    def begin(self, name: str, *, slow: bool = False, patience: float = NEVER) -> asyncio.Task[None]:
        self._ends[name] = asyncio.Event()

        async def poll() -> None:
            async with self.lanes.place(slow=slow, patience=patience):
                self.inside.append(name)
                try:
                    await self._ends[name].wait()
                finally:
                    self.inside.remove(name)

        return asyncio.create_task(poll())

    def end(self, name: str) -> None:
        self._ends[name].set()


async def settle() -> None:
    """Let everything that can go on do so."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_a_slow_poll_waits_for_slow_ones_only() -> None:
    async def run() -> None:
        polls = Polls()
        tasks = [polls.begin("a"), polls.begin("slow", slow=True), polls.begin("b"), polls.begin("slower", slow=True)]
        await settle()
        assert polls.inside == ["a", "slow"]
        polls.end("slow")
        await settle()
        assert polls.inside == ["a", "slower"]
        polls.end("a")
        await settle()
        assert polls.inside == ["slower", "b"]
        for task in tasks:
            task.cancel()

    asyncio.run(run())


def test_a_poll_that_takes_long_makes_room_once_the_second_lane_has_some() -> None:
    async def run() -> None:
        polls = Polls()
        tasks = [polls.begin("slow", slow=True), polls.begin("long", patience=0.0), polls.begin("waits")]
        await settle()
        assert polls.inside == ["slow", "long"]
        polls.end("slow")
        await until(lambda: polls.inside == ["long", "waits"])
        tasks.append(polls.begin("slow too", slow=True))
        await settle()
        assert polls.inside == ["long", "waits"]  # the second lane's place is taken
        polls.end("long")
        await settle()
        assert polls.inside == ["waits", "slow too"]
        for task in tasks:
            task.cancel()

    asyncio.run(run())


@pytest.mark.parametrize("seed", range(20))
def test_no_place_is_lost_or_made_whatever_ends_when(seed: int) -> None:
    chance = random.Random(seed)

    async def run() -> None:
        polls, tasks = Polls(2), []
        for number in range(60):
            name = str(number)
            tasks.append(polls.begin(name, slow=chance.random() < 0.3, patience=chance.choice([0.0, 0.0, NEVER])))
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            assert len(polls.inside) <= 4
            if chance.random() < 0.5:
                chance.choice(tasks).cancel()
            elif polls.inside:
                polls.end(chance.choice(polls.inside))
        for task in tasks:
            task.cancel()
        await settle()
        assert polls.inside == []
        for number in range(6):
            polls.begin(f"first {number}")
            polls.begin(f"second {number}", slow=True)
        await settle()
        assert polls.inside == ["first 0", "second 0", "first 1", "second 1"]

    asyncio.run(run())
