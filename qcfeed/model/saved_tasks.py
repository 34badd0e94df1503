"""The answers that are made to be kept: all of one moment, and the tasks as stacks.

As in answers.py, which has their envelope and its rules.
"""

from __future__ import annotations

import msgspec

from qcfeed.model.answers import Answer, Location, Task, TaskFilter, TaskTotals
from qcfeed.model.ended_tasks import TaskFailures, TasksEnded
from qcfeed.model.findings import Findings
from qcfeed.model.task_details import Awaiting, Frame

# ---------------------------------------------------------------- a snapshot


class SnapshotQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``limit``: tasks one by one; ``stacks``: how many of them with their stacks."""

    limit: int = 10_000
    stacks: int = 1_000


class SavedTask(Task, kw_only=True, omit_defaults=True):
    """One live task, as ``tasks show`` tells it. ``kind``: what it waits on, in a word or two.

    ``stack`` and ``spawn_stack`` (the innermost call last) are there for some tasks only.
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
    stack: list[Frame] | msgspec.UnsetType = msgspec.UNSET
    spawn_stack: list[Frame] | msgspec.UnsetType = msgspec.UNSET


class Snapshot(Answer, kw_only=True, tag="qcfeed.tasks.snapshot/3"):
    """All that is known of the tasks at one moment, bounded: what ``--from`` reads.

    ``locations`` are all, with what their tasks wait on from a sample. ``tasks``, oldest first: of
    small locations all, of large ones the oldest; ``dropped`` are not among them. ``without_stack``
    of those that are have none. ``findings`` is there where the program looks for any.
    """

    since: str
    totals: TaskTotals
    locations: list[Location]
    tasks: list[SavedTask]
    dropped_tasks: int = 0
    without_stack: int = 0
    findings_answer: Findings | msgspec.UnsetType = msgspec.UNSET
    ended_answer: TasksEnded | msgspec.UnsetType = msgspec.UNSET
    failures_answer: TaskFailures | msgspec.UnsetType = msgspec.UNSET


# ---------------------------------------------------------------- a profile


class ProfileQuery(TaskFilter, kw_only=True):
    """``exact``: look at all tasks, not at a sample."""

    exact: bool = False


class Place(msgspec.Struct, kw_only=True, frozen=True):
    """One call; ``location`` is FILE:LINE."""

    location: str
    function: str


class TaskStack(msgspec.Struct, kw_only=True):
    """So many tasks were spawned by these calls and wait in these; outermost first.

    The numbers are places in TasksProfile.places. ``kind``: what they wait on, in a word or two.
    """

    spawn_places: list[int]
    wait_places: list[int]
    kind: str
    count: int


class TasksProfile(Answer, kw_only=True, tag="qcfeed.tasks.profile/2"):
    """The live tasks that match as stacks, most tasks first.

    ``total`` is the sum of their ``tasks``; when ``sampled`` is less, that many were looked at, and
    each location's stacks stand for the rest of it. ``left_out``: tasks of the rarest stacks, where
    there are too many different ones to tell; they are not in ``total``.
    """

    total: int
    sampled: int
    places: list[Place]
    stacks: list[TaskStack]
    unlisted: int = 0
