"""A spawn location and the books of the tasks that it made."""

from __future__ import annotations

import asyncio
import os
import sys
import weakref
from collections.abc import Callable, Iterator
from itertools import chain
from types import CodeType
from typing import Any, NamedTuple, Protocol

from qcfeed.diagnostics.origin import Closable, Labels, Origin, Owner

__all__ = [
    "AnyTask",
    "Closable",
    "Frames",
    "Outcomes",
    "Owner",
    "Record",
    "Site",
    "Task",
    "line_at",
    "lost",
    "short_path",
]

AnyTask = asyncio.Task[Any]
Frames = tuple[tuple[CodeType, int], ...]
"""Code objects and bytecode offsets, the innermost first; ``line_at`` makes lines of them."""


class Books(Protocol):
    """What a site belongs to: a Ledger."""

    def slices(self, items: list[Record], /) -> Iterator[list[Record]]:
        """Cuts a list up, and lets other threads run between the pieces."""


class Record(weakref.ref[AnyTask]):
    """One live task: ``serial``, ``born`` (``time.monotonic()``), ``site``, ``owner``, ``labels``,
    ``parent`` (serial of the task that spawned it; None when that was a callback, or is unknown)
    and ``spawned_by`` (the frames of its spawning, where the ledger keeps them).

    Calling it gives the task, or None once it is gone (``task`` reads better, the call is faster).
    Hold that briefly: while it is held it cannot be collected. The record, and with it the hold on
    the owner, ends with the task.
    """

    __slots__ = ("born", "origin", "parent", "serial", "site", "spawned_by")

    serial: int
    born: float
    origin: Origin
    parent: int | None
    site: Site
    spawned_by: Frames

    @property
    def task(self) -> AnyTask | None:
        return self()

    @property
    def owner(self) -> Owner | None:
        return self.origin.owner

    @property
    def labels(self) -> Labels:
        return self.origin.labels

    def end(self, task: AnyTask) -> None:
        """Book how ``task`` ended; one that has not is about to be destroyed. Once only."""
        site = self.site
        # Not task.exception(): that would hide "Task exception was never retrieved".
        if task._exception is not None:  # noqa: SLF001
            outcome = FAILED
        elif task.cancelled():
            outcome = CANCELLED
        else:
            outcome = FINISHED if task.done() else DESTROYED
        # From here on no call and no loop: the interpreter switches threads only at those, so
        # another thread sees the task live or ended, never both or neither, and books nothing twice.
        if self.serial in site.records:
            site.ended[outcome] += 1
            del site.records[self.serial]


def records_of(task: AnyTask | asyncio.Future[Any]) -> list[Record]:
    """A task's records, one in each ledger that has booked it. From any thread.

    One that is being booked at this very moment has no site yet, and is left out.
    """
    known = (each for each in weakref.getweakrefs(task) if isinstance(each, Record))
    return [record for record in known if hasattr(record, "site")]


def lost(record: weakref.ref[AnyTask]) -> None:
    """Another factory's task is gone. If it did not tell its end, it was destroyed pending."""
    assert isinstance(record, Record)  # noqa: S101
    if record.serial in record.site.records:
        record.site.ended[DESTROYED] += 1
        del record.site.records[record.serial]


FINISHED, CANCELLED, FAILED, DESTROYED = range(4)


class Task(asyncio.Task[Any]):
    """asyncio's task that books its own end when it is freed.

    A done callback would tell sooner, and cost as much again as all else that the ledger does: the
    event loop wraps, queues and runs one for each task. So a task that has ended and that somebody
    still holds is booked when it is let go of, or when somebody reads the books.
    """

    __slots__ = ("record",)
    record: Record

    def set_name(self, value: object) -> None:
        # Python 3.13.0 names every unnamed task "None" when a factory made it.
        if value is not None:
            super().set_name(value)

    def __del__(self, _report: Callable[[AnyTask], None] = asyncio.Task.__del__) -> None:
        try:
            record = self.record
        except AttributeError:
            pass  # refused by asyncio, as what is no coroutine is
        else:
            if self._state == "FINISHED" and self._exception is None:
                # Nearly all: booked as in Record.end, without a call, and nothing to report.
                site = record.site
                if record.serial in site.records:
                    site.ended[FINISHED] += 1
                    del site.records[record.serial]
                return
            record.end(self)
        _report(self)


class Outcomes(NamedTuple):
    """How the tasks of a site ended. ``destroyed``: freed while still pending."""

    finished: int
    cancelled: int
    failed: int
    destroyed: int


class Site:
    """One spawn location and the books of its tasks. All may be read from any thread.

    The number spawned is not a counter of its own but the sum of the others, so the balance holds
    in whatever moment it is looked at: spawned = finished + cancelled + failed + destroyed +
    len(live). Reading outcomes or the live settles the books first: 0.1 us a live task.
    """

    __slots__ = ("_code", "_lasti", "_location", "ended", "ledger", "records")

    def __init__(self, ledger: Books, code: CodeType | None, lasti: int) -> None:
        self.ledger = ledger
        self._code = code  # held, so that its id() stays ours
        self._lasti = lasti
        self._location: str | None = None
        self.ended = [0, 0, 0, 0]
        """Counts by outcome, as far as they are booked."""
        self.records: dict[int, Record] = {}
        """By serial number, oldest first; ended tasks that somebody holds too, until settled."""

    @property
    def live(self) -> dict[int, Record]:
        """The live tasks by serial number, oldest first."""
        self.settle()
        return self.records

    @property
    def finished(self) -> int:
        return self.outcomes().finished

    @property
    def cancelled(self) -> int:
        return self.outcomes().cancelled

    @property
    def failed(self) -> int:
        return self.outcomes().failed

    @property
    def destroyed(self) -> int:
        return self.outcomes().destroyed

    @property
    def spawned(self) -> int:
        outcomes, live = self.counts()
        return sum(outcomes) + live

    def outcomes(self) -> Outcomes:
        self.settle()
        return Outcomes(*self.ended)

    def counts(self) -> tuple[Outcomes, int]:
        """Outcomes and the number of live tasks, as booked, of one moment. Cost: O(1)."""
        # Up to the call of len() and its result no other thread gets in: see Record.end.
        finished, cancelled, failed, destroyed = self.ended
        live = len(self.records)
        return Outcomes(finished, cancelled, failed, destroyed), live

    def settled(self) -> Iterator[list[Record]]:
        """The live tasks, oldest first, in slices that let the loop run.

        Those that have ended and are still held by somebody are booked on the way. Cost: 0.1 us a task.
        """
        for records in self.ledger.slices(list(self.records.values())):
            ended = [r for r in records if (task := r()) is None or task.done()]
            for record in ended:
                if (task := record()) is not None:
                    record.end(task)
            task = None  # or it could not be freed during the pause
            yield [r for r in records if r.serial in self.records] if ended else records

    def settle(self) -> list[Record]:
        """All of ``settled``; some may have ended since they were looked at."""
        return list(chain.from_iterable(self.settled()))

    @property
    def function(self) -> str:
        """Qualified name of the function that spawns here."""
        return self._code.co_qualname if self._code else ""

    @property
    def location(self) -> str:
        """``path:line``; the path is relative to where it was imported from. Looked up once."""
        if self._location is None:
            self._location = self._locate()
        return self._location

    def _locate(self) -> str:
        if self._code is None:
            return "other"
        return f"{short_path(self._code.co_filename)}:{line_at(self._code, self._lasti)}"


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
