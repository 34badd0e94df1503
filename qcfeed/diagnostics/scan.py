"""A scan of the live tasks of a ledger, in slices between which the watched loop runs.

The weak references of the registry (registry.py) are copied in one step (10-16 ms for a million
tasks, 0.4 ms for 50,000) and then resolved in slices. ``asyncio.all_tasks()`` does everything in one
step, or iterates over a set while the loop changes it, which raises or takes seconds.
"""

from __future__ import annotations

import asyncio
import operator
import weakref
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import Any, Protocol

from qcfeed.diagnostics.long_lists import spare_list
from qcfeed.diagnostics.registry import SAMPLE
from qcfeed.diagnostics.site import AnyTask, Site
from qcfeed.diagnostics.task_info import (
    LedgerTask,
    TaskInfo,
    TaskRecord,
    TaskRef,
    info_of,
    record_end,
    to_record,
)
from qcfeed.diagnostics.turns import ReaderTurns

SLICE = 250
"""Tasks per slice; a slice takes less than 0.2 ms."""

_OURS = {LedgerTask}
_site = attrgetter("site")
_serial = attrgetter("serial")


class ScannedLedger(Protocol):
    """The part of a Ledger that a scan uses."""

    loop: asyncio.AbstractEventLoop | None

    @property
    def turns(self) -> ReaderTurns:
        """How readers in other threads let the loop run."""

    def refs(self, found: list[TaskRef]) -> list[TaskRef]:
        """``found``, with weak references to the ledger's tasks added, possibly among others."""

    def foreign(self) -> list[TaskRecord]:
        """Tasks that another task factory created."""


class LiveTaskScan:
    """One iteration over the live tasks, from any thread, in no particular order.

    Each step gives two lists for one slice: weak references, which may be kept, and the tasks' infos.
    The second list is emptied after the step. It holds the tasks themselves, which otherwise could not
    be freed during the pause. The ends of tasks that the program still holds are recorded on the way.

    Cost: 0.25 us per live task. No object is created per task: tens of thousands of new objects would
    trigger a full garbage collection, which stops the watched loop.
    """

    def __init__(self, ledger: ScannedLedger) -> None:
        self.untracked = 0
        """Untracked live tasks of the ledger's loop that were found so far."""
        self.sample: list[TaskRef] = []
        """Some of the untracked tasks."""
        self.live = 0
        """Live tasks of the ledger that were found so far."""
        self._ledger = ledger

    def __iter__(self) -> Iterator[tuple[list[TaskRef], list[TaskInfo]]]:
        ledger = self._ledger
        with spare_list() as found:
            for refs in ledger.turns.drained_slices(ledger.refs(found), SLICE):
                # C functions do the loops here and in ``_are_ours``: a Python call per task would cost too much.
                tasks: list[Any] = list(map(operator.call, refs))
                if not self._are_ours(tasks):
                    refs, tasks = self._ours_of(refs, tasks)
                self.live += len(tasks)
                yield refs, tasks
                tasks.clear()
        for records in ledger.turns.slices(ledger.foreign(), SLICE):
            live = [each for each in records if self._lives(each)]
            self.live += len(live)
            yield [*live], [*live]

    def _are_ours(self, tasks: list[Any]) -> bool:
        """Whether all tasks of a slice are live and the ledger's own, which is the usual case."""
        if set(map(type, tasks)) != _OURS or any(map(asyncio.Task.done, tasks)):
            return False
        try:
            sites = set(map(_site, tasks))
        except AttributeError:  # its task factory is recording one at this moment
            return False
        return all(site.ledger is self._ledger and not site.hidden for site in sites)

    def _ours_of(
        self, refs: list[TaskRef], tasks: list[AnyTask | None]
    ) -> tuple[list[TaskRef], list[AnyTask]]:
        kept = [n for n, task in enumerate(tasks) if task is not None and self._is_ours(task)]
        return [refs[n] for n in kept], [task for n in kept if (task := tasks[n]) is not None]

    def _is_ours(self, task: AnyTask) -> bool:
        if type(task) is LedgerTask:
            site = getattr(task, "site", None)
            if site is None:
                return False  # its task factory is recording it at this moment
            if site.ledger is self._ledger:
                if task.done():
                    record_end(task, task)
                return not task.done() and not site.hidden
        if self._is_untracked(task):
            self.untracked += 1
            if len(self.sample) < SAMPLE:
                self.sample.append(weakref.ref(task))
        return False

    def _is_untracked(self, task: AnyTask) -> bool:
        # Up to Python 3.13 asyncio's set has the tasks of all loops of the process.
        if task.done() or task.get_loop() is not self._ledger.loop:
            return False
        return info_of(task, self._ledger) is None

    @staticmethod
    def _lives(info: TaskRecord) -> bool:
        task = info()
        if task is not None and task.done():
            record_end(info, task)
        return info.open and task is not None and not info.site.hidden


class Oldest:
    """Selects the oldest of many tasks, which are added in any order.

    A record is created only for a task that is among the oldest so far.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._best: list[TaskRecord] = []
        self._below: float = float("inf")
        """Tasks with a serial of at least this are too young to be selected."""

    def add(self, some: Iterable[TaskInfo]) -> None:
        below = self._below
        self._best += [to_record(each) for each in some if each.serial < below]
        if len(self._best) > 2 * self._number:
            self._trim()

    def records(self) -> list[TaskRecord]:
        """The selected tasks, oldest first."""
        self._trim()
        return self._best

    def _trim(self) -> None:
        self._best.sort(key=_serial)
        del self._best[self._number :]
        if self._number and len(self._best) == self._number:
            self._below = self._best[-1].serial
        elif not self._number:
            self._below = 0


def oldest(
    ledger: ScannedLedger, refs: list[TaskRef], limit: int, offset: int = 0
) -> list[TaskRecord]:
    """The oldest of these tasks that are still alive: ``limit`` of them after skipping ``offset``.

    Cost: 0.4 us per reference, in slices.
    """
    found = Oldest(limit + offset)
    for some in ledger.turns.slices(refs, SLICE):
        found.add([info for ref in some if (info := info_of_ref(ref)) is not None])
    return found.records()[offset:]


def info_of_ref(ref: TaskRef) -> TaskInfo | None:
    """The info of a task from the reference that a scan gave; None once the task was freed."""
    return ref if isinstance(ref, TaskRecord) else info_of(ref())


def by_site(
    ledger: ScannedLedger, wanted: Callable[[TaskInfo], bool] | None = None
) -> dict[Site, list[TaskRef]]:
    """The live tasks by spawn location, in no particular order; only those that are ``wanted``, if given.

    From any thread. Cost: 0.3 us per live task, plus the cost of ``wanted``.
    """
    found: dict[Site, list[TaskRef]] = {}
    for refs, some in LiveTaskScan(ledger):
        if wanted is None and len(sites := {info.site for info in some}) == 1:
            found.setdefault(sites.pop(), []).extend(refs)
            continue
        for ref, info in zip(refs, some, strict=True):
            if wanted is None or wanted(info):
                found.setdefault(info.site, []).append(ref)
    return found
