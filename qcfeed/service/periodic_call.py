"""Calls a function regularly in the loop, without a task."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class PeriodicCall:
    """Calls a function every ``every`` seconds until cancelled."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, every: float, call: Callable[[], None]
    ) -> None:
        self._loop, self._every, self._call = loop, every, call
        self._timer = loop.call_later(every, self._fire)

    def cancel(self) -> None:
        self._timer.cancel()

    def _fire(self) -> None:
        self._timer = self._loop.call_later(self._every, self._fire)
        self._call()
