"""How long the garbage collector keeps the process from running.

CPython's collector stops every thread while it runs; a full collection of a million objects takes a
third of a second, and no profiler of the loop shows it under its own name.
"""

from __future__ import annotations

import gc
import time
from typing import Any

GENERATIONS = 3


class GcPauses:
    """Counts collections and their time from ``start`` to ``stop``, by generation.

    The figures are plain attributes, to be read from any thread. Cost: 0.3 us a collection.
    """

    def __init__(self) -> None:
        self.collections = [0] * GENERATIONS
        self.seconds = [0.0] * GENERATIONS
        self.longest = 0.0
        """Seconds of the longest one."""
        self.uncollectable = 0
        """Objects found that could not be freed."""
        self._began = 0.0

    def start(self) -> None:
        """Count from now on. Starting twice is starting once."""
        if self._hear not in gc.callbacks:
            gc.callbacks.append(self._hear)

    def stop(self) -> None:
        """Count no more; the figures stay."""
        if self._hear in gc.callbacks:
            gc.callbacks.remove(self._hear)

    @property
    def count(self) -> int:
        """Collections of every generation."""
        return sum(self.collections)

    @property
    def total(self) -> float:
        """Seconds of all of them."""
        return sum(self.seconds)

    def _hear(self, phase: str, info: dict[str, Any]) -> None:
        """gc.callbacks: one collection at a time, whichever thread it runs in."""
        now = time.perf_counter()
        if phase == "start":
            self._began = now
            return
        if not self._began:  # we came in the middle of it
            return
        took, self._began = now - self._began, 0.0
        generation = info["generation"]
        self.collections[generation] += 1
        self.seconds[generation] += took
        self.longest = max(self.longest, took)
        self.uncollectable += info["uncollectable"]
