"""Counts exceptions of tasks that were never retrieved, when asyncio reports them."""

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
"""Spawn locations counted separately; exceptions from any further one are counted as ``other``."""
_MESSAGE = "exception was never retrieved"
"""In asyncio's message about a task or a future."""
_FUTURE = "a future"


@dataclass(slots=True)
class UnretrievedGroup:
    """Unretrieved exceptions of tasks from one spawn location. ``error``: the last one.

    ``location`` is "a future" if there was no task, and "untracked" for a task that the ledger did not
    record. ``last``: when, by ``time.monotonic()``.
    """

    location: str
    count: int = 0
    last: float = 0.0
    error: str = ""


class UnretrievedListener:
    """Counts unretrieved exceptions before the loop's own exception handler gets them, as it always does.

    asyncio reports an exception when the task is freed, so a task that the program still holds is not
    counted yet. Cost: nothing until there is a report.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._previous: Any = None
        self._lost: dict[str, UnretrievedGroup] = {}

    def install(self, loop: asyncio.AbstractEventLoop) -> None:
        """Put the listener in front of the loop's exception handler."""
        self._loop = loop
        self._previous = loop.get_exception_handler()
        loop.set_exception_handler(self._handle)

    def uninstall(self) -> None:
        """Restore the earlier handler, unless the program has set another one meanwhile."""
        if self.listening and self._loop is not None:
            self._loop.set_exception_handler(self._previous)
        self._loop = None

    @property
    def listening(self) -> bool:
        """False once the program has set another handler: then nothing more is counted."""
        # `==`, because each access to a method creates another bound method.
        return self._loop is not None and self._loop.get_exception_handler() == self._handle

    def counts(self) -> list[UnretrievedGroup]:
        """Copies of the counts by location. From any thread."""
        return [replace(lost) for lost in list(self._lost.values())]

    def _handle(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        try:
            if _MESSAGE in str(context.get("message", "")):
                self._note(context)
        except Exception:
            log.exception("counting an unretrieved exception failed")
        # The program's own handler still gets every report: an observer must not change what is observed.
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
    info = info_of(future)
    return "untracked" if info is None else info.site.location
