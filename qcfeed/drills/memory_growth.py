"""Memory that grows, and no task with it."""

from __future__ import annotations

import asyncio
import mmap

from qcfeed.drills.base import DrillEnvironment
from qcfeed.metrics import memory

MEGABYTE = 1 << 20
CAP = 256 * MEGABYTE
"""What the drill holds at most."""
_FULL = 0.95
"""Where the process then stands, against the limit that it tells while the drill is on."""
_EVERY = 0.25


class MemoryGrowth:
    """Something keeps what it is given: so many megabytes a minute, at most CAP.

    The machine is never short of memory: the service tells a lower limit meanwhile, one that CAP
    reaches. What is kept is given back to the system at once in the end.
    """

    def __init__(self, environment: DrillEnvironment, megabytes_a_minute: float) -> None:
        self._loop = environment.loop
        self._piece = max(mmap.PAGESIZE, int(megabytes_a_minute * MEGABYTE / 60 * _EVERY))
        self._kept: list[mmap.mmap] = []
        self._held = 0
        self._next: asyncio.TimerHandle | None = None

    def start(self) -> None:
        memory.lower(memory.Limit(int((memory.resident() + CAP) / _FULL), "drill"))
        self._keep()

    async def stop(self) -> None:
        if self._next is not None:
            self._next.cancel()
        for piece in self._kept:
            piece.close()
        self._kept.clear()
        memory.lower(None)

    def _keep(self) -> None:
        size = min(self._piece, CAP - self._held)
        if size > 0:
            piece = mmap.mmap(-1, size)
            piece.write(b"x" * size)
            self._kept.append(piece)
            self._held += size
            self._next = self._loop.call_later(_EVERY, self._keep)
