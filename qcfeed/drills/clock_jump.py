"""A wall clock that somebody sets."""

from __future__ import annotations

from qcfeed.drills.base import DrillEnvironment


class ClockJump:
    """The wall clock jumps by so many seconds, and jumps back at the end."""

    def __init__(self, environment: DrillEnvironment, seconds: float) -> None:
        self._wall = environment.wall
        self._seconds = seconds

    def start(self) -> None:
        self._wall.offset = self._seconds

    async def stop(self) -> None:
        self._wall.offset = 0.0
