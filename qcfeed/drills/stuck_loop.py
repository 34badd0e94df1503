"""A loop that is stuck: a call that blocks, where everybody has to wait for it."""

from __future__ import annotations

import asyncio
import time

from qcfeed.drills.base import DrillEnvironment

_PAUSE = 2.0
"""Seconds between two blows, in which the service breathes, and can be told to stop the drill."""


class StuckLoop:
    """Blocks the loop for ``seconds``, again and again."""

    def __init__(self, environment: DrillEnvironment, seconds: float) -> None:
        self._loop = environment.loop
        self._seconds = seconds
        self._next: asyncio.TimerHandle | None = None

    def start(self) -> None:
        # Not at once: whoever starts the drill is told so first.
        self._next = self._loop.call_later(0.2, self._block)

    async def stop(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _block(self) -> None:
        self._next = self._loop.call_later(self._seconds + _PAUSE, self._block)
        compute_without_a_thread(self._seconds)


def compute_without_a_thread(seconds: float) -> None:
    """Stands for a query, a hash or a file read that was thought to be quick."""
    time.sleep(seconds)
