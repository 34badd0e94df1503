"""A spawn location and the books of the tasks that it made."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import deque
from types import CodeType
from typing import Any, NamedTuple, Protocol

from qcfeed.diagnostics.ended_task import EndedTaskInfo

AnyTask = asyncio.Task[Any]
Frames = tuple[tuple[CodeType, int], ...]
"""Code objects and bytecode offsets, the innermost first; ``line_at`` makes lines of them."""

RECENT_ENDED = 32
"""Ended tasks that a location remembers."""
FINISHED_BUDGET = 8
"""Of those that simply finished, how many more it remembers until ``Site.refill``."""


class SiteLedger(Protocol):
    """What a site belongs to: a Ledger."""

    def give_up(self, error: Exception, /) -> None:
        """Something in here failed: book nothing more, and say so."""

    def note_failure(self, site: Site, serial: int, error: BaseException, /) -> None:
        """A task ended with an exception."""


class EndCounts(NamedTuple):
    """How the tasks of a site ended. ``destroyed``: freed while still pending."""

    finished: int
    cancelled: int
    failed: int
    destroyed: int


class Site:
    """One spawn location and its counters. All may be read from any thread.

    The number of live tasks is no counter of its own but what the others leave, so the balance
    holds in whatever moment it is looked at: spawned = finished + cancelled + failed + destroyed +
    live. A task that has ended and that somebody holds counts as live until it is let go of, or a
    reading comes by (``Ledger.settle``).
    """

    __slots__ = (
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
        self, ledger: SiteLedger, code: CodeType | None, lasti: int, *, hidden: bool = False
    ) -> None:
        self.ledger = ledger
        self.hidden = hidden
        """Whether it is left out of all answers: the ledger's own probes (self_check.py)."""
        self.spawned = 0
        self.finished = 0
        self.cancelled = 0
        self.failed = 0
        self.destroyed = 0
        self.finished_budget = FINISHED_BUDGET
        """How many more tasks that simply finish are remembered: a thousand a second cannot be."""
        self.recent_ended: deque[EndedTaskInfo] = deque(maxlen=RECENT_ENDED)
        """The last that ended, the newest last."""
        self._code = code  # held, so that its id() stays ours
        self._lasti = lasti
        self._location: str | None = None

    @property
    def live(self) -> int:
        """Tasks that have not been booked as ended."""
        return self.counts()[1]

    def counts(self) -> tuple[EndCounts, int]:
        """Outcomes and the number of live tasks, as booked, of one moment. Cost: O(1)."""
        # No call between the first and the last of these, so no other thread gets in: see book().
        spawned = self.spawned
        finished, cancelled = self.finished, self.cancelled
        failed, destroyed = self.failed, self.destroyed
        live = spawned - finished - cancelled - failed - destroyed
        return EndCounts(finished, cancelled, failed, destroyed), live

    @property
    def ended(self) -> int:
        """Tasks that have been booked as ended, however they did."""
        return sum(self.counts()[0])

    def recently_ended(self) -> list[EndedTaskInfo]:
        """The last that ended, the newest first; it remembers anew from now on."""
        self.refill_budget()
        return list(reversed(self.recent_ended.copy()))

    def refill_budget(self) -> None:
        """Remember ROOM more of those that finish. Whoever looks from time to time calls it."""
        self.finished_budget = FINISHED_BUDGET

    @property
    def function(self) -> str:
        """Qualified name of the function that spawns here."""
        return self._code.co_qualname if self._code else ""

    @property
    def location(self) -> str:
        """``path:line``; the path is relative to where it was imported from. Looked up once."""
        if self._location is None:
            self._location = location_of(self._code, self._lasti) if self._code else "other"
        return self._location


def location_of(code: CodeType, lasti: int) -> str:
    """``path:line`` of a bytecode offset."""
    return f"{short_path(code.co_filename)}:{line_at(code, lasti)}"


def line_at(code: CodeType, lasti: int) -> int:
    """The line of a bytecode offset; the function's first line when the code has no table."""
    for start, end, line in code.co_lines():
        if start <= lasti < end and line is not None:
            return line
    return code.co_firstlineno


def short_path(path: str) -> str:
    """``path`` relative to the longest entry of ``sys.path`` (or the directory) that leads to it."""
    roots = (os.path.join(root or os.getcwd(), "") for root in (*sys.path, ""))  # noqa: PTH109,PTH118
    longest = max((root for root in roots if path.startswith(root)), key=len, default="")
    return path[len(longest) :]
