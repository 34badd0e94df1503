"""Memory that grows without new tasks."""

from __future__ import annotations

import asyncio
import mmap

from qcfeed.drills.base import DrillEnvironment
from qcfeed.metrics import memory

MEGABYTE = 1 << 20
CAP = 256 * MEGABYTE
"""The most the drill allocates, in bytes."""
_FULL = 0.95
"""The share of the lowered limit that is in use when CAP is reached."""
_EVERY = 0.25
"""Seconds between two allocations."""


class GrowingMemory:
    """Allocates memory at a fixed rate, up to CAP.

    To keep the machine safe, the service reports a lower memory limit during the drill, one that CAP
    nearly reaches. At the end the memory is returned to the system at once.
    """

    def __init__(self, environment: DrillEnvironment, megabytes_per_minute: float) -> None:
        self._loop = environment.loop
        self._piece = max(mmap.PAGESIZE, int(megabytes_per_minute * MEGABYTE / 60 * _EVERY))
        self._kept: list[mmap.mmap] = []
        self.held_bytes = 0
        """Bytes allocated so far."""
        self._next: asyncio.TimerHandle | None = None

    def start(self) -> None:
        memory.lower(memory.MemoryLimit(int((memory.resident() + CAP) / _FULL), "drill"))
        self._keep()

    async def stop(self) -> None:
        if self._next is not None:
            self._next.cancel()
        for piece in self._kept:
            piece.close()
        self._kept.clear()
        memory.lower(None)

    def _keep(self) -> None:
        size = min(self._piece, CAP - self.held_bytes)
        if size > 0:
            piece = mmap.mmap(-1, size)
            # Only pages that were written count as memory in use.
            piece.write(b"x" * size)
            self._kept.append(piece)
            self.held_bytes += size
            self._next = self._loop.call_later(_EVERY, self._keep)
