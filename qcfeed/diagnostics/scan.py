"""One pass over the live tasks of a ledger, in slices that let the watched loop run.

The weak references of the registry (registry.py) are copied in one step (10-16 ms at a million,
0.4 at 50,000) and looked at in slices; ``asyncio.all_tasks()`` would take all of it in one step, or
iterate a set while the loop changes it, which raises or takes seconds.
"""

from __future__ import annotations

import asyncio
import operator
import weakref
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import Any, Protocol, TypeVar

from qcfeed.diagnostics.long_lists import spare_list
from qcfeed.diagnostics.registry import SAMPLE
from qcfeed.diagnostics.site import AnyTask, Site
from qcfeed.diagnostics.task_info import (
    Task,
    TaskInfo,
    TaskRecord,
    TaskRef,
    info_of,
    record_end,
    to_record,
)

T = TypeVar("T")

SLICE = 250
"""Tasks of one slice: less than 0.2 ms."""

_OURS = {Task}
_site = attrgetter("site")
_serial = attrgetter("serial")


class ScannedLedger(Protocol):
    """Whose tasks are read; it is a Ledger."""

    loop: asyncio.AbstractEventLoop | None

    def slices(self, items: list[T], size: int) -> Iterator[list[T]]:
        """``items`` a few at a time, with a pause after each that lets the watched loop run."""

    def drained_slices(self, items: list[T], size: int) -> Iterator[list[T]]:
        """The same, from the end of ``items``, which lets go of each slice."""

    def refs(self, found: list[TaskRef]) -> list[TaskRef]:
        """Weak references to all tasks that may be the ledger's own, and perhaps to others, added to
        ``found``."""

    def foreign(self) -> list[TaskRecord]:
        """Tasks that another factory has made."""


class LiveTaskScan:
    """Iterated once, from any thread, it gives slices of the live tasks: how to hold them, and their
    facts, in no particular order.

    The second list is emptied after the slice: it holds tasks themselves, which could otherwise not
    be freed during the pause. What has ended and is still held by somebody is booked on the way.
    Cost: 0.25 us a live task; no object is made for any of them, because tens of thousands would set
    off a full garbage collection, which stops the watched loop.
    """

    def __init__(self, ledger: ScannedLedger) -> None:
        self.untracked = 0
        """Live tasks of the ledger's loop that it does not know, among those that it has read."""
        self.sample: list[TaskRef] = []
        """Some of those."""
        self.live = 0
        """Live tasks of the ledger, as far as it has read."""
        self._ledger = ledger

    def __iter__(self) -> Iterator[tuple[list[TaskRef], list[TaskInfo]]]:
        ledger = self._ledger
        with spare_list() as found:
            for refs in ledger.drained_slices(ledger.refs(found), SLICE):
                tasks: list[Any] = list(map(operator.call, refs))
                if not self._are_ours(tasks):
                    refs, tasks = self._ours_of(refs, tasks)
                self.live += len(tasks)
                yield refs, tasks
                tasks.clear()
        for records in ledger.slices(ledger.foreign(), SLICE):
            live = [each for each in records if self._lives(each)]
            self.live += len(live)
            yield [*live], [*live]

    def _are_ours(self, tasks: list[Any]) -> bool:
        """Whether all of them are live and ours: most slices are like that."""
        if set(map(type, tasks)) != _OURS or any(map(asyncio.Task.done, tasks)):
            return False
        try:
            sites = set(map(_site, tasks))
        except AttributeError:  # one is being booked at this moment
            return False
        return all(site.ledger is self._ledger and not site.hidden for site in sites)

    def _ours_of(
        self, refs: list[TaskRef], tasks: list[AnyTask | None]
    ) -> tuple[list[TaskRef], list[AnyTask]]:
        kept = [n for n, task in enumerate(tasks) if task is not None and self._is_ours(task)]
        return [refs[n] for n in kept], [task for n in kept if (task := tasks[n]) is not None]

    def _is_ours(self, task: AnyTask) -> bool:
        if type(task) is Task:
            site = getattr(task, "site", None)
            if site is None:
                return False  # it is being booked at this moment
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
        if task.done() or task.get_loop() is not self._ledger.loop:
            return False
        return info_of(task, self._ledger) is None

    @staticmethod
    def _lives(known: TaskRecord) -> bool:
        task = known()
        if task is not None and task.done():
            record_end(known, task)
        return known.open and task is not None and not known.site.hidden


class Oldest:
    """Of tasks added in any order, the oldest, as many as are wanted.

    A record is made only for those that are among the oldest so far.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._best: list[TaskRecord] = []
        self._below: float = float("inf")
        """The serial that one must be below to count."""

    def add(self, some: Iterable[TaskInfo]) -> None:
        below = self._below
        self._best += [to_record(each) for each in some if each.serial < below]
        if len(self._best) > 2 * self._number:
            self._trim()

    def records(self) -> list[TaskRecord]:
        """The oldest, oldest first."""
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
    """The oldest of these that still live: ``limit`` after skipping ``offset``. Cost: 0.4 us each."""
    found = Oldest(limit + offset)
    for some in ledger.slices(refs, SLICE):
        found.add([known for ref in some if (known := info_of_ref(ref)) is not None])
    return found.records()[offset:]


def info_of_ref(ref: TaskRef) -> TaskInfo | None:
    """The facts of a task that a reading gave; None once it is gone."""
    return ref if isinstance(ref, TaskRecord) else info_of(ref())


def by_site(
    ledger: ScannedLedger, wanted: Callable[[TaskInfo], bool] | None = None
) -> dict[Site, list[TaskRef]]:
    """The live tasks of each spawn location that has any, or those that are ``wanted``, in no
    particular order. From any thread. Cost: 0.3 us a live task, and what ``wanted`` takes."""
    found: dict[Site, list[TaskRef]] = {}
    for refs, some in LiveTaskScan(ledger):
        if wanted is None and len(sites := {known.site for known in some}) == 1:
            found.setdefault(sites.pop(), []).extend(refs)
            continue
        for ref, known in zip(refs, some, strict=True):
            if wanted is None or wanted(known):
                found.setdefault(known.site, []).append(ref)
    return found
