"""A jump of the wall clock, as if somebody had set it."""

from __future__ import annotations

from qcfeed.drills.base import DrillEnvironment


class ClockJump:
    """Moves the service's wall clock by ``seconds``, and back at the end."""

    def __init__(self, environment: DrillEnvironment, seconds: float) -> None:
        self._wall = environment.wall
        self._seconds = seconds

    def start(self) -> None:
        self._wall.offset = self._seconds

    async def stop(self) -> None:
        self._wall.offset = 0.0
