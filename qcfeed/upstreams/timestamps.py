"""RFC 3339 UTC timestamps with nanoseconds."""

from __future__ import annotations

import time
from collections.abc import Callable


def render(ns: int) -> str:
    """Unix nanoseconds as ``2024-03-20T02:15:00.123456789Z``."""
    seconds, fraction = divmod(ns, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{fraction:09d}Z"


class Timestamps:
    """Renders the time ``age`` seconds ago. The part up to the second is cached, so it is cheap."""

    __slots__ = ("_clock", "_prefix", "_second")

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock
        self._second = -1
        self._prefix = ""

    def __call__(self, age: float = 0.0) -> str:
        second, fraction = divmod(self._clock() - int(age * 1e9), 1_000_000_000)
        if second != self._second:
            self._second = second
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
        return f"{self._prefix}{fraction:09d}Z"
