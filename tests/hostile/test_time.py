"""Clocks that are set, machines that are suspended, and polls that take longer than their interval."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import time
from itertools import pairwise
from pathlib import Path

import pytest

from exporter import clock
from exporter.sources import Reason
from tests.commands import free_port, get, started, wait_for
from tests.hostile.book import shown
from tests.hostile.exporter import configured, counts, polling, studios
from tests.hostile.scenarios import READY
from tests.hostile.studios import Studios
from tests.tools import missing
from tests.waiting import until, wait_until

PART = "Time"
HOUR = 3600.0


@shown(
    PART,
    "the wall clock is set back, or ahead, by an hour",
    "nothing is polled sooner, later or twice; timestamps in metrics follow the clock",
)
@pytest.mark.parametrize("by", [-HOUR, HOUR])
def test_setting_the_wall_clock_moves_no_poll(tmp_path: Path, by: float) -> None:
    far_side, offset = Studios(), 0.0

    async def run() -> None:
        nonlocal offset
        with far_side.endpoint.running() as endpoint:
            file = configured(
                tmp_path,
                {"endpoint_url": endpoint.url, "studios": ["one", "two"]},
                poll_interval="2s",
                poll_timeout="20s",
            )
            async with polling(file, wall_clock=lambda: time.time() + offset) as poller:
                await until(lambda: all(known.polls >= 2 for known in studios(poller).values()) and studios(poller))
                before = {id: known.last_success or 0.0 for id, known in studios(poller).items()}
                settled = {id: len(far_side.asked_at[id]) for id in before}
                offset = by
                assert all(counts(known) == {READY: 2} for known in studios(poller).values())
                await until(lambda: all(len(far_side.asked_at[id]) >= settled[id] + 3 for id in settled))
                for id, known in studios(poller).items():
                    assert known.up
                    assert (known.last_success or 0.0) - before[id] == pytest.approx(by, abs=60)
                    gaps = [late - early for early, late in pairwise(far_side.asked_at[id][settled[id] - 1 :])]
                    assert min(gaps) > 0.2
                    assert max(gaps) < 5

    asyncio.run(run())


@shown(
    PART,
    "the machine is suspended for longer than `stale_after`",
    "counts from before are gone at once, until the next poll, which is due within an interval",
)
def test_counts_from_before_a_suspension_are_old_after_it(tmp_path: Path) -> None:
    far_side, slept = Studios(), 0.0

    async def run() -> None:
        nonlocal slept
        with far_side.endpoint.running() as endpoint:
            file = configured(
                tmp_path, {"endpoint_url": endpoint.url, "studios": ["one"]}, poll_interval="1s", poll_timeout="20s"
            )
            async with polling(file, clock=lambda: clock.seconds() + slept) as poller:
                await until(lambda: "one" in studios(poller))
                slept = 8 * HOUR
                asked = len(far_side.asked_at["one"])
                assert counts(studios(poller)["one"]) is None
                await until(lambda: counts(studios(poller)["one"]) == {READY: 2})
                # Those 28,800 that were left out are not made up for: one is late, and the next may be due just then.
                assert len(far_side.asked_at["one"]) <= asked + 2

    asyncio.run(run())


def test_the_clock_is_the_one_that_goes_on_in_suspension(monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(time, "CLOCK_BOOTTIME"):
        missing("CLOCK_BOOTTIME is not there: Linux has it")
    monkeypatch.setattr(time, "clock_gettime", {time.CLOCK_MONOTONIC: 1.0, time.CLOCK_BOOTTIME: 8 * HOUR}.get)
    assert clock.seconds() == 8 * HOUR


@shown(
    PART,
    "the process is stopped (SIGSTOP) for several intervals, and goes on",
    "the polls that were left out are not made up for; one whose deadline passed meanwhile has failed with `timeout`",
)
def test_a_process_that_was_stopped_makes_up_for_nothing(tmp_path: Path) -> None:
    far_side, port = Studios(), free_port()
    with far_side.endpoint.running() as endpoint:
        file = configured(tmp_path, {"endpoint_url": endpoint.url, "studios": ["one", "two"]}, poll_interval="500ms")
        with started("serve", f"--config.file={file}", f"--web.listen-address=127.0.0.1:{port}") as process:
            wait_for(port, "/-/ready", "Ready")
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED)
            asked = {id: len(at) for id, at in far_side.asked_at.items()}
            select.select([], [], [], 3)  # six intervals; a stopped process has no events
            process.send_signal(signal.SIGCONT)
            wait_until(lambda: all(len(far_side.asked_at[id]) >= number + 5 for id, number in asked.items()))
            for id, number in asked.items():
                # One may have been under way, one is late, and the next may be due just then: six would make up.
                first, *_ = late = far_side.asked_at[id][number:]
                assert sum(at - first < 0.4 for at in late) <= 3
            assert get(port, "/-/healthy")[0] == 200
            process.terminate()
            assert process.wait(10) == 0


@shown(
    PART,
    "polls take longer than their interval",
    "they never overlap; the intervals they run into are left out",
)
def test_a_poll_longer_than_its_interval_is_not_overtaken(tmp_path: Path) -> None:
    far_side = Studios(latency=0.7)

    async def run() -> None:
        with far_side.endpoint.running() as endpoint:
            file = configured(
                tmp_path,
                {"endpoint_url": endpoint.url, "studios": ["slow"]},
                poll_interval="300ms",
                poll_timeout="20s",
            )
            async with polling(file) as poller:
                await until(lambda: "slow" in studios(poller) and studios(poller)["slow"].polls >= 5)
                known = studios(poller)["slow"]
                assert (known.up, known.failures.get(Reason.TIMEOUT, 0)) == (True, 0)
                asked = far_side.asked_at["slow"]
                assert far_side.most_at_once["slow"] == 1
                assert min(late - early for early, late in pairwise(asked)) >= 0.7

    asyncio.run(run())
