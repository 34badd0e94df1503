"""The removal of cancelled timers against what a loop promises: every live timer is called once, at
its time, and no cancelled one is."""

from __future__ import annotations

import asyncio
from asyncio import base_events
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qcfeed.diagnostics import timers
from qcfeed.diagnostics.timers import GradualRemoval
from tests.support.virtual_time import TURN, VirtualLoop, loop_with_turns

SMALL = {"LEFT_TO_ASYNCIO": 3, "SLICE": 2, "TURN_S": 0.0, "AHEAD_S": 0.05}
"""So that a few timers do what tens of thousands do; one slice in each turn."""

delays = st.integers(1, 200).map(lambda turns: turns * TURN)  # on both sides of AHEAD_S
steps = st.one_of(
    st.tuples(st.just("add"), st.lists(delays, min_size=1, max_size=12)),
    st.tuples(st.just("cancel"), st.lists(st.integers(0, 200), max_size=12)),
    st.tuples(st.just("turns"), st.integers(0, 30)),
    st.tuples(st.just("begin"), st.none()),
    st.tuples(st.just("end"), st.integers(0, 3)),
    st.tuples(st.just("fail"), st.integers(0, 3)),
)


ASYNCIO_SMALL = {"_MIN_SCHEDULED_TIMER_HANDLES": 6}
"""Where nothing keeps asyncio from it, it removes timers in its own way in between."""


@pytest.fixture(autouse=True, scope="module")
def small() -> Iterator[None]:
    with patch.multiple(timers, **SMALL), patch.multiple(base_events, **ASYNCIO_SMALL):
        yield


class Scenario:
    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.made: list[asyncio.TimerHandle] = []
        self.called: list[int] = []
        self.blocks: list[GradualRemoval] = []

    def add(self, delays: list[float]) -> None:
        for delay in delays:
            self.made.append(self.loop.call_later(delay, self._call, len(self.made)))

    def _call(self, number: int) -> None:
        self.called.append(number)
        late = self.loop.time() - self.made[number].when()
        assert late == 0, f"timer {number} is {late} s late"
        assert not self.made[number].cancelled()

    def cancel(self, numbers: list[int]) -> None:
        for number in numbers:
            if number < len(self.made):
                self.made[number].cancel()

    async def turns(self, number: int) -> None:
        for _ in range(number):
            await asyncio.sleep(0)

    async def begin(self, _: None) -> None:
        self.blocks.append(await GradualRemoval(self.loop).__aenter__())

    async def end(self, number: int) -> None:
        if number < len(self.blocks):
            await self.blocks.pop(number).__aexit__(None, None, None)

    async def fail(self, number: int) -> None:
        if number < len(self.blocks):
            await self.blocks.pop(number).__aexit__(asyncio.CancelledError, None, None)

    async def run(self, steps: list[tuple[str, Any]]) -> None:
        for name, argument in steps:
            awaitable = getattr(self, name)(argument)
            if awaitable is not None:
                await awaitable
        while self.blocks:
            await self.end(0)
        await asyncio.sleep(0.3)

    def check(self) -> None:
        live = [n for n, timer in enumerate(self.made) if not timer.cancelled()]
        assert sorted(self.called) == sorted({*live, *self.called})  # each once
        assert {*live} <= {*self.called}
        times = [self.made[n].when() for n in self.called]
        assert times == sorted(times)
        heap: Any = self.loop._scheduled
        assert [timer for timer in heap if timer in self.made] == []
        # Some are counted for ever in asyncio itself: those that are due in the turn that they are
        # cancelled in. None may be missing, or asyncio would never remove it.
        assert 0 <= self.loop._timer_cancelled_count <= len(self.made)


@settings(max_examples=200)
@given(st.lists(steps, max_size=30))
def test_every_live_timer_is_called_once_and_in_time(steps: list[tuple[str, Any]]) -> None:
    with asyncio.Runner(loop_factory=loop_with_turns) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        failures: list[Any] = []
        loop.set_exception_handler(lambda _, context: failures.append(context))
        scenario = Scenario(loop)
        runner.run(scenario.run(steps))
        assert failures == []
        scenario.check()
