"""A process of ``serve --workers`` that the kernel kills, as it does when memory runs out."""

from __future__ import annotations

import asyncio
import os
import signal

from qcfeed import supervised
from qcfeed.drills.base import DrillEnvironment
from qcfeed.errors import UsageError

DELAY = 0.5
"""Seconds until it is killed: the answer to the command that started the drill leaves first."""


class CrashedWorker:
    """Kills its own process. The supervisor starts it again, without the drill."""

    def __init__(self, environment: DrillEnvironment, _: float) -> None:
        if not supervised.is_supervised():
            raise UsageError(
                "this drill needs a process of serve --workers, whose supervisor starts it again",
                hint="`qcfeed serve --workers 2 --allow-drills --upstream sim:` starts some",
            )
        self._loop = environment.loop
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._timer = self._loop.call_later(DELAY, os.kill, os.getpid(), signal.SIGKILL)

    async def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
