"""Exceptions that nobody took from their task: counted as asyncio reports them, and passed on."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, replace
from typing import Any

from qcfeed.diagnostics.failures import describe
from qcfeed.diagnostics.task_info import info_of

log = logging.getLogger("qcfeed.diagnostics")

LOCATIONS = 256
"""Spawn locations told apart; what comes from any further one is counted under ``other``."""
_WORDS = "exception was never retrieved"
_FUTURE = "a future"


@dataclass(slots=True)
class UnretrievedGroup:
    """Exceptions of one location's tasks that nobody took. ``error`` is the last one.

    ``location`` is "a future" for one that was no task's, "untracked" for a task's that the ledger
    does not know. ``last`` is ``time.monotonic()``.
    """

    location: str
    count: int = 0
    last: float = 0.0
    error: str = ""


class UnretrievedListener:
    """Chained in front of the loop's exception handler; asyncio's report is made as ever.

    asyncio tells of a lost exception when the garbage collector frees the task, so one that
    somebody still holds is not counted yet. Cost: nothing until there is a report.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._previous: Any = None
        self._lost: dict[str, UnretrievedGroup] = {}

    def install(self, loop: asyncio.AbstractEventLoop) -> None:
        """Listen from now on."""
        self._loop = loop
        self._previous = loop.get_exception_handler()
        loop.set_exception_handler(self._handle)

    def uninstall(self) -> None:
        """Put the earlier handler back, unless somebody has set another meanwhile."""
        if self.listening and self._loop is not None:
            self._loop.set_exception_handler(self._previous)
        self._loop = None

    @property
    def listening(self) -> bool:
        """False once somebody has set a handler in our place: then nothing more is counted."""
        return self._loop is not None and self._loop.get_exception_handler() == self._handle

    def counts(self) -> list[UnretrievedGroup]:
        """By location. From any thread."""
        return [replace(lost) for lost in list(self._lost.values())]

    def _handle(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        try:
            if _WORDS in str(context.get("message", "")):
                self._note(context)
        except Exception:
            log.exception("a lost exception could not be counted")
        if self._previous is None:
            loop.default_exception_handler(context)
        else:
            self._previous(loop, context)

    def _note(self, context: dict[str, Any]) -> None:
        location = _location(context.get("future") or context.get("task"))
        if location not in self._lost and len(self._lost) >= LOCATIONS:
            location = "other"
        lost = self._lost.setdefault(location, UnretrievedGroup(location))
        lost.count += 1
        lost.last = time.monotonic()
        lost.error = describe(context.get("exception"))


def _location(future: Any) -> str:
    if not isinstance(future, asyncio.Task):
        return _FUTURE
    known = info_of(future)
    return "untracked" if known is None else known.site.location
