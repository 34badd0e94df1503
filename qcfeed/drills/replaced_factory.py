"""A replaced task factory: new tasks are not recorded, and some of them leak."""

from __future__ import annotations

import asyncio
from typing import Any

from qcfeed.diagnostics import owned_by
from qcfeed.drills.base import DrillEnvironment


class ReplacedFactory:
    """Replaces the task factory of a running loop, as some tracing libraries do, and leaks tasks.

    The leaked tasks have a closed owner, but no list of orphans shows them.
    """

    def __init__(self, environment: DrillEnvironment, count: float) -> None:
        self._loop = environment.loop
        self._count = int(count)
        self._recording: Any = None
        self._leaked: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._recording = self._loop.get_task_factory()
        self._loop.set_task_factory(plain_factory)
        with owned_by(lambda: True):
            self._leaked = [self._loop.create_task(_refresh()) for _ in range(self._count)]

    async def stop(self) -> None:
        """Restore the factory and end the leaked tasks; tasks the service created meanwhile go on."""
        self._loop.set_task_factory(self._recording)
        for task in self._leaked:
            task.cancel()
        await asyncio.wait(self._leaked)
        self._leaked = []


def plain_factory(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
    """Create a task as asyncio does without a task factory."""
    return asyncio.Task(coro, loop=loop, **options)


async def _refresh() -> None:
    await asyncio.Event().wait()
