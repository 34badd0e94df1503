"""The answers of the control plane, and the requests of its actions, each versioned by its ``schema``.

Durations end in ``_s`` or ``_ms``, sizes in ``_bytes``; times are RFC 3339 strings in UTC. Within one
version of a schema fields are only added. Commands print these answers with ``-o json`` unchanged.
"""

from __future__ import annotations

import msgspec


class Answer(msgspec.Struct, kw_only=True, tag_field="schema"):
    """The fields of every answer: which process answered, when, and what the answer cost.

    ``elapsed_ms``: how long the server took. ``loop_stall_ms``: the longest time during that for which the
    watched loop did not run; if it is stuck now, for how long it has been. ``loop_stack``: only while the
    loop is stuck, the calls that it is in, innermost last. The server fills in all of these.
    """

    pid: int = 0
    instance: str = ""
    taken_at: str = ""
    elapsed_ms: float = 0.0
    loop_stall_ms: float = 0.0
    loop_stack: list[str] | msgspec.UnsetType = msgspec.UNSET


class Failure(msgspec.Struct, kw_only=True, tag_field="schema", tag="qcfeed.error/2"):
    """The request was not carried out. ``loop_stack``: where the watched loop is stuck, if it is."""

    code: str
    message: str
    hint: str | None = None
    loop_stack: list[str] = []


# ---------------------------------------------------------------- tasks


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
    """The number of tasks in each state: ``spawned`` is always the sum of live, finished, cancelled, failed and destroyed."""

    live: int = 0
    spawned: int = 0
    finished: int = 0
    cancelled: int = 0
    failed: int = 0
    orphaned: int = 0
    destroyed: int = 0
    """Dropped by the garbage collector while still pending."""
    untracked: int = 0
    """Live tasks that the ledger did not record: created before it was installed, or past it."""
    incomplete: list[str] = []
    """Why there may be more tasks than these numbers say: the ledger's self-check failed."""


class WaitCount(msgspec.Struct, kw_only=True):
    """How many tasks wait on the same thing."""

    state: str
    count: int


class ByLocationQuery(TaskFilter, kw_only=True):
    """``waits``: include what the tasks of each location wait on, from a sample; ``exact``: from all tasks.

    ``sources``: include the source text of each location.
    """

    waits: bool = False
    exact: bool = False
    sources: bool = False


class Location(msgspec.Struct, kw_only=True):
    """One spawn location: a line of code that creates tasks.

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


class TasksByLocation(Answer, kw_only=True, tag="qcfeed.tasks.by_location/3"):
    """Tasks by spawn location. ``since``: when this process began to answer.

    Two answers with the same ``since``, ``pid`` and ``instance`` are about the same run of a program.
    """

    totals: TaskTotals
    locations: list[Location]
    since: str = ""


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
    labels: dict[str, str] = {}


class Tasks(Answer, kw_only=True, tag="qcfeed.tasks/1"):
    """Live tasks, oldest first. ``total``: how many match the filter, including those beyond the limit."""

    total: int
    totals: TaskTotals
    tasks: list[Task]


class TasksQuery(TaskFilter, kw_only=True):
    limit: int = 1000
    offset: int = 0


# ---------------------------------------------------------------- orphans


class Orphan(msgspec.Struct, kw_only=True):
    """A live task, or a subscription (then ``serial`` is null), whose owner is gone.

    ``reason``: the evidence. ``owner_gone_s``: how long the owner has been gone, if the owner knows.
    ``sleeping_s``: how long the task has slept; if that is less than ``owner_gone_s``, the task has run
    since its owner left.
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
    """Orphans, oldest first. ``total``: all orphans, including those beyond the limit.

    ``incomplete``: why there may be more, as in TaskTotals.
    """

    total: int
    orphans: list[Orphan]
    incomplete: list[str] = []


class OrphansQuery(TaskFilter, kw_only=True):
    """With a filter only tasks are listed, no subscriptions.

    ``spread``: list up to ``limit`` orphans of all ages instead of the oldest.
    """

    limit: int = 1000
    spread: bool = False


class Survivor(msgspec.Struct, kw_only=True):
    """A task that is still alive after it was cancelled."""

    serial: int
    location: str
    state: str


class Reaped(Answer, kw_only=True, tag="qcfeed.reap/2"):
    """The result of cancelling orphans.

    ``failed``: tasks that ended, but raised while they cleaned up. ``already_gone``: tasks that ended by
    themselves first. ``subscriptions``: orphaned subscriptions that were removed. ``incomplete``: why there
    may have been more orphans than these, as in TaskTotals.
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
    """One symbol's feed. ``demand`` and ``upstream_state`` are those of feed/lifecycle.py."""

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
    """The symbols that can be subscribed to. If the upstream does not know them all, those that have a feed."""

    symbols: list[str]


class CancelFeedsRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Stop these feeds (``all``: every one); their subscribers are closed with 4410.

    Refused if any of them has a subscriber, unless ``force`` is set.
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
    """Feeds that have subscribers, by the age of their last quote."""

    live: int = 0
    stale: int = 0
    very_stale: int = 0
    dead: int = 0


class Listening(msgspec.Struct, kw_only=True):
    """The addresses of the process; null for a part that is off."""

    websocket: str
    admin: str
    control: str
    monitor: str | None = None
    monitor_web: str | None = None
    monitor_off: str | None = None
    """Why the monitor is off, if it could not be started."""
    control_tcp: str | None = None


class Status(Answer, kw_only=True, tag="qcfeed.status/2"):
    version: str
    state: str
    """``serving`` or ``draining``."""
    drill: str | None
    started_at: str
    uptime_s: float
    loop_lag_ms: float
    """How late the loop's last heartbeat was."""
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
    """Feeds by ``demand/upstream_state``, as in feed/lifecycle.py; states without a feed are left out."""
    subscriptions: int
    subscribers_per_symbol: float
    orphaned_tasks: int
    orphaned_subscriptions: int
    staleness: Bands
    totals: TaskTotals
    closed: dict[str, int] = {}
    """Connections closed since the start, by close code, ``lost`` or ``timeout``."""
    refused: dict[str, int] = {}
    """Requests refused since the start, by error code."""


# ---------------------------------------------------------------- any program


class Process(Answer, kw_only=True, tag="qcfeed.process/2"):
    """The status of a program that uses ``attach()``: it has no feeds. ``attached_s``: since ``attached_at``."""

    python: str
    attached_at: str
    attached_s: float
    loop_lag_ms: float
    """How late the loop's last heartbeat was."""
    memory: Memory
    totals: TaskTotals


AnyAnswer = TasksByLocation | Tasks | Orphans | Reaped | Feeds | CancelledFeeds | Status
