from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator

import pytest_asyncio

from qcfeed.diagnostics.loop_watch import LoopWatch
from tests.support.patience import PATIENCE

BLOCK = 0.25


@pytest_asyncio.fixture
async def watch() -> AsyncIterator[LoopWatch]:
    watch = LoopWatch(beat=0.01)
    watch.start(asyncio.get_running_loop())
    yield watch
    watch.stop()


class Observer(threading.Thread):
    """Looks at the loop from outside until it has seen it stuck."""

    def __init__(self, watch: LoopWatch) -> None:
        super().__init__()
        self.watch = watch
        self.stalled = 0.0
        self.stack: list[str] = []
        self.longest_meanwhile = 0.0

    def run(self) -> None:
        deadline = time.monotonic() + PATIENCE
        with self.watch.measure() as measured:
            while not self.has_seen_it() and time.monotonic() < deadline:
                time.sleep(0.001)
                self.stalled = self.watch.stalled_for(time.monotonic())
                self.stack = self.watch.stack()
                self.longest_meanwhile = measured.longest

    def has_seen_it(self) -> bool:
        """A busy machine may have held the loop up before."""
        return min(self.stalled, self.longest_meanwhile) >= BLOCK / 2 and any(
            line.startswith("tests/unit/diagnostics/test_loop_watch.py:")
            and line.endswith(" blocks_the_loop")
            for line in self.stack
        )


def blocks_the_loop(until: Observer) -> None:
    until.join(PATIENCE)


async def test_a_healthy_loop(watch: LoopWatch) -> None:
    for _ in range(5):
        await asyncio.sleep(0.01)
    # A beat that has just been due must not count; a busy machine may be late with one.
    async with asyncio.timeout(PATIENCE):
        while watch.stalled_for(time.monotonic()):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
    assert watch.lag < PATIENCE


async def test_a_stuck_loop_is_seen_from_another_thread(watch: LoopWatch) -> None:
    observer = Observer(watch)
    observer.start()
    await asyncio.sleep(0.02)
    blocks_the_loop(observer)
    assert observer.has_seen_it(), observer.stack
    await asyncio.sleep(0.02)
    assert watch.stalled_for(watch.due) == 0


async def test_a_measurement_keeps_the_longest_stall(watch: LoopWatch) -> None:
    began = time.monotonic()
    with watch.measure() as measured:
        await asyncio.sleep(0.01)
        time.sleep(BLOCK)  # noqa: ASYNC251
        await asyncio.sleep(0.01)
        time.sleep(BLOCK / 5)  # noqa: ASYNC251
        await asyncio.sleep(0.01)
    # The longest and not the sum, on a machine of whatever speed.
    assert BLOCK * 0.9 <= measured.longest <= time.monotonic() - began - BLOCK / 5


async def test_the_loop_is_checked_more_often_during_a_measurement(watch: LoopWatch) -> None:
    slow = LoopWatch(beat=3600)
    slow.start(asyncio.get_running_loop())
    with slow.measure() as first, slow.measure() as second:
        await asyncio.sleep(0.02)
        assert slow.due - time.monotonic() < 1
        time.sleep(0.05)  # noqa: ASYNC251
        await asyncio.sleep(0.01)
    assert min(first.longest, second.longest) >= 0.04
    await asyncio.sleep(0.02)
    assert slow.due - time.monotonic() > 3000
    slow.stop()


def test_a_watch_that_is_not_started_reports_no_stall() -> None:
    watch = LoopWatch()
    with watch.measure() as measured:
        assert watch.stalled_for(time.monotonic()) == 0
    assert measured.longest == 0
    assert watch.stack() == []


async def test_a_stopped_watch_does_not_check_the_loop() -> None:
    watch = LoopWatch(beat=0.001)
    watch.start(asyncio.get_running_loop())
    watch.stop()
    due = watch.due
    await asyncio.sleep(0.01)
    assert watch.due == due
    assert watch.stalled_for(due + 100) == 0


def test_measuring_a_loop_that_has_been_closed_is_harmless() -> None:
    loop = asyncio.new_event_loop()
    watch = LoopWatch()
    watch.start(loop)
    loop.close()
    with watch.measure():
        pass
