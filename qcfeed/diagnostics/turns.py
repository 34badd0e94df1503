"""Lets the watched loop run while another thread reads long lists of its tasks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")

SLICE = 100
"""Items that a reader handles before it checks whether its turn is over."""
READER_TURN_S = 0.001
"""Seconds for which readers may work before they let the watched loop run."""
_PAUSE_S = 50e-6
"""Seconds for which a reader then sleeps. ``sleep(0)`` is too short: it returns before a thread that
waits for the GIL has woken up and taken it."""


class ReaderTurns:
    """The turns of all readers of one loop. They share one instance, because the loop waits for all of them."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        """The watched loop. A reader that runs in it takes no pauses."""
        self._yielded_at = 0.0
        """When a reader last let the loop run."""

    def slices(self, items: Sequence[Item], size: int | None = None) -> Iterator[Sequence[Item]]:
        """``items`` in slices of ``size``. After every READER_TURN_S the watched loop gets the GIL."""
        size = size or SLICE
        for start in range(0, len(items), size):
            self.let_loop_run()
            yield items[start : start + size]

    def drained_slices(self, items: list[Item], size: int) -> Iterator[list[Item]]:
        """Like ``slices``, from the end of ``items``; each slice is removed from ``items`` first."""
        while items:
            self.let_loop_run()
            some = items[-size:]
            del items[-size:]
            yield some

    def let_loop_run(self) -> None:
        """Sleep briefly if the reader has worked for READER_TURN_S. Call it after each small piece of work."""
        elsewhere = asyncio._get_running_loop() is not self.loop  # noqa: SLF001
        if elsewhere and time.monotonic() - self._yielded_at > READER_TURN_S:
            time.sleep(_PAUSE_S)
            self._yielded_at = time.monotonic()
