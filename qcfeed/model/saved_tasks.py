"""The answers that are saved to files: a full snapshot, and the tasks as stacks.

See answer.py for the fields and rules that all answers share.
"""

from __future__ import annotations

import msgspec

from qcfeed.model.answer import Answer
from qcfeed.model.ended_tasks import TaskFailures, TasksEnded
from qcfeed.model.findings import Findings
from qcfeed.model.task_details import Awaiting, CallFrame
from qcfeed.model.task_objects import TasksByObject
from qcfeed.model.tasks import Location, Task, TaskFilter, TaskTotals

# ---------------------------------------------------------------- a snapshot


class SnapshotQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``limit``: how many tasks to describe; ``stacks``: how many of them with their stacks."""

    limit: int = 10_000
    stacks: int = 1_000


class SavedTask(Task, kw_only=True, omit_defaults=True):
    """One live task, with the details of ``tasks show``. ``kind``: what it waits on, in one or two words.

    ``stack`` and ``spawn_stack`` (innermost call last) are present for some tasks only.
    """

    kind: str
    function: str = ""
    awaited_by: list[Awaiting] = msgspec.field(default_factory=list)
    cancelling: int = 0
    cancels: int = 0
    cancelled_by: int | None = None
    cancelled_at: str = ""
    shielded: bool = False
    main: bool = False
    owner: str | None = None
    owner_gone: bool = False
    owner_gone_s: float | None = None
    stack: list[CallFrame] | msgspec.UnsetType = msgspec.UNSET
    spawn_stack: list[CallFrame] | msgspec.UnsetType = msgspec.UNSET


class SavedSnapshot(Answer, kw_only=True, tag="qcfeed.tasks.snapshot/3"):
    """Everything about the tasks at one moment, within limits: what ``--from`` reads.

    ``locations``: all, with what their tasks wait on, from a sample. ``tasks``, oldest first: all tasks of
    small locations, and the oldest of large ones; ``dropped_tasks`` are not included. ``without_stack`` of
    the included tasks have no stack. ``findings_answer`` is present if the program looks for findings.
    """

    since: str
    totals: TaskTotals
    locations: list[Location]
    tasks: list[SavedTask]
    dropped_tasks: int = 0
    without_stack: int = 0
    findings_answer: Findings | msgspec.UnsetType = msgspec.UNSET
    objects_answer: TasksByObject | msgspec.UnsetType = msgspec.UNSET
    ended_answer: TasksEnded | msgspec.UnsetType = msgspec.UNSET
    failures_answer: TaskFailures | msgspec.UnsetType = msgspec.UNSET


# ---------------------------------------------------------------- a profile


class ProfileQuery(TaskFilter, kw_only=True):
    """``exact``: use all tasks instead of a sample."""

    exact: bool = False


class Place(msgspec.Struct, kw_only=True, frozen=True):
    """One call; ``location`` is FILE:LINE."""

    location: str
    function: str


class TaskStack(msgspec.Struct, kw_only=True):
    """How many tasks were spawned by the same calls and wait in the same calls; outermost call first.

    The numbers are indexes into TasksProfile.places. ``kind``: what the tasks wait on, in one or two words.
    """

    spawn_places: list[int]
    wait_places: list[int]
    kind: str
    count: int


class TasksProfile(Answer, kw_only=True, tag="qcfeed.tasks.profile/2"):
    """The matching live tasks as stacks, most tasks first.

    ``total``: the sum of all counts. If ``sampled`` is less, only that many tasks were examined, and each
    location's stacks represent the rest of its tasks. ``unlisted``: tasks with the rarest stacks, left out
    when there are too many different stacks; they are not part of ``total``.
    """

    total: int
    sampled: int
    places: list[Place]
    stacks: list[TaskStack]
    unlisted: int = 0
