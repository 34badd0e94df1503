"""The answers about tasks: by spawn location, and one by one.

See answer.py for the fields and rules that all answers share.
"""

from __future__ import annotations

import msgspec

from qcfeed.model.answer import Answer


class TaskFilter(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Selects tasks. A task must match every field that is given (see diagnostics/filters.py).

    ``site`` is FILE:LINE or FILE; ``label`` is KEY=VALUE or KEY, one per line.
    """

    site: str = ""
    label: str = ""
    older_than_s: float = 0.0
    waiting_on: str = ""
    name: str = ""


class TaskTotals(msgspec.Struct, kw_only=True):
    """The number of tasks in each state.

    ``spawned`` is always the sum of live, finished, cancelled, failed and destroyed.
    """

    live: int = 0
    spawned: int = 0
    finished: int = 0
    cancelled: int = 0
    failed: int = 0
    orphaned: int = 0
    destroyed: int = 0
    """Dropped by the garbage collector while still pending."""
    untracked: int = 0
    """Live tasks that the ledger did not record: created before it was installed, or around the task factory."""
    incomplete: list[str] = msgspec.field(default_factory=list)
    """Why there may be more tasks than these numbers say: the ledger's self-check failed."""


class WaitCount(msgspec.Struct, kw_only=True):
    """How many tasks wait on the same thing."""

    state: str
    count: int


class ByLocationQuery(TaskFilter, kw_only=True):
    """``waits``: include what the tasks of each location wait on, from a sample; ``exact``: from all tasks.

    ``sources``: include the source text of each location. ``by``: one row per ``location``; per ``caller``,
    the application's line; or per ``creator``, the line that created the tasks, possibly a library's.
    """

    waits: bool = False
    exact: bool = False
    sources: bool = False
    by: str = "location"


class Location(msgspec.Struct, kw_only=True):
    """One spawn location: a line of code that creates tasks, ``file:line``.

    If a library creates them: its line, and the nearest line of the application that called it,
    ``ccxt/future.py:20 < bot.py:88``.

    Only on request: ``waits`` (most common first), ``sampled`` (how many live tasks ``waits`` was counted
    from; a random sample that ignores the filter), and ``source``, the text of the line as it is now on the
    program's machine, or empty if it cannot be read.
    """

    location: str
    function: str
    live: int
    spawned: int
    finished: int
    cancelled: int
    failed: int
    destroyed: int
    oldest_s: float | None
    orphaned: int
    note: str = ""
    matching: int | msgspec.UnsetType = msgspec.UNSET
    """Live tasks that match the filter; only if a filter was given. The other numbers are about all tasks."""
    waits: list[WaitCount] | msgspec.UnsetType = msgspec.UNSET
    sampled: int | msgspec.UnsetType = msgspec.UNSET
    source: str | msgspec.UnsetType = msgspec.UNSET


class GroupedTasks(msgspec.Struct, kw_only=True):
    """Tasks without a record that run the same coroutine and wait at the same place.

    ``location``: where they wait, in the program's own code, as ``file:line``; with several lines if they wait
    at several lines of one function. ``function``: the function there. ``waiting``: what it awaits, for
    example ``Queue.get`` or ``future``; or ``ready`` or ``running``.
    """

    coroutine: str
    location: str
    function: str
    waiting: str
    count: int


class TasksByLocation(Answer, kw_only=True, tag="qcfeed.tasks.by_location/3"):
    """Tasks by spawn location. ``since``: when this process began to answer. ``earlier``: the tasks that were
    there before the ledger, which have no spawn location; the largest group first.

    Two answers with the same ``since``, ``pid`` and ``instance`` are about the same run of a program.
    """

    totals: TaskTotals
    locations: list[Location]
    since: str = ""
    earlier: list[GroupedTasks] = msgspec.field(default_factory=list)


class Task(msgspec.Struct, kw_only=True):
    """One live task. ``state``: what it waits on, as far as that is cheap to find out.

    ``parent``: serial of the task that spawned it; null if a callback did.
    """

    serial: int
    age_s: float
    name: str
    coroutine: str
    location: str
    state: str
    note: str = ""
    parent: int | None = None
    labels: dict[str, str] = msgspec.field(default_factory=dict)


class Tasks(Answer, kw_only=True, tag="qcfeed.tasks/1"):
    """Live tasks, oldest first. ``total``: how many match the filter, including those beyond the limit."""

    total: int
    totals: TaskTotals
    tasks: list[Task]


class TasksQuery(TaskFilter, kw_only=True):
    limit: int = 1000
    offset: int = 0
