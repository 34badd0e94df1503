from __future__ import annotations

import asyncio
import selectors
import textwrap
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.loop_watch import Call, LoopWatch
from qcfeed.diagnostics.site import short_path
from qcfeed.diagnostics.watchdog import CHECK_EVERY_S, MAX_STALLS, MIN_STALL_S, Stall, Watchdog
from tests.support.patience import PATIENCE

THIS = short_path(__file__)


class Beats:
    """A LoopWatch whose beat is due when the test says."""

    def __init__(self) -> None:
        self.due = 0.05

    def overdue(self, now: float) -> float:
        return max(0.0, now - self.due)

    def calls(self) -> list[Call]:
        """The program's own function, and what of the standard library it is in."""
        return [(busy.__code__, 2), (textwrap.dedent.__code__, 3)]


def busy() -> None:
    pass


class OurSelector(selectors.DefaultSelector):
    def select(self, timeout: float | None = None) -> list[Any]:
        return super().select(timeout)


def in_the_selector(selector: selectors.BaseSelector) -> list[Call]:
    """The calls of a loop that waits for events, as they really are: seen from another thread."""
    loop = asyncio.SelectorEventLoop(selector)
    watch = LoopWatch()
    ready = threading.Event()
    loop.call_soon(ready.set)

    def wait() -> None:
        watch.start(loop)
        loop.run_forever()
        watch.stop()

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        assert ready.wait(PATIENCE)
        for _ in range(10_000):
            calls = watch.calls()
            if calls and calls[-1][0].co_name == "select":
                return calls
            time.sleep(0.001)
        raise AssertionError("the loop never waits")
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.mark.parametrize("kind", [selectors.DefaultSelector, OurSelector])
def test_a_loop_that_the_kernel_wakes_late_is_no_stall_of_the_program(
    clock: Clock, kind: type[selectors.BaseSelector], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = in_the_selector(kind())
    monkeypatch.setattr(clock.beats, "calls", lambda: calls)
    clock.healthy(1)
    clock.stuck(2)
    assert (clock.dog.stalls(), clock.dog.caught) == ([], 0)
    (late,) = clock.dog.late_wakeups()
    assert late.seconds == pytest.approx(2, abs=2 * CHECK_EVERY_S)
    monkeypatch.undo()
    clock.healthy(1)
    clock.stuck(0.3)
    (stall,) = clock.dog.stalls()
    assert stall.place == f"{THIS}:2 busy"


def test_a_loop_that_is_woken_late_and_then_blocked_is_a_stall(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The beat has not run in between: a callback that blocks comes before it."""
    calls = in_the_selector(selectors.DefaultSelector())
    clock.healthy(1)
    with monkeypatch.context() as patch:
        patch.setattr(clock.beats, "calls", lambda: calls)
        clock.stuck(0.3)
    clock.stuck(2)
    (stall,) = clock.dog.stalls()
    assert stall.place == f"{THIS}:2 busy"
    assert stall.seconds == pytest.approx(2, abs=2 * CHECK_EVERY_S + MIN_STALL_S)


def test_a_callback_that_waits_in_a_selector_of_its_own_is_a_stall(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    select = OurSelector.select.__code__
    monkeypatch.setattr(clock.beats, "calls", lambda: [(busy.__code__, 2), (select, 1)])
    clock.healthy(1)
    clock.stuck(0.3)
    assert clock.dog.caught == 1


class Clock:
    """A watchdog looked at in fake time."""

    def __init__(self) -> None:
        self.beats = Beats()
        self.dog = Watchdog(self.beats)  # type: ignore[arg-type]
        self.now = 0.0

    def healthy(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.beats.due = self.now + CHECK_EVERY_S
            self.look(CHECK_EVERY_S)

    def look(self, passed: float) -> None:
        self.now += passed
        self.dog.check(self.now, passed)

    def stuck(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end - CHECK_EVERY_S / 2:
            self.look(CHECK_EVERY_S)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_healthy_loop_is_never_caught(clock: Clock) -> None:
    clock.healthy(600)
    assert (clock.dog.stalls(), clock.dog.caught) == ([], 0)


def test_a_stall_is_recorded_once_with_stack_and_length(clock: Clock) -> None:
    clock.healthy(1)
    clock.stuck(2)
    clock.healthy(1)
    (stall,) = clock.dog.stalls()
    assert stall.seconds == pytest.approx(2, abs=2 * CHECK_EVERY_S)
    assert stall.stack == [f"{THIS}:2 busy", "textwrap.py:3 dedent"]
    assert (stall.place, stall.source) == (f"{THIS}:2 busy", "")
    assert (stall.serial, stall.location) == (None, "")


def test_a_stall_that_goes_on_is_reported(clock: Clock) -> None:
    clock.stuck(0.5)
    assert clock.dog.stalls()[0].seconds < 0.5
    clock.stuck(0.5)
    assert clock.dog.stalls()[0].seconds > 0.8
    assert clock.dog.caught == 1


def test_consecutive_short_stalls_are_not_added_up(clock: Clock) -> None:
    for _ in range(100):
        clock.beats.due = clock.now + CHECK_EVERY_S - MIN_STALL_S / 4
        clock.look(CHECK_EVERY_S)
    assert clock.dog.stalls() == []


def test_a_process_that_was_stopped_is_no_stall(clock: Clock) -> None:
    clock.healthy(1)
    clock.look(3600)  # its own thread was not run either
    clock.healthy(1)
    clock.look(3600)
    assert clock.dog.stalls() == []


def test_the_last_ones_are_kept_and_all_are_counted(clock: Clock) -> None:
    for _ in range(MAX_STALLS + 10):
        clock.stuck(0.3)
        clock.healthy(0.1)
    assert (len(clock.dog.stalls()), clock.dog.caught) == (MAX_STALLS, MAX_STALLS + 10)


def test_a_stall_is_recorded_from_a_tenth_of_a_second_on_with_its_beginning(clock: Clock) -> None:
    clock.beats.due = 64.0
    clock.dog.check(64.0625, 0.0625)
    assert clock.dog.stalls() == []
    clock.dog.check(64.125, 0.0625)
    (stall,) = clock.dog.stalls()
    assert (stall.began, stall.seconds) == (64.0, 0.125)
    clock.dog.check(64.1875, 0.0625)
    assert clock.dog.stalls()[0].seconds == 0.1875
    assert stall.seconds == 0.125, "what was told is a copy"
    clock.beats.due = 64.25
    clock.dog.check(64.2578125, 0.0625)  # less than a hundredth of a second late: it goes on
    clock.beats.due = 64.265625
    clock.dog.check(64.328125, 0.0625)
    clock.dog.check(64.390625, 0.0625)
    assert [each.seconds for each in clock.dog.stalls()] == [0.1875, 0.125], "another one"
    assert clock.dog.caught == 2


def test_of_the_time_between_two_checks_little_more_than_is_usual_counts(clock: Clock) -> None:
    clock.beats.due = 64.0
    clock.dog.check(164.0, 100.0)
    assert clock.dog.stalls() == [], "75 ms count"
    clock.dog.check(264.0, 100.0)
    (stall,) = clock.dog.stalls()
    assert stall.seconds == pytest.approx(0.15)


def test_a_loop_whose_beat_moves_is_not_in_the_same_stall(clock: Clock) -> None:
    clock.beats.due = 64.0
    clock.dog.check(64.0625, 0.0625)
    clock.beats.due = 64.0625
    clock.dog.check(64.125, 0.0625)
    assert clock.dog.stalls() == []
    clock.beats.due = 64.064453125  # within 5 ms: the two clocks differ by so much
    clock.dog.check(64.1875, 0.0625)
    assert len(clock.dog.stalls()) == 1


@pytest.fixture
def threads() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def holds_the_loop(dog: Watchdog) -> None:
    deadline = time.monotonic() + PATIENCE
    while not caught(dog) and time.monotonic() < deadline:
        time.sleep(0.001)


def caught(dog: Watchdog) -> list[Stall]:
    """In the act, and not where a busy machine had held the loop up before."""
    return [
        stall
        for stall in dog.stalls()
        if any("test_watchdog.py" in line and "holds_the_loop" in line for line in stall.stack)
    ]


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("in_a_task", [True, False])
async def test_a_real_loop_is_caught_in_the_act(ledger: Ledger, in_a_task: bool) -> None:
    loop = asyncio.get_running_loop()
    watch = LoopWatch()
    watch.start(loop)
    dog = Watchdog(watch)
    dog.start(loop)
    await asyncio.sleep(0.1)

    async def guilty() -> None:
        holds_the_loop(dog)

    if in_a_task:
        await asyncio.create_task(guilty())
    else:
        loop.call_soon(holds_the_loop, dog)
        await asyncio.sleep(0.2)
    dog.stop()
    watch.stop()
    (stall,) = caught(dog)
    assert stall.seconds >= MIN_STALL_S
    assert (stall.serial is not None) == in_a_task
    assert ("test_watchdog.py" in stall.location) == in_a_task
