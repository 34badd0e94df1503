"""A loop in which hours pass at once: when nothing is ready, its clock jumps to the next timer.

A task in it can wait for timers and for other tasks: there are no sockets or threads in virtual time.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class _JumpingSelector(selectors.SelectSelector):
    """Waits for nothing: it reports how long it would have waited."""

    def __init__(self, jump: Callable[[float], None]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everything waits for something that is not in this loop"
        self._jump(max(timeout, 0.0))
        return []


TURN = 1 / 1024
"""Seconds that a turn takes in a loop with turns. Sums of it are exact."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """Executors run a function at once, in the loop's own thread. ``turn``: seconds per turn, at least."""

    def __init__(self, turn: float = 0.0) -> None:
        self._now = 1_000.0
        self._turn = turn
        super().__init__(_JumpingSelector(self._pass))

    def _pass(self, seconds: float) -> None:
        self._now += max(seconds, self._turn)

    def time(self) -> float:
        return self._now

    def run_in_executor(  # type: ignore[override]
        self, _executor: Executor | None, function: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        done: asyncio.Future[T] = self.create_future()
        done.set_result(function(*args))
        return done


def loop_with_turns() -> VirtualLoop:
    """A loop in which time also passes while tasks run: TURN in each turn."""
    return VirtualLoop(TURN)


def run(main: Coroutine[Any, Any, T]) -> T:
    """What ``main`` returns, in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Decorates a test: it runs in virtual time, so that what it asserts of times is exact."""

    @functools.wraps(test)
    def runs(*args: P.args, **kwargs: P.kwargs) -> None:
        run(test(*args, **kwargs))

    return runs
