"""The answers about single tasks: one in full, the tree, rows by label, and the end of some.

As in answers.py, which has their envelope and its rules.
"""

from __future__ import annotations

import msgspec

from qcfeed.model.answers import Answer, Task, TaskFilter

# ---------------------------------------------------------------- by label


class LabelQuery(TaskFilter, kw_only=True):
    key: str
    limit: int = 1000


class LabelValue(msgspec.Struct, kw_only=True):
    """The live tasks that carry one value of a label; null for those that do not have it."""

    value: str | None
    live: int
    orphaned: int
    oldest_s: float
    location_count: int
    """Spawn locations that made them."""


class TasksByLabel(Answer, kw_only=True, tag="qcfeed.tasks.by_label/2"):
    """Most tasks first. ``total``: how many values there are, however many are listed."""

    key: str
    total: int
    values: list[LabelValue]


# ---------------------------------------------------------------- one task


class SerialQuery(msgspec.Struct, forbid_unknown_fields=True):
    serial: int


class Frame(msgspec.Struct, kw_only=True):
    """One call: FILE:LINE, the function, and the line's text if the file can be read."""

    location: str
    function: str
    source: str = ""


class Awaiting(msgspec.Struct, kw_only=True):
    """A task that waits for this one; ``serial`` is null for a task that the ledger has not."""

    serial: int | None
    name: str
    how: str


class TaskDetails(Answer, kw_only=True, tag="qcfeed.tasks.show/2"):
    """Stacks have the innermost call last. ``children``: live tasks that it spawned.

    ``untold``: what a saved moment does not tell of it. ``cancelling``: cancellations that it was sent and has not ended of, nor taken back
    (``asyncio.Task.cancelling``). ``spawn_stack`` is there if the service keeps it. ``parent`` is
    null where the parent has ended; ``task.parent`` has its serial all the same.
    """

    task: Task
    function: str
    """That spawned it."""
    stack: list[Frame]
    cancelling: int
    cancels: int = 0
    """How often it was told to end, whatever it made of it; where the ledger made the task."""
    cancelled_by: int | None = None
    """Serial of the task that did so last; null for a callback."""
    cancelled_at: str = ""
    shielded: bool
    main: bool
    """Whether the loop runs for its sake."""
    awaited_by: list[Awaiting]
    parent_task: Task | None
    children: int
    owner: str | None
    owner_gone: bool
    owner_gone_s: float | None
    spawn_stack: list[Frame] | msgspec.UnsetType = msgspec.UNSET
    skipped: list[str] = msgspec.field(default_factory=list)


# ---------------------------------------------------------------- the tree


class TreeQuery(TaskFilter, kw_only=True):
    limit: int = 1000


class TreeTask(msgspec.Struct, kw_only=True):
    """``parent`` is listed too if it lives; ``awaited_by``: serials, listed or not."""

    serial: int
    parent: int | None
    name: str
    coroutine: str
    location: str
    age_s: float
    note: str = ""
    awaited_by_serials: list[int] = []


class TaskTree(Answer, kw_only=True, tag="qcfeed.tasks.tree/2"):
    """Live tasks, oldest first, so a parent always comes before its children.

    ``total``: how many match, however many are listed; with a filter, the ancestors of those that
    match are listed too. ``cycles``: tasks of which each waits for the next, the last for the first.
    """

    total: int
    tasks: list[TreeTask]
    cycles: list[list[int]]


# ---------------------------------------------------------------- cancel


class CancelPlanQuery(TaskFilter, kw_only=True):
    """``serials``: with commas between, or a filter."""

    serials: str = ""
    limit: int = 20


class Spared(msgspec.Struct, kw_only=True):
    """A task that matches and is left alone, and why; named by its serial it is not."""

    serial: int
    location: str
    why: str


class PlannedLocation(msgspec.Struct, kw_only=True):
    location: str
    count: int


class CancelPlan(Answer, kw_only=True, tag="qcfeed.tasks.cancel_plan/2"):
    """What a cancel would do now. ``up_to``: the newest serial; give it to the cancel, and nothing
    that is born after the plan will be touched. ``gone``: serials that are of no live task."""

    total: int
    up_to: int
    locations: list[PlannedLocation]
    tasks: list[Task]
    spared: list[Spared]
    gone_serials: list[int]


class CancelTasksRequest(TaskFilter, kw_only=True):
    """These serials, or what matches the filter and has a serial of at most ``up_to``."""

    serials: list[int] = msgspec.field(default_factory=list)
    up_to: int | None = None
    timeout_s: float = 10.0
    batch: int = 500


class Surviving(msgspec.Struct, kw_only=True):
    """A task that was cancelled and is still alive: what it waits on, and its stack."""

    serial: int
    location: str
    state: str
    cancelling: int
    stack: list[Frame] = []


class CancelledTasks(Answer, kw_only=True, tag="qcfeed.tasks.cancel/2"):
    """``failed``: ended, but its cleanup raised. ``already_gone``: was no live task any more.

    ``survivors`` lists some of the ``survived``, the first of them with their stacks.
    """

    cancelled: int
    failed: int
    already_gone: int
    survived: int
    survivors: list[Surviving]
    spared: list[Spared]
    max_stall_ms: float
