"""The answers about single tasks: one in full, the tree, counts by label, and cancelling some.

See answer.py for the fields and rules that all answers share.
"""

from __future__ import annotations

import msgspec

from qcfeed.model.answer import Answer
from qcfeed.model.orphans import Survivor
from qcfeed.model.tasks import Task, TaskFilter

# ---------------------------------------------------------------- by label


class LabelQuery(TaskFilter, kw_only=True):
    key: str
    limit: int = 1000


class LabelValue(msgspec.Struct, kw_only=True):
    """The live tasks with one value of a label; null for tasks without the label."""

    value: str | None
    live: int
    orphaned: int
    oldest_s: float
    location_count: int
    """How many spawn locations created them."""


class TasksByLabel(Answer, kw_only=True, tag="qcfeed.tasks.by_label/2"):
    """Values, most tasks first. ``total``: how many values there are, including those beyond the limit."""

    key: str
    total: int
    values: list[LabelValue]


# ---------------------------------------------------------------- one task


class SerialQuery(msgspec.Struct, forbid_unknown_fields=True):
    serial: int


class CallFrame(msgspec.Struct, kw_only=True):
    """One call: FILE:LINE, the function, and the text of the line if the file can be read."""

    location: str
    function: str
    source: str = ""


class Awaiting(msgspec.Struct, kw_only=True):
    """A task that waits for this one. ``serial``: null for a task that the ledger does not know."""

    serial: int | None
    name: str
    how: str


class TaskDetails(Answer, kw_only=True, tag="qcfeed.tasks.show/2"):
    """One live task in full. Stacks have the innermost call last.

    ``children``: how many live tasks it spawned. ``cancelling``: pending cancellations
    (``asyncio.Task.cancelling``). ``spawn_stack`` is present if the service keeps spawn stacks.
    ``parent_task``: null if the parent has ended; ``task.parent`` has its serial in any case. ``skipped``:
    what a saved file does not contain about this task.
    """

    task: Task
    function: str
    """The function that spawned it."""
    stack: list[CallFrame]
    cancelling: int
    cancels: int = 0
    """How often it was cancelled, whether or not it ended because of that; only for tasks that the ledger created.
    """
    cancelled_by: int | None = None
    """Serial of the task that cancelled it last; null if a callback did."""
    cancelled_at: str = ""
    shielded: bool
    main: bool
    """Whether the loop runs until this task ends (``asyncio.run``)."""
    awaited_by: list[Awaiting]
    parent_task: Task | None
    children: int
    owner: str | None
    owner_gone: bool
    owner_gone_s: float | None
    spawn_stack: list[CallFrame] | msgspec.UnsetType = msgspec.UNSET
    skipped: list[str] = msgspec.field(default_factory=list)


# ---------------------------------------------------------------- the tree


class TreeQuery(TaskFilter, kw_only=True):
    limit: int = 1000


class TreeTask(msgspec.Struct, kw_only=True):
    """One task of the tree. Its ``parent`` is also listed if alive; ``awaited_by_serials`` need not be."""

    serial: int
    parent: int | None
    name: str
    coroutine: str
    location: str
    age_s: float
    note: str = ""
    awaited_by_serials: list[int] = []


class TaskTree(Answer, kw_only=True, tag="qcfeed.tasks.tree/2"):
    """Live tasks, oldest first, so that parents come before their children.

    ``total``: how many match, including those beyond the limit. With a filter, the ancestors of matching
    tasks are listed too. ``cycles``: serials of tasks that wait for each other in a circle.
    """

    total: int
    tasks: list[TreeTask]
    cycles: list[list[int]]


# ---------------------------------------------------------------- cancel


class CancelPlanQuery(TaskFilter, kw_only=True):
    """``serials``: separated by commas; or a filter."""

    serials: str = ""
    limit: int = 20


class SparedTask(msgspec.Struct, kw_only=True):
    """A matching task that is not cancelled, and why. Naming it by serial cancels it all the same."""

    serial: int
    location: str
    why: str


class PlannedLocation(msgspec.Struct, kw_only=True):
    location: str
    count: int


class CancelPlan(Answer, kw_only=True, tag="qcfeed.tasks.cancel_plan/2"):
    """What cancelling would do now.

    ``up_to``: the newest serial; a cancel request with it does not touch tasks created after the plan.
    ``gone_serials``: requested serials without a live task. ``vital``: tasks that would be cancelled, because they
    were named by serial, although the program depends on them.
    """

    total: int
    up_to: int
    locations: list[PlannedLocation]
    tasks: list[Task]
    spared: list[SparedTask]
    gone_serials: list[int]
    vital: list[SparedTask] = msgspec.field(default_factory=list)


class CancelTasksRequest(TaskFilter, kw_only=True):
    """These serials; or the tasks that match the filter and whose serial is at most ``up_to``."""

    serials: list[int] = msgspec.field(default_factory=list)
    up_to: int | None = None
    timeout_s: float = 10.0
    batch: int = 500


class SurvivorDetails(Survivor, kw_only=True):
    """A survivor with its stack. ``cancelling``: pending cancellations (``asyncio.Task.cancelling``)."""

    cancelling: int
    stack: list[CallFrame] = msgspec.field(default_factory=list)


class CancelledTasks(Answer, kw_only=True, tag="qcfeed.tasks.cancel/2"):
    """The result of cancelling tasks.

    ``failed``: tasks that ended, but raised while they cleaned up. ``already_gone``: serials without a live
    task. ``survivors``: some of the ``survived`` tasks, the first ones with their stacks.
    """

    cancelled: int
    failed: int
    already_gone: int
    survived: int
    survivors: list[SurvivorDetails]
    spared: list[SparedTask]
    max_stall_ms: float
