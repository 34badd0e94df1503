"""Every answer and every action's request, versioned by its ``schema``.

Durations end in ``_s`` or ``_ms``, sizes in ``_bytes``; times are RFC 3339 UTC strings. Within one
schema version fields are only added. The command line prints these with ``-o json`` as they came.
"""

from __future__ import annotations

import msgspec


class Answer(msgspec.Struct, kw_only=True, tag_field="schema"):
    """What every answer carries: who answered, when, and what answering cost.

    ``elapsed_ms`` is what the server took; ``loop_stall_ms`` is the longest that the watched loop
    failed to turn meanwhile, or, when it is stuck now, for how long already.
    ``loop_stack`` is there only when it is stuck now: where, the innermost call last.
    The server fills these in.
    """

    pid: int = 0
    instance: str = ""
    taken_at: str = ""
    elapsed_ms: float = 0.0
    loop_stall_ms: float = 0.0
    loop_stack: list[str] | msgspec.UnsetType = msgspec.UNSET


class Failure(msgspec.Struct, kw_only=True, tag_field="schema", tag="qcfeed.error/2"):
    """The request was not carried out. ``stack``: where the watched loop is stuck, if it is."""

    code: str
    message: str
    hint: str | None = None
    loop_stack: list[str] = []


# ---------------------------------------------------------------- tasks


class TaskFilter(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which tasks; what is given must hold, all of it (diagnostics/filters.py says how).

    ``site`` is FILE:LINE or FILE; ``label`` is KEY=VALUE or KEY, several on a line each.
    """

    site: str = ""
    label: str = ""
    older_than_s: float = 0.0
    waiting_on: str = ""
    name: str = ""


class TaskTotals(msgspec.Struct, kw_only=True):
    """spawned = live + finished + cancelled + failed + destroyed, always."""

    live: int = 0
    spawned: int = 0
    finished: int = 0
    cancelled: int = 0
    failed: int = 0
    orphaned: int = 0
    destroyed: int = 0
    """Dropped by the garbage collector while still pending."""
    untracked: int = 0
    """Live tasks that did not pass the ledger (made before it, or around it)."""
    incomplete: list[str] = []
    """Why there may be more tasks than these: the ledger's check of itself has failed."""


class WaitCount(msgspec.Struct, kw_only=True):
    """So many tasks wait on this."""

    state: str
    count: int


class ByLocationQuery(TaskFilter, kw_only=True):
    """``waits``: tell what the tasks of each location wait on, from a sample; ``exact``: from all.

    ``sources``: tell the text of each location's line.
    """

    waits: bool = False
    exact: bool = False
    sources: bool = False


class Location(msgspec.Struct, kw_only=True):
    """One spawn location: a line that creates tasks.

    ``waits`` (the commonest first) and ``sampled`` (how many live tasks they are counted from, at
    random, whatever the filter) are there only if they were asked for, and so is ``source``, the
    line's text as the program's machine has it now; empty where it has none.
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
    """Live tasks that match the filter; there only if one was given. The rest is of all tasks."""
    waits: list[WaitCount] | msgspec.UnsetType = msgspec.UNSET
    sampled: int | msgspec.UnsetType = msgspec.UNSET
    source: str | msgspec.UnsetType = msgspec.UNSET


class TasksByLocation(Answer, kw_only=True, tag="qcfeed.tasks.by_location/3"):
    """``since``: when this process began to answer; with ``pid`` and ``instance`` it tells whether two
    snapshots are of one life of a program.
    """

    totals: TaskTotals
    locations: list[Location]
    since: str = ""


class Task(msgspec.Struct, kw_only=True):
    """One live task. ``state`` is what it waits on, as far as can be seen cheaply.

    ``parent``: serial of the task that spawned it; null for a callback's.
    """

    serial: int
    age_s: float
    name: str
    coroutine: str
    location: str
    state: str
    note: str = ""
    parent: int | None = None
    labels: dict[str, str] = {}


class Tasks(Answer, kw_only=True, tag="qcfeed.tasks/1"):
    """Live tasks, oldest first; ``total`` is how many match the filter, however many are listed."""

    total: int
    totals: TaskTotals
    tasks: list[Task]


class TasksQuery(TaskFilter, kw_only=True):
    limit: int = 1000
    offset: int = 0


# ---------------------------------------------------------------- orphans


class Orphan(msgspec.Struct, kw_only=True):
    """A live task, or a subscription (``task`` is then null), whose owner is gone.

    ``gone_s``: for how long, where the owner says so. ``slept_s``: for how long the task sleeps
    already, if it does: less than ``gone_s`` means that it woke since, and went on.
    """

    serial: int | None
    symbol: str | None
    location: str
    age_s: float
    reason: str
    owner: str = ""
    owner_gone_s: float | None = None
    sleeping_s: float | None = None


class Orphans(Answer, kw_only=True, tag="qcfeed.orphans/2"):
    """``count`` is all of them; ``orphans`` lists the oldest ``limit``. ``incomplete``: why there may
    be more, as in TaskTotals."""

    total: int
    orphans: list[Orphan]
    incomplete: list[str] = []


class OrphansQuery(TaskFilter, kw_only=True):
    """A filter leaves subscriptions out: it is about tasks.

    ``spread``: ``limit`` from all ages at most, in place of the oldest.
    """

    limit: int = 1000
    spread: bool = False


class Survivor(msgspec.Struct, kw_only=True):
    """A task that was cancelled and is still alive."""

    serial: int
    location: str
    state: str


class Reaped(Answer, kw_only=True, tag="qcfeed.reap/2"):
    """``failed``: ended, but its cleanup raised. ``already_gone``: ended by itself meanwhile.

    ``subscriptions``: orphaned subscriptions that were removed from their feeds. ``incomplete``: why
    there may have been more orphans than these, as in TaskTotals.
    """

    cancelled: int
    survivors: list[Survivor]
    failed: int
    already_gone: int
    subscriptions: int = 0
    max_stall_ms: float = 0.0
    incomplete: list[str] = []


class ReapRequest(msgspec.Struct, forbid_unknown_fields=True):
    timeout_s: float = 10.0
    batch: int = 500


# ---------------------------------------------------------------- feeds


class Feed(msgspec.Struct, kw_only=True):
    """One symbol's feed. ``state`` is ``demand/upstream``, as in feed/lifecycle.py."""

    symbol: str
    demand: str
    upstream_state: str
    subscriber_count: int
    generation: int
    band: str
    reason: str | None
    last_quote_at: str | None
    age_s: float | None
    quotes: int
    quotes_per_s: float
    restarts: int
    failure: str | None = None


class Feeds(Answer, kw_only=True, tag="qcfeed.feeds/2"):
    total: int
    feeds: list[Feed]


class Symbols(Answer, kw_only=True, tag="qcfeed.symbols/1"):
    """What can be subscribed to, as far as the upstream knows without asking; else what has a feed."""

    symbols: list[str]


class CancelFeedsRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Force these feeds down (``all``: every one). Subscribers get close 4410.

    Unless ``force``, refused when any of them has a subscriber.
    """

    symbols: list[str] = []
    all: bool = False
    force: bool = False
    timeout_s: float = 10.0


class CancelledFeed(msgspec.Struct, kw_only=True):
    symbol: str
    subscriber_count: int
    joined: bool


class CancelledFeeds(Answer, kw_only=True, tag="qcfeed.feeds.cancel/2"):
    feeds: list[CancelledFeed]


# ---------------------------------------------------------------- status


class Memory(msgspec.Struct, kw_only=True):
    resident_bytes: int
    limit_bytes: int
    limit_source: str
    """``cgroup v2``, ``cgroup v1`` or ``machine``."""


class Bands(msgspec.Struct, kw_only=True):
    """Feeds with demand, by how old their last quote is."""

    live: int = 0
    stale: int = 0
    very_stale: int = 0
    dead: int = 0


class Listening(msgspec.Struct, kw_only=True):
    """Where the process can be reached; null where that part is off."""

    websocket: str
    admin: str
    control: str
    monitor: str | None = None
    monitor_web: str | None = None
    monitor_off: str | None = None
    """Why the monitor is off although it was not turned off."""
    control_tcp: str | None = None


class Status(Answer, kw_only=True, tag="qcfeed.status/2"):
    version: str
    state: str
    """``serving`` or ``draining``."""
    drill: str | None
    started_at: str
    uptime_s: float
    loop_lag_ms: float
    """How late the loop's last beat was."""
    memory: Memory
    listening: Listening
    upstream: str
    upstream_connected: bool
    upstream_reconnects: int
    upstream_gaps: int
    connections: int
    connections_limit: int
    feed_count: int
    feeds_by_state: dict[str, int]
    """By ``demand/upstream``, as in feed/lifecycle.py; a state without a feed is left out."""
    subscriptions: int
    subscribers_per_symbol: float
    orphaned_tasks: int
    orphaned_subscriptions: int
    staleness: Bands
    totals: TaskTotals
    closed: dict[str, int] = {}
    """Connections that have ended, by close code, ``lost`` or ``timeout``, since the start."""
    refused: dict[str, int] = {}
    """What was refused, by its error's code, since the start."""


# ---------------------------------------------------------------- any program


class Process(Answer, kw_only=True, tag="qcfeed.process/2"):
    """What a program tells that is attached, and has no feeds. Since when: ``attached_at``."""

    python: str
    attached_at: str
    attached_s: float
    loop_lag_ms: float
    """How late the loop's last beat was."""
    memory: Memory
    totals: TaskTotals


AnyAnswer = TasksByLocation | Tasks | Orphans | Reaped | Feeds | CancelledFeeds | Status
