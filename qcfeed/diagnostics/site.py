"""A spawn location and the counters of the tasks that were created there."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import deque
from itertools import starmap
from types import CodeType
from typing import Any, NamedTuple, Protocol

from qcfeed.diagnostics.ended_task import EndedTaskInfo
from qcfeed.diagnostics.locations import CALLED_BY

AnyTask = asyncio.Task[Any]
Frames = tuple[tuple[CodeType, int], ...]
"""Code objects and bytecode offsets, innermost first; ``line_at`` turns them into lines."""

RECENT_ENDED = 32
"""Ended tasks that a location keeps: the last ones."""
FINISHED_BUDGET = 8
"""How many normally finished tasks a location keeps until the next ``Site.refill_budget``. A location
that finishes a thousand tasks per second would otherwise pay for describing each of them."""


class SiteLedger(Protocol):
    """The part of a Ledger that its sites use."""

    def give_up(self, error: Exception, /) -> None:
        """Stop recording after an internal error."""

    def note_failure(self, site: Site, serial: int, error: BaseException, /) -> None:
        """A task ended with an exception."""


class EndCounts(NamedTuple):
    """How many tasks of a site ended in which way. ``destroyed``: freed while still pending."""

    finished: int
    cancelled: int
    failed: int
    destroyed: int


class Site:
    """One spawn location and its counters. Everything may be read from any thread.

    The number of live tasks is computed from the other counters, so this always holds:
    spawned = finished + cancelled + failed + destroyed + live. A task that has ended and that the
    program still holds counts as live until it is freed, or until the next scan (``Ledger.settle``).
    """

    __slots__ = (
        "_caller",
        "_code",
        "_lasti",
        "_location",
        "cancelled",
        "destroyed",
        "failed",
        "finished",
        "finished_budget",
        "hidden",
        "ledger",
        "recent_ended",
        "spawned",
    )

    def __init__(
        self,
        ledger: SiteLedger,
        code: CodeType | None,
        lasti: int,
        *,
        caller: tuple[CodeType, int] | None = None,
        hidden: bool = False,
    ) -> None:
        """``caller``: the application's code that led there, if ``code`` is a library's."""
        self.ledger = ledger
        self.hidden = hidden
        """Whether all answers leave it out, as for the ledger's own probes (self_check.py)."""
        self.spawned = 0
        self.finished = 0
        self.cancelled = 0
        self.failed = 0
        self.destroyed = 0
        self.finished_budget = FINISHED_BUDGET
        """How many more normally finished tasks are kept before the next ``refill_budget``."""
        self.recent_ended: deque[EndedTaskInfo] = deque(maxlen=RECENT_ENDED)
        """The last tasks that ended, newest last."""
        self._code = code  # held, so that no other code object gets its id(), the ledger's key
        self._lasti = lasti
        self._caller = caller
        self._location: str | None = None

    @property
    def live(self) -> int:
        """Tasks whose end has not been recorded."""
        return self.counts()[1]

    def counts(self) -> tuple[EndCounts, int]:
        """How tasks ended and how many are live, at one moment. Cost: O(1)."""
        # No call until the last counter is read, so no other thread can change one in between:
        # see task_info.record_end().
        spawned = self.spawned
        finished, cancelled = self.finished, self.cancelled
        failed, destroyed = self.failed, self.destroyed
        live = spawned - finished - cancelled - failed - destroyed
        return EndCounts(finished, cancelled, failed, destroyed), live

    @property
    def ended(self) -> int:
        """Tasks whose end has been recorded, in whatever way they ended."""
        return sum(self.counts()[0])

    def recently_ended(self) -> list[EndedTaskInfo]:
        """The last tasks that ended, newest first. Refills the budget."""
        self.refill_budget()
        return list(reversed(self.recent_ended.copy()))

    def refill_budget(self) -> None:
        """Keep up to FINISHED_BUDGET more of the tasks that finish. The periodic sampler calls this."""
        self.finished_budget = FINISHED_BUDGET

    @property
    def function(self) -> str:
        """Qualified name of the function that spawns here."""
        return self._code.co_qualname if self._code else ""

    @property
    def location(self) -> str:
        """``path:line``, with the path relative to the directory it was imported from. Looked up once.

        For a line of a library, also the nearest line of the application that called it:
        ``ccxt/future.py:20 < bot.py:88``.
        """
        if self._location is None:
            places = [(self._code, self._lasti)] if self._code else []
            places += [] if self._caller is None else [self._caller]
            self._location = CALLED_BY.join(starmap(location_of, places)) or "other"
        return self._location


def location_of(code: CodeType, lasti: int) -> str:
    """``path:line`` of a bytecode offset."""
    return f"{short_path(code.co_filename)}:{line_at(code, lasti)}"


def line_at(code: CodeType, lasti: int) -> int:
    """The line of a bytecode offset; the function's first line if the code has no line table."""
    for start, end, line in code.co_lines():
        if start <= lasti < end and line is not None:
            return line
    return code.co_firstlineno


def inside(directory: str) -> str:
    """``directory`` with a final slash, as the beginning of the paths of its files."""
    return os.path.join(directory, "")  # noqa: PTH118


def short_path(path: str) -> str:
    """``path`` relative to the longest matching entry of ``sys.path``, or to the working directory."""
    roots = (inside(root or os.getcwd()) for root in (*sys.path, ""))  # noqa: PTH109
    longest = max((root for root in roots if path.startswith(root)), key=len, default="")
    return path[len(longest) :]
