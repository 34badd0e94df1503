"""Every metric. Names and units follow Prometheus' naming guide, and others build on them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How a metric behaves; the text format's types, with a word of our own for the last."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"
    """Observations since the start: buckets, their sum and count, none of which ever falls."""
    DISTRIBUTION = "gaugehistogram"
    """How something is spread now: buckets that rise and fall, so no ``rate()`` over them."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. A counter's name ends in ``_total``; ``unit`` is its base unit, or what it counts.

    ``buckets``: upper bounds, in the unit, of a histogram or distribution; ``+Inf`` is understood.
    """

    name: str
    kind: Kind
    unit: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


def _gauge(name: str, unit: str, help: str, *labels: str) -> Metric:  # noqa: A002
    return Metric(name, Kind.GAUGE, unit, help, labels)


def _counter(name: str, unit: str, help: str, *labels: str) -> Metric:  # noqa: A002
    return Metric(name, Kind.COUNTER, unit, help, labels)


DELAY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds: from what a sound loop shows to what its clients give up at."""
SUBSCRIBER_BUCKETS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 5_000.0)

# ---------------------------------------------------------------- the process

BUILD_INFO = _gauge("qcfeed_build_info", "1", "Always 1; the version in its label.", "version")
STARTED = _gauge("process_start_time_seconds", "seconds", "Unix time at which the process began.")
CPU = _counter("process_cpu_seconds_total", "seconds", "Processor time used, user and system.")
RESIDENT = _gauge("process_resident_memory_bytes", "bytes", "Resident memory size.")
MEMORY_LIMIT = _gauge(
    "qcfeed_memory_limit_bytes", "bytes", "Memory that the process may hold (cgroup or machine)."
)
GC_COLLECTIONS = _counter(
    "qcfeed_gc_collections_total", "collections", "Collections of garbage.", "generation"
)
GC_PAUSES = _counter(
    "qcfeed_gc_pause_seconds_total",
    "seconds",
    "Time for which collections of garbage stopped the process.",
    "generation",
)
GC_LONGEST = _gauge(
    "qcfeed_gc_longest_pause_seconds", "seconds", "The longest of these pauses since the start."
)
LOOP_LAG = Metric(
    "qcfeed_loop_lag_seconds",
    Kind.HISTOGRAM,
    "seconds",
    "How late each beat of the service's loop was.",
    buckets=DELAY_BUCKETS,
)
DRILL_ACTIVE = _gauge("qcfeed_drill_active", "1", "Whether the service is broken on purpose.")

# ---------------------------------------------------------------- tasks

TASKS_LIVE = _gauge("qcfeed_tasks_live", "tasks", "Tasks alive, by spawn location.", "location")
TASKS_SPAWNED = _counter(
    "qcfeed_tasks_spawned_total", "tasks", "Tasks created, by spawn location.", "location"
)
TASKS_FINISHED = _counter(
    "qcfeed_tasks_finished_total", "tasks", "Tasks that returned, by spawn location.", "location"
)
TASKS_CANCELLED = _counter(
    "qcfeed_tasks_cancelled_total",
    "tasks",
    "Tasks that ended cancelled, by spawn location.",
    "location",
)
TASKS_FAILED = _counter(
    "qcfeed_tasks_failed_total", "tasks", "Tasks that raised, by spawn location.", "location"
)
TASKS_DESTROYED = _counter(
    "qcfeed_tasks_destroyed_total",
    "tasks",
    "Tasks freed while they were pending, by spawn location.",
    "location",
)
TASKS_ORPHANED = _gauge(
    "qcfeed_tasks_orphaned",
    "tasks",
    "Tasks alive whose owner is gone, by spawn location.",
    "location",
)
TASKS_UNTRACKED = _gauge(
    "qcfeed_tasks_untracked",
    "tasks",
    "Tasks alive that the ledger did not record: created before it, or around the task factory.",
)
LEDGER_PROBLEMS = _gauge(
    "qcfeed_ledger_problems",
    "problems",
    "Reasons why the figures of tasks may be incomplete: checks of the ledger itself that failed.",
)

# ---------------------------------------------------------------- feeds and their quotes

FEEDS = _gauge("qcfeed_feeds", "feeds", "Feeds, by state of their upstream.", "upstream")
FEED_RESTARTS = _counter(
    "qcfeed_feed_restarts_total", "restarts", "Times a feed's upstream ended unasked."
)
SYMBOLS_ACTIVE = _gauge("qcfeed_symbols_active", "symbols", "Symbols with subscribers.")
SYMBOLS = _gauge(
    "qcfeed_symbols", "symbols", "Symbols with subscribers, by how old the last quote is.", "band"
)
QUOTE_AGE = _gauge(
    "qcfeed_quote_age_seconds",
    "seconds",
    "Age of the oldest last quote of a symbol with subscribers.",
)
MARKET_OPEN = _gauge("qcfeed_market_open", "1", "Whether quotes are to be expected now.")
QUOTES_IN = _counter("qcfeed_quotes_total", "quotes", "Quotes published by upstreams.")
QUOTES_REFUSED = _counter(
    "qcfeed_quotes_refused_total", "quotes", "What upstreams sent that was no quote."
)
UPSTREAM_CONNECTED = _gauge("qcfeed_upstream_connected", "1", "Whether the upstream is there.")
UPSTREAM_RECONNECTS = _counter(
    "qcfeed_upstream_reconnects_total", "reconnects", "Upstream reconnections."
)
UPSTREAM_GAPS = _counter("qcfeed_upstream_gaps_total", "gaps", "Gaps in the upstream's sequence.")

# ---------------------------------------------------------------- subscribers

SUBSCRIPTIONS = _gauge("qcfeed_subscriptions_active", "subscriptions", "Subscriptions held.")
SUBSCRIPTIONS_ORPHANED = _gauge(
    "qcfeed_subscriptions_orphaned", "subscriptions", "Subscriptions whose connection is gone."
)
SYMBOL_SUBSCRIBERS = Metric(
    "qcfeed_symbol_subscribers",
    Kind.DISTRIBUTION,
    "subscriptions",
    "Subscribers a symbol has now.",
    buckets=SUBSCRIBER_BUCKETS,
)
DELIVERED = _counter(
    "qcfeed_quotes_delivered_total", "quotes", "Quotes written to subscribers, over all of them."
)
CONFLATED = _counter(
    "qcfeed_quotes_conflated_total",
    "quotes",
    "Quotes slow subscribers got only within a newer one.",
)
DROPPED = _counter("qcfeed_quotes_dropped_total", "quotes", "Quotes slow subscribers did not get.")
LAG = _gauge(
    "qcfeed_lag_quotes", "quotes", "Quotes that wait for slow connections, over all of them."
)
LAG_MAX = _gauge("qcfeed_lag_max_quotes", "quotes", "Quotes that wait for the slowest connection.")
KERNEL_QUEUE = _gauge(
    "qcfeed_kernel_send_queue_bytes", "bytes", "Bytes that the kernel keeps for slow connections."
)

CONNECTIONS = _gauge("qcfeed_connections", "connections", "WebSocket connections.")
CONNECTIONS_SLOW = _gauge(
    "qcfeed_connections_slow", "connections", "Connections that take nothing just now."
)
CONNECTIONS_OPENED = _counter("qcfeed_connections_opened_total", "upgrades", "Upgrades accepted.")
CONNECTIONS_CLOSED = _counter(
    "qcfeed_connections_closed_total", "connections", "Connections ended, by close code.", "code"
)
DISCONNECTED_SLOW = _counter(
    "qcfeed_disconnected_slow_total", "connections", "Connections ended for reading too slowly."
)
REFUSED = _counter(
    "qcfeed_refused_total", "requests", "Upgrades and subscriptions refused, by reason.", "reason"
)

METRICS: tuple[Metric, ...] = tuple(each for each in globals().values() if type(each) is Metric)
"""All of them, in the order above."""
