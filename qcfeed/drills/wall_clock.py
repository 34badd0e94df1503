"""The wall clock of a service that allows drills."""

from __future__ import annotations

import time


class WallClock:
    """Unix time plus ``offset`` seconds. Durations are measured with the monotonic clock instead."""

    def __init__(self) -> None:
        self.offset = 0.0

    def __call__(self) -> float:
        return time.time() + self.offset

    def ns(self) -> int:
        """The time in nanoseconds."""
        return time.time_ns() + int(self.offset * 1e9)
