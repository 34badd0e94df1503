"""What the ledger knows of one task: of its own kind on the task itself, of others' in a record.

Neither keeps a task alive. The facts are the same in both, so readers take either: a ``Booked``.
"""

from __future__ import annotations

import asyncio
import sys
import time
import weakref
from collections.abc import Callable
from typing import Any, TypeAlias

from qcfeed.diagnostics.callers import outside
from qcfeed.diagnostics.ended_task import Cancellation, EndedTaskInfo, Outcome
from qcfeed.diagnostics.registry import TaskRef
from qcfeed.diagnostics.site import AnyTask, Frames, Site
from qcfeed.diagnostics.task_context import Labels, Owner, TaskContext

__all__ = [
    "Task",
    "TaskInfo",
    "TaskRecord",
    "TaskRef",
    "info_of",
    "record_end",
    "task_of",
    "to_record",
]


class TaskFields:
    """What is known of a task, wherever it is written down. The last two only where there is
    anything to tell.
    """

    __slots__ = ()

    serial: int
    created_at: float
    """As of ``time.monotonic()``."""
    site: Site
    context: TaskContext
    parent: int | None
    """Serial of the task that spawned it; None when that was a callback, or is unknown."""
    open: bool
    """Whether its end is not booked yet."""
    cancels: Cancellation
    spawned_by: Frames
    """The frames of its spawning, where the ledger keeps them."""


_FIELDS = tuple(TaskFields.__annotations__)
"""Their slots, which each kind must have of its own: two bases with slots have no common layout."""


class Task(asyncio.Task[Any], TaskFields):
    """asyncio's task with the ledger's facts on it, that books its own end when it is freed.

    A done callback would tell of its end sooner, and cost as much again as all else that the ledger
    does: the event loop wraps, queues and runs one for each task. So a task that has ended and that
    somebody still holds is booked when it is let go of, or when somebody reads the books.
    """

    __slots__ = _FIELDS

    def set_name(self, value: object) -> None:
        # Python 3.13.0 names every unnamed task "None" when a factory made it.
        if value is not None:
            super().set_name(value)

    def cancel(self, msg: Any | None = None) -> bool:
        told = super().cancel(msg)
        if told:
            try:
                _note_cancel(self, sys._getframe(1))  # noqa: SLF001
            except RecursionError:
                pass  # the program's: it is at its depth, and who cancelled this one stays unknown
            except Exception as error:  # noqa: BLE001
                self.site.ledger.give_up(error)
        return told

    def __del__(self, _report: Callable[[AnyTask], None] = asyncio.Task.__del__) -> None:
        try:
            site = self.site
        except AttributeError:
            pass  # refused by asyncio, as what is no coroutine is
        else:
            if self._state == "FINISHED" and self._exception is None:
                # Nearly all: booked as in book(), without a call, and nothing to report.
                if self.open:
                    # First of all: a reader may revive the task by its weak reference at any call
                    # from here on, and must not book the same end again.
                    self.open = False
                    site.finished += 1
                    if site.finished_budget:
                        _add_to_recent(self, self, Outcome.FINISHED)
                return
            record_end(self, self)
        _report(self)


class TaskRecord(weakref.ref[AnyTask], TaskFields):
    """A task's facts beside a weak reference: as a reader holds them, and of tasks of another kind
    (the ledger chained with a factory that was there first) the only place where they are.

    Calling it gives the task, or None once it is gone. Hold that briefly: while it is held it
    cannot be collected. Two records of one task are equal.
    """

    __slots__ = _FIELDS

    @property
    def task(self) -> AnyTask | None:
        return self()

    @property
    def owner(self) -> Owner | None:
        return self.context.owner

    @property
    def labels(self) -> Labels:
        return self.context.labels

    def end(self, task: AnyTask) -> None:
        """As a done callback, for tasks that cannot book their end themselves."""
        record_end(self, task)


TaskInfo: TypeAlias = Task | TaskRecord
"""A task's facts. A ``Task`` is held by whoever has it: not beyond a slice of a reading."""


def info_of(task: asyncio.Future[Any] | None, books: object = None) -> TaskInfo | None:
    """A task's facts, as ``books`` (a Ledger; None: any) has them. From any thread.

    One that is being booked at this very moment has none yet.
    """
    if type(task) is Task:
        site = getattr(task, "site", None)
        if site is not None and (books is None or site.ledger is books):
            return task
    if task is None:
        return None
    for each in weakref.getweakrefs(task):
        if isinstance(each, TaskRecord) and _belongs_to(each, books):
            return each
    return None


def _belongs_to(known: TaskRecord, books: object) -> bool:
    site = getattr(known, "site", None)
    return site is not None and (books is None or site.ledger is books)


def task_of(known: TaskInfo) -> AnyTask | None:
    """The task itself; None once it is gone."""
    return known if type(known) is Task else known()  # type: ignore[operator]


def to_record(known: TaskInfo) -> TaskRecord:
    """The facts to keep, without the task. Cost: 0.5 us, and 130 B while it is kept."""
    if isinstance(known, TaskRecord):
        return known
    made = TaskRecord(known)
    made.serial, made.created_at, made.parent = known.serial, known.created_at, known.parent
    made.context, made.open = known.context, known.open
    for fact in ("cancels", "spawned_by"):
        if hasattr(known, fact):
            setattr(made, fact, getattr(known, fact))
    made.site = known.site  # the last: see booked()
    return made


def record_end(known: TaskInfo, task: AnyTask) -> None:
    """Book how ``task`` ended; one that has not is about to be destroyed. Once only."""
    site = known.site
    outcome = _outcome(task)
    # From here on no call and no loop: the interpreter switches threads only at those, so another
    # thread sees the task live or ended, never both or neither, and books nothing twice.
    if not known.open:
        return
    known.open = False
    if outcome is Outcome.CANCELLED:
        site.cancelled += 1
    elif outcome is Outcome.FAILED:
        site.failed += 1
    elif outcome is Outcome.DESTROYED:
        site.destroyed += 1
    else:
        site.finished += 1
    if outcome is not Outcome.FINISHED or site.finished_budget:
        _add_to_recent(known, task, outcome)


def _outcome(task: AnyTask) -> Outcome:
    # Not task.exception(): that would hide "Task exception was never retrieved".
    if task._exception is not None:  # noqa: SLF001
        return Outcome.FAILED
    if task.cancelled():
        return Outcome.CANCELLED
    return Outcome.FINISHED if task.done() else Outcome.DESTROYED


def _add_to_recent(known: TaskInfo, task: AnyTask, outcome: Outcome) -> None:
    site = known.site
    try:
        site.recent_ended.append(_ended_task(known, task, outcome))
        if outcome is Outcome.FINISHED:
            site.finished_budget -= 1
        elif (error := task._exception) is not None:  # noqa: SLF001
            site.ledger.note_failure(site, known.serial, error)
    except Exception as error:  # noqa: BLE001
        site.ledger.give_up(error)


def _ended_task(known: TaskInfo, task: AnyTask, outcome: Outcome) -> EndedTaskInfo:
    try:
        name = str(task.get_name())
    except Exception:  # noqa: BLE001 - a task is whatever somebody made it
        name = "?"
    return EndedTaskInfo(
        serial=known.serial,
        name=name,
        created_at=known.created_at,
        ended_at=time.monotonic(),
        outcome=outcome,
        labels=known.context.labels,
        cancels=getattr(known, "cancels", None),
    )


def _note_cancel(task: Task, frame: Any) -> None:
    before = getattr(task, "cancels", None)
    caller = outside(frame)
    try:
        this = asyncio.current_task()
    except RuntimeError:  # not in a loop's thread
        this = None
    by = info_of(this)
    task.cancels = Cancellation(
        1 if before is None else before.times + 1,
        None if by is None else by.serial,
        caller.f_code,
        caller.f_lasti,
    )
