"""A stuck loop: a blocking call that every task has to wait for."""

from __future__ import annotations

import asyncio
import time

from qcfeed.drills.base import DrillEnvironment

_PAUSE = 2.0
"""Seconds between two blocking calls, in which the service works and can stop the drill."""


class StuckLoop:
    """Blocks the loop for ``seconds``, again and again."""

    def __init__(self, environment: DrillEnvironment, seconds: float) -> None:
        self._loop = environment.loop
        self._seconds = seconds
        self._next: asyncio.TimerHandle | None = None

    def start(self) -> None:
        # Delayed, so that the answer to the request that starts the drill is sent first.
        self._next = self._loop.call_later(0.2, self._block)

    async def stop(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _block(self) -> None:
        self._next = self._loop.call_later(self._seconds + _PAUSE, self._block)
        compute_without_a_thread(self._seconds)


def compute_without_a_thread(seconds: float) -> None:
    """Stands for a query, a hash or a file read that somebody believed to be quick."""
    time.sleep(seconds)
