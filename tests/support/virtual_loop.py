"""asyncio's own event loop with a clock that a test can rely on."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable

TURN = 1 / 1024
"""Seconds that a turn of the loop takes, at least. Sums of it are exact."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """Waits take no time, and its clock jumps to their end. Nothing but timers may end a wait."""

    def __init__(self) -> None:
        self.now = 1_024.0
        super().__init__(_Selector(self._pass))

    def time(self) -> float:
        return self.now

    def _pass(self, timeout: float | None) -> None:
        assert timeout is not None, "the loop would wait for ever"
        self.now += max(timeout, TURN)


class _Selector(selectors.SelectSelector):
    def __init__(self, waits: Callable[[float | None], None]) -> None:
        super().__init__()
        self._waits = waits

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._waits(timeout)
        return super().select(0)
