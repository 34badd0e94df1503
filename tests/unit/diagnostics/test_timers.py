from __future__ import annotations

import asyncio
import random
import weakref
from asyncio import TimerHandle
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvloop

from qcfeed.diagnostics import timers
from qcfeed.diagnostics.timers import GradualRemoval, can_remove_gradually
from qcfeed.net import event_loop
from tests.support.virtual_time import TURN, VirtualLoop, loop_with_turns

MANY = 4 * timers.LEFT_TO_ASYNCIO
HOUR = 3600.0


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    with asyncio.Runner(loop_factory=loop_with_turns) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        yield loop


def cancelled(loop: Any, number: int = MANY) -> list[weakref.ref[TimerHandle]]:
    """So many cancelled timers, weakly held, so that their removal can be seen. The first of the heap
    is alive: asyncio removes cancelled ones in front of that by itself."""
    loop.call_later(HOUR / 2, print)
    made = [loop.call_later(HOUR, print) for _ in range(number)]
    for timer in made:
        timer.cancel()
    return list(map(weakref.ref, made))


def is_heap(timers: list[TimerHandle]) -> bool:
    return all(timers[(n - 1) // 2].when() <= timers[n].when() for n in range(1, len(timers)))


def nothing_left(loop: VirtualLoop) -> bool:
    """No cancelled timer is in the heap, and the loop counts none."""
    there = sum(timer.cancelled() for timer in loop._scheduled)
    return (there, loop._timer_cancelled_count) == (0, 0)


def left(refs: list[weakref.ref[TimerHandle]]) -> int:
    return sum(ref() is not None for ref in refs)


class Calls:
    """Timers that note their call, and in which turn it was."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.made: list[TimerHandle] = []
        self.called: list[TimerHandle] = []
        self.latest = 0.0

    def add(self, *delays: float) -> None:
        for delay in delays:
            self.made.append(self._loop.call_later(delay, self._call, len(self.made)))

    def _call(self, number: int) -> None:
        timer = self.made[number]
        self.called.append(timer)
        late = self._loop.time() - timer.when()
        assert late >= 0
        self.latest = max(self.latest, late)

    def check(self) -> None:
        """All have been called, each once, in their order, and at their time."""
        assert Counter(self.called) == Counter(self.made)
        times = list(map(TimerHandle.when, self.called))
        assert times == sorted(times)
        assert self.latest == 0


async def removed_each_turn(refs: list[weakref.ref[TimerHandle]], done: Callable[[], bool]) -> int:
    """The most timers that are removed within one turn of the loop."""
    most, before = 0, left(refs)
    while not done():
        await asyncio.sleep(0)
        most, before = max(most, before - left(refs)), left(refs)
    return most


def test_asyncio_removes_cancelled_timers_in_one_step(loop: VirtualLoop) -> None:
    """What this is all about; where it fails, timers.py is no longer needed."""

    async def main() -> int:
        refs = cancelled(loop)
        return await removed_each_turn(refs, lambda: left(refs) == 0)

    assert loop.run_until_complete(main()) == MANY


def test_cancelled_timers_are_removed_a_few_in_each_turn(
    loop: VirtualLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timers, "TURN_S", 0.0)  # one slice

    async def main() -> int:
        ended = asyncio.Event()
        refs: list[weakref.ref[TimerHandle]] = []

        async def block() -> None:
            async with GradualRemoval(loop):
                refs.extend(cancelled(loop))
                await turns(3)
                assert left(refs) == MANY
            assert left(refs) == 0
            ended.set()

        blocked = asyncio.create_task(block())
        most = await removed_each_turn(refs, ended.is_set)
        await blocked
        return most

    assert loop.run_until_complete(main()) == timers.SLICE
    assert nothing_left(loop)


async def turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def test_a_few_cancelled_timers_are_left_to_asyncio(loop: VirtualLoop) -> None:
    async def main() -> None:
        heap = loop._scheduled
        async with GradualRemoval(loop):
            cancelled(loop, timers.LEFT_TO_ASYNCIO - 1)
            await turns(3)
            assert loop._scheduled is heap
        assert len(heap) == timers.LEFT_TO_ASYNCIO
        await turns(2)  # asyncio removes them
        assert nothing_left(loop)

    loop.run_until_complete(main())


def test_timers_keep_their_time_and_order(loop: VirtualLoop) -> None:
    """Those set aside, those made in the block, and those made while others are removed."""
    calls = Calls(loop)
    chance = random.Random(11)

    def some() -> None:
        calls.add(*(TURN * chance.randrange(1, 3_000) for _ in range(100)))

    async def main() -> None:
        some()
        async with GradualRemoval(loop):
            cancelled(loop)
            for _ in range(10):
                await turns(100)
                some()
            assert 0 < len(calls.called) < len(calls.made)
            leaving = asyncio.create_task(adds_meanwhile())
        await leaving
        await asyncio.sleep(4)
        calls.check()

    async def adds_meanwhile() -> None:
        some()
        await turns(2)
        some()

    loop.run_until_complete(main())


def test_timers_cancelled_while_they_are_set_aside_are_not_called(loop: VirtualLoop) -> None:
    async def main() -> None:
        called: list[int] = []
        made = [loop.call_later(TURN * n, called.append, n) for n in range(400)]
        async with GradualRemoval(loop):
            cancelled(loop)
            await turns(100)
            for timer in made[200:300]:
                timer.cancel()
        for timer in made[300:350]:
            timer.cancel()
        await asyncio.sleep(1)
        assert called == [*range(200), *range(350, 400)]

    loop.run_until_complete(main())


@pytest.mark.parametrize("alive", [0, 10, 10 * MANY])
def test_the_loop_counts_its_cancelled_timers_rightly_afterwards(
    loop: VirtualLoop, alive: int
) -> None:
    async def main() -> None:
        kept = [loop.call_later(HOUR, print) for _ in range(alive)]
        for timer in kept[::10]:
            timer.cancel()
        async with GradualRemoval(loop):
            cancelled(loop)
            await turns(2)
            late = [loop.call_later(HOUR + n, print) for n in range(50)]
            for timer in [*kept[1::10], *late[20:]]:
                timer.cancel()
            await turns(2)
        assert len(loop._scheduled) == 1 + alive - 2 * len(kept[::10]) + 50
        assert loop._timer_cancelled_count == 30
        assert all(timer._scheduled for timer in loop._scheduled)
        assert is_heap(loop._scheduled)

    loop.run_until_complete(main())


def test_timers_cancelled_during_the_removal_are_removed_gradually_too(
    loop: VirtualLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timers, "TURN_S", 0.0)

    async def main() -> None:
        alive = [loop.call_later(HOUR, print) for _ in range(MANY)]
        refs = list(map(weakref.ref, alive))
        block = GradualRemoval(loop)
        await block.__aenter__()
        cancelled(loop)
        await turns(2)
        leaving = asyncio.create_task(block.__aexit__(None))
        while len(loop._scheduled) < MANY // 2:
            await turns(1)
        loop.call_later(HOUR / 2, print)
        while alive:
            alive.pop().cancel()
        most = await removed_each_turn(refs, leaving.done)
        assert (left(refs), most) == (0, timers.SLICE)
        assert nothing_left(loop)

    loop.run_until_complete(main())


def test_new_timers_that_are_cancelled_do_not_pile_up_to_be_removed_in_one_step(
    loop: VirtualLoop,
) -> None:
    async def main() -> None:
        async with GradualRemoval(loop):
            cancelled(loop)
            await turns(1)
            for _ in range(20):
                refs = cancelled(loop, timers.LEFT_TO_ASYNCIO // 2)
                await turns(1)
                assert len(loop._scheduled) <= 2 * timers.LEFT_TO_ASYNCIO
            assert left(refs) == len(refs)
        assert nothing_left(loop)

    loop.run_until_complete(main())


def test_new_timers_that_are_alive_are_left_where_they_are(loop: VirtualLoop) -> None:
    async def main() -> None:
        async with GradualRemoval(loop):
            cancelled(loop)
            await turns(1)
            heap = loop._scheduled
            for _ in range(MANY):
                loop.call_later(HOUR, print)
            await turns(3)
            assert loop._scheduled is heap

    loop.run_until_complete(main())


def test_a_block_left_by_an_exception_is_left_at_once_and_loses_no_timer(
    loop: VirtualLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timers, "TURN_S", 0.0)
    calls = Calls(loop)

    async def block() -> None:
        async with GradualRemoval(loop):
            refs.extend(cancelled(loop))
            await asyncio.Event().wait()

    async def main() -> None:
        calls.add(*(TURN * n for n in range(1, 1000, 3)))
        blocked = asyncio.create_task(block())
        await turns(50)
        blocked.cancel()
        await asyncio.wait([blocked])
        assert left(refs) > MANY // 2
        await asyncio.sleep(2)
        assert left(refs) == 0
        calls.check()
        assert nothing_left(loop)

    refs: list[weakref.ref[TimerHandle]] = []
    loop.run_until_complete(main())


@pytest.mark.parametrize("first", [0, 1])
def test_two_blocks_at_once_lose_no_timer(loop: VirtualLoop, first: int) -> None:
    calls = Calls(loop)

    async def main() -> None:
        blocks = [GradualRemoval(loop), GradualRemoval(loop)]
        victims = [loop.call_later(HOUR, print) for _ in range(MANY)]
        for block in blocks:
            calls.add(*(TURN * n for n in range(1, 2000, 7)))
            await block.__aenter__()
            cancelled(loop)
            await turns(10)
        await blocks.pop(first).__aexit__(None)
        for timer in victims:  # of the other; most went back to the loop just now
            timer.cancel()
        await turns(10)
        await blocks[0].__aexit__(None)
        await asyncio.sleep(3)
        calls.check()
        assert nothing_left(loop)

    loop.run_until_complete(main())


@pytest.mark.parametrize("nth", [1, 60, 2_000])
def test_after_an_error_all_timers_are_back_and_the_error_is_reported(
    loop: VirtualLoop, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    """As an interruption would, it comes between giving a timer back and taking it out."""
    calls = Calls(loop)
    returned = 0
    gives_back = GradualRemoval._return

    def fails(self: GradualRemoval, timer: Any) -> None:
        nonlocal returned
        gives_back(self, timer)
        returned += 1
        if returned == nth:
            raise MemoryError("on purpose")

    monkeypatch.setattr(GradualRemoval, "_return", fails)
    heard: list[Any] = []
    loop.set_exception_handler(lambda _, context: heard.append(context["exception"]))

    async def main() -> None:
        alive = [loop.call_later(HOUR - n, print) for n in range(MANY)]
        calls.add(*(TURN * 10 * n for n in range(1, 41)))
        async with GradualRemoval(loop):
            cancelled(loop)
            await turns(20)
        assert [*map(str, heard)] == ["on purpose"]
        scheduled = [id(timer) for timer in loop._scheduled]
        assert len(scheduled) == len({*scheduled})
        assert {*map(id, alive)} <= {*scheduled}
        assert is_heap(loop._scheduled)
        assert abs(loop._timer_cancelled_count) < 2 * MANY
        await asyncio.sleep(1)
        calls.check()
        for timer in alive:
            timer.cancel()
        await turns(2)
        assert nothing_left(loop)

    loop.run_until_complete(main())


def test_a_turn_that_was_scheduled_before_an_error_does_nothing(loop: VirtualLoop) -> None:
    async def main() -> None:
        removal = GradualRemoval(loop)
        await removal.__aenter__()
        cancelled(loop)
        await turns(2)
        removal._give_up()
        heap, count = loop._scheduled, loop._timer_cancelled_count
        removal._turn()
        assert loop._scheduled is heap
        assert (len(heap), loop._timer_cancelled_count) == (MANY + 1, count)
        await removal.__aexit__(None)

    loop.run_until_complete(main())


def test_a_count_that_is_too_high_causes_no_work(loop: VirtualLoop) -> None:
    """asyncio's is: a timer that is cancelled in the turn that it is due in stays in the count."""

    async def main() -> None:
        async with GradualRemoval(loop):
            for _ in range(10):
                loop.call_later(HOUR, print)
            loop._timer_cancelled_count += MANY
        assert len(loop._scheduled) == 10

    loop.run_until_complete(main())


def test_memory_is_released(loop: VirtualLoop) -> None:
    async def main() -> list[weakref.ref[Any]]:
        removal = GradualRemoval(loop)
        async with removal:
            refs: list[weakref.ref[Any]] = [*cancelled(loop), weakref.ref(removal)]
            first = refs[0]()
            await turns(3)
        assert not first._scheduled  # as asyncio leaves those that it has removed
        await turns(1)
        return refs

    assert left(loop.run_until_complete(main())) == 0


@pytest.mark.parametrize(
    "make", [asyncio.new_event_loop, event_loop.new_event_loop, loop_with_turns]
)
def test_asyncios_own_loops_are_recognised(make: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Where this fails, this Python's loop keeps its timers in another way than timers.py expects."""
    loop = make()
    assert can_remove_gradually(loop)
    loop.close()


class OwnTurn(asyncio.SelectorEventLoop):
    def _run_once(self) -> None:
        super()._run_once()  # type: ignore[misc]


class OwnCallAt(asyncio.SelectorEventLoop):
    def call_at(self, *args: Any, **kwargs: Any) -> TimerHandle:
        return super().call_at(*args, **kwargs)


class OwnCancelled(asyncio.SelectorEventLoop):
    def _timer_handle_cancelled(self, handle: TimerHandle) -> None:
        super()._timer_handle_cancelled(handle)  # type: ignore[misc]


class OwnHeap(asyncio.SelectorEventLoop):
    class Heap(list[TimerHandle]):
        pass

    def __init__(self) -> None:
        super().__init__()
        self._scheduled = self.Heap()


class NoCount(asyncio.SelectorEventLoop):
    _timer_cancelled_count = 0

    def __init__(self) -> None:
        super().__init__()
        del self._timer_cancelled_count


def patched() -> asyncio.AbstractEventLoop:
    loop: Any = asyncio.new_event_loop()
    loop.call_at = loop.call_at
    return loop  # type: ignore[no-any-return]


OTHERS = [OwnTurn, OwnCallAt, OwnCancelled, OwnHeap, NoCount, patched, uvloop.new_event_loop]


@pytest.mark.parametrize("make", OTHERS)
def test_other_loops_are_left_alone(make: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        assert not can_remove_gradually(loop)
        heap = getattr(loop, "_scheduled", None)
        called = asyncio.Event()
        loop.call_later(0.001, called.set)
        async with GradualRemoval(loop):
            for timer in [loop.call_later(HOUR, print) for _ in range(MANY)]:
                timer.cancel()
            assert getattr(loop, "_scheduled", None) is heap
        await called.wait()

    with asyncio.Runner(loop_factory=make) as runner:
        runner.run(main())
