"""A process of the group between its start and the moment when it is ready."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from qcfeed.errors import StartError
from qcfeed.service.systemd import STANDING_BY
from qcfeed.workers.child_process import ChildProcess, Readiness
from qcfeed.workers.supervised_process import start_error

_TIMEOUT = 60.0
"""Seconds for a process to become ready, or to stand by."""
_HELD_LINES = 100


class Starting:
    """Each method returns when the process has reached that state. If it does not, the process is killed, and StartError raised."""

    def __init__(
        self, name: str, child: ChildProcess, readiness: Readiness, messages: Messages
    ) -> None:
        self.child = child
        self._name = name
        self._readiness = readiness
        self._messages = messages

    async def ready(self) -> ChildProcess:
        await self._until("READY=1", "ready")
        return self.child

    async def stands_by(self) -> None:
        await self._until(STANDING_BY, "standing by")

    async def _until(self, message: str, state: str) -> None:
        try:
            await self._wait(message, state)
        except BaseException:
            await self.child.kill()
            raise
        self._messages.release()

    async def _wait(self, message: str, state: str) -> None:
        name, child = self._name, self.child
        reported = asyncio.create_task(self._readiness.wait(message), name=f"{name} gets {state}")
        ended = asyncio.create_task(child.wait(), name=f"{name} ends")
        try:
            await asyncio.wait(
                (reported, ended), timeout=_TIMEOUT, return_when=asyncio.FIRST_COMPLETED
            )
            if reported.done():
                return
            if ended.done():
                raise start_error(name, ended.result(), list(child.lines))
            raise StartError(f"{name} was not {state} within {_TIMEOUT:g} s")
        finally:
            reported.cancel()
            ended.cancel()
            await asyncio.wait((reported, ended))


class Messages:
    """The lines that a process writes, held until it is ready: a failed start is reported by StartError instead."""

    def __init__(self, name: str, tell: Callable[[str, str], None]) -> None:
        self._name = name
        self._tell = tell
        self._held: list[str] | None = []

    def hear(self, line: str) -> None:
        if self._held is None:
            self._tell(self._name, line)
        else:
            self._held = [*self._held[-_HELD_LINES:], line]

    def release(self) -> None:
        held, self._held = self._held or [], None
        for line in held:
            self._tell(self._name, line)
