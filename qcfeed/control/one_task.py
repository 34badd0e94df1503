"""One live task with its details, in the form of the answers: for `tasks show`, and for saved files."""

from __future__ import annotations

from collections.abc import Iterable

from qcfeed.diagnostics import awaiters, calls, orphans, snapshot, stacks, waits
from qcfeed.diagnostics.ended_task import EndedTaskInfo
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.site import AnyTask
from qcfeed.diagnostics.task_info import TaskInfo, TaskRecord, info_of
from qcfeed.model.ended_tasks import EndedTask
from qcfeed.model.saved_tasks import SavedTask
from qcfeed.model.task_details import Awaiting, CallFrame, TaskDetails
from qcfeed.model.tasks import Task


def describe(ledger: Ledger, record: TaskRecord, row: snapshot.LiveTask, now: float) -> SavedTask:
    """One live task with its details, but without stacks. Cost: 15 us."""
    task, owner = record(), record.owner
    saved = SavedTask(
        **{field: getattr(row, field) for field in Task.__struct_fields__},
        kind=waits.kind(task),
        function=record.site.function,
        owner=None if owner is None else orphans.owner_name(owner),
    )
    if orphans.is_orphan(record):
        saved.owner_gone = True
        saved.owner_gone_s = orphans.describe(record, now).gone_s
    add_cancels(saved, record)
    if task is not None:
        saved.awaited_by = awaited_by(ledger, task)
        saved.cancelling = task.cancelling()
        saved.shielded = awaiters.is_shielded(task)
        saved.main = awaiters.is_main(task)
    return saved


def add_stacks(saved: SavedTask, record: TaskRecord) -> None:
    """Add the task's stack, and the stack of its creation if the ledger keeps it. Cost: 20 us."""
    task = record()
    saved.stack = [] if task is None else frames(stacks.task_stack(task))
    if spawned := calls.of_spawn(record):
        saved.spawn_stack = frames(spawned)


def details(saved: SavedTask, parent: Task | None, children: int) -> TaskDetails:
    """The answer about one task. ``children``: how many live tasks it spawned."""
    return TaskDetails(
        task=plain(saved),
        function=saved.function,
        stack=saved.stack or [],
        cancelling=saved.cancelling,
        cancels=saved.cancels,
        cancelled_by=saved.cancelled_by,
        cancelled_at=saved.cancelled_at,
        shielded=saved.shielded,
        main=saved.main,
        awaited_by=saved.awaited_by,
        parent_task=parent,
        children=children,
        owner=saved.owner,
        owner_gone=saved.owner_gone,
        owner_gone_s=saved.owner_gone_s,
        spawn_stack=saved.spawn_stack,
    )


def plain(saved: SavedTask) -> Task:
    """The fields that lists of tasks have."""
    return Task(**{field: getattr(saved, field) for field in Task.__struct_fields__})


def frames(stack: Iterable[stacks.StackFrame]) -> list[CallFrame]:
    """A stack in the form of the answers."""
    return [
        CallFrame(
            location=f"{call.file}:{call.line}", function=call.function, source=call.source or ""
        )
        for call in stack
    ]


def awaited_by(ledger: Ledger, task: AnyTask) -> list[Awaiting]:
    """The tasks that wait for a task, in the form of the answers."""
    return [_awaiting(ledger, each) for each in awaiters.of(task)]


def _awaiting(ledger: Ledger, awaiter: awaiters.Awaiter) -> Awaiting:
    known = info_of(awaiter.task, ledger)
    serial = None if known is None else known.serial
    return Awaiting(serial=serial, name=snapshot.name(awaiter.task), how=awaiter.how)


def add_cancels(told: TaskDetails | SavedTask | EndedTask, known: TaskInfo | EndedTaskInfo) -> None:
    """Add how often a task was cancelled, and by which task, if it was."""
    cancels = getattr(known, "cancels", None)
    if cancels is not None:
        told.cancels, told.cancelled_by = cancels.times, cancels.by
        told.cancelled_at = calls.of_cancel(cancels)
