"""What the ledger knows about one task.

The ledger's own tasks (``LedgerTask``) have these fields themselves. For tasks of another task factory
they are in a ``TaskRecord``, which holds the task weakly. Both have the same fields, so functions that
read them accept either, as a ``TaskInfo``. Neither keeps a task alive.
"""

from __future__ import annotations

import asyncio
import sys
import time
import weakref
from collections.abc import Callable
from typing import Any, TypeAlias

from qcfeed.diagnostics.callers import outside
from qcfeed.diagnostics.ended_task import Cancellation, EndedTaskInfo, TaskOutcome
from qcfeed.diagnostics.registry import TaskRef
from qcfeed.diagnostics.site import AnyTask, Frames, Site
from qcfeed.diagnostics.task_context import Labels, Owner, TaskContext

__all__ = [
    "LedgerTask",
    "TaskInfo",
    "TaskRecord",
    "TaskRef",
    "info_of",
    "record_end",
    "task_of",
    "to_record",
]


class TaskFields:
    """The fields of a task. ``cancels`` and ``spawned_by`` are set only where there is something to
    record, so that a task without them takes less memory."""

    __slots__ = ()

    serial: int
    created_at: float
    """By ``time.monotonic()``."""
    site: Site
    context: TaskContext
    parent: int | None
    """Serial of the task that spawned it; None if a callback did, or if it is unknown."""
    open: bool
    """Whether its end has not been recorded yet."""
    cancels: Cancellation
    spawned_by: Frames
    """The innermost frames of the spawn, if the ledger keeps spawn stacks."""


_FIELDS = tuple(TaskFields.__annotations__)
"""The slots of the fields. Each class declares them itself, because Python does not allow two base
classes that both have slots."""


class LedgerTask(asyncio.Task[Any], TaskFields):
    """asyncio's task with the ledger's fields, which records its own end when it is freed.

    A done callback would report the end sooner, but would cost as much again as everything else that
    the ledger does: the event loop wraps, queues and runs one per task. So the end of a task that the
    program still holds is recorded when the program releases it, or at the next scan.
    """

    __slots__ = _FIELDS

    def set_name(self, value: object) -> None:
        # Python 3.13.0 names a task "None" when a task factory created it without a name.
        if value is not None:
            super().set_name(value)

    def cancel(self, msg: Any | None = None) -> bool:
        # First: the program's cancel must not depend on its observer.
        cancelled = super().cancel(msg)
        if cancelled:
            try:
                _note_cancel(self, sys._getframe(1))  # noqa: SLF001
            except RecursionError:
                pass  # the program is at its recursion limit; the caller stays unknown
            except Exception as error:  # noqa: BLE001
                self.site.ledger.give_up(error)
        return cancelled

    def __del__(self, _report: Callable[[AnyTask], None] = asyncio.Task.__del__) -> None:
        try:
            site = self.site
        except AttributeError:
            pass  # asyncio refused to create it (not a coroutine), so it was never recorded
        else:
            # asyncio's own fields: ``done()`` and ``exception()`` are calls, and this runs for every task.
            if self._state == "FINISHED" and self._exception is None:
                # The usual case: the same as record_end(), inlined, and asyncio has nothing to report.
                if self.open:
                    # This comes first. A reader in another thread may get the task from its weak
                    # reference at any call from here on, and must not record the same end again.
                    self.open = False
                    site.finished += 1
                    if site.finished_budget:
                        _add_to_recent(self, self, TaskOutcome.FINISHED)
                return
            record_end(self, self)
        _report(self)


# asyncio's messages and every repr() show this name; log filters of programs look for "<Task pending".
LedgerTask.__name__ = LedgerTask.__qualname__ = "Task"


class TaskRecord(weakref.ref[AnyTask], TaskFields):
    """A weak reference to a task, with the task's fields.

    Readers keep records instead of tasks. For tasks created by another task factory (one that was
    installed before the ledger) the record is the only place that has the fields.

    Calling a record gives the task, or None once it was freed. Hold the task only briefly: it cannot
    be garbage collected meanwhile. Two records of one task are equal.
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
        """Record the end of a task of another factory; used as its done callback."""
        record_end(self, task)


TaskInfo: TypeAlias = LedgerTask | TaskRecord
"""A task or its record. A ``LedgerTask`` is a strong reference: keep it for one slice of a scan at most."""


def info_of(task: asyncio.Future[Any] | None, ledger: object = None) -> TaskInfo | None:
    """The fields of a task as ``ledger`` recorded them (None: any ledger); None if it did not.

    From any thread. A task that its task factory is recording at this moment counts as unrecorded.
    """
    if type(task) is LedgerTask:
        site = getattr(task, "site", None)
        if site is not None and (ledger is None or site.ledger is ledger):
            return task
    if task is None:
        return None
    for each in weakref.getweakrefs(task):
        if isinstance(each, TaskRecord) and _belongs_to(each, ledger):
            return each
    return None


def _belongs_to(info: TaskRecord, ledger: object) -> bool:
    site = getattr(info, "site", None)
    return site is not None and (ledger is None or site.ledger is ledger)


def task_of(info: TaskInfo) -> AnyTask | None:
    """The task itself; None once it was freed."""
    return info if type(info) is LedgerTask else info()  # type: ignore[operator]


def to_record(info: TaskInfo) -> TaskRecord:
    """A record of the task, which may be kept. Cost: 0.5 us, and 130 bytes while it is kept."""
    if isinstance(info, TaskRecord):
        return info
    made = TaskRecord(info)
    made.serial, made.created_at, made.parent = info.serial, info.created_at, info.parent
    made.context, made.open = info.context, info.open
    for fact in ("cancels", "spawned_by"):
        if hasattr(info, fact):
            setattr(made, fact, getattr(info, fact))
    made.site = info.site  # set last: info_of() takes a record with a site for complete
    return made


def record_end(info: TaskInfo, task: AnyTask) -> None:
    """Record how ``task`` ended; one that has not ended is being destroyed. A second call does nothing."""
    site = info.site
    outcome = _outcome(task)
    # No call and no loop until the counters are done: the interpreter switches threads only there.
    # So other threads see the task either live or ended, and no end is counted twice.
    if not info.open:
        return
    info.open = False
    if outcome is TaskOutcome.CANCELLED:
        site.cancelled += 1
    elif outcome is TaskOutcome.FAILED:
        site.failed += 1
    elif outcome is TaskOutcome.DESTROYED:
        site.destroyed += 1
    else:
        site.finished += 1
    if outcome is not TaskOutcome.FINISHED or site.finished_budget:
        _add_to_recent(info, task, outcome)


def _outcome(task: AnyTask) -> TaskOutcome:
    # Not task.exception(), which would suppress asyncio's "Task exception was never retrieved".
    if task._exception is not None:  # noqa: SLF001
        return TaskOutcome.FAILED
    if task.cancelled():
        return TaskOutcome.CANCELLED
    return TaskOutcome.FINISHED if task.done() else TaskOutcome.DESTROYED


def _add_to_recent(info: TaskInfo, task: AnyTask, outcome: TaskOutcome) -> None:
    site = info.site
    try:
        site.recent_ended.append(_ended_task(info, task, outcome))
        if outcome is TaskOutcome.FINISHED:
            site.finished_budget -= 1
        elif (error := task._exception) is not None:  # noqa: SLF001
            site.ledger.note_failure(site, info.serial, error)
    except Exception as error:  # noqa: BLE001
        site.ledger.give_up(error)


def _ended_task(info: TaskInfo, task: AnyTask, outcome: TaskOutcome) -> EndedTaskInfo:
    try:
        name, coroutine = str(task.get_name()), str(getattr(task.get_coro(), "__qualname__", "?"))
    except Exception:  # noqa: BLE001 - a task class of the program may raise anything
        name = coroutine = "?"
    return EndedTaskInfo(
        serial=info.serial,
        name=name,
        coroutine=coroutine,
        created_at=info.created_at,
        ended_at=time.monotonic(),
        outcome=outcome,
        labels=info.context.labels,
        cancels=getattr(info, "cancels", None),
    )


def _note_cancel(task: LedgerTask, frame: Any) -> None:
    before = getattr(task, "cancels", None)
    caller = outside(frame)
    try:
        this = asyncio.current_task()
    except RuntimeError:  # called in a thread without a loop
        this = None
    by = info_of(this)
    task.cancels = Cancellation(
        1 if before is None else before.times + 1,
        None if by is None else by.serial,
        caller.f_code,
        caller.f_lasti,
    )
