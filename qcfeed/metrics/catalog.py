"""Every metric, declared once. Names and units follow Prometheus' naming guide."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    GAUGE = "gauge"
    COUNTER = "counter"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: its name (a counter's ends in ``_total``), kind, help and labels."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


def _gauge(name: str, help: str, *labels: str) -> Metric:  # noqa: A002
    return Metric(name, Kind.GAUGE, help, labels)


def _counter(name: str, help: str, *labels: str) -> Metric:  # noqa: A002
    return Metric(name, Kind.COUNTER, help, labels)


BUILD_INFO = _gauge("qcfeed_build_info", "Always 1; the version in its label.", "version")
DRILL_ACTIVE = _gauge("qcfeed_drill_active", "Whether the service is broken on purpose.")
LOOP_LAG = _gauge("qcfeed_loop_lag_seconds", "How late the loop's last beat was.")
RESIDENT = _gauge("process_resident_memory_bytes", "Resident memory size in bytes.")
MEMORY_LIMIT = _gauge("qcfeed_memory_limit_bytes", "Memory the process may hold.")

TASKS_LIVE = _gauge("qcfeed_tasks_live", "Tasks alive, by spawn location.", "location")
TASKS_SPAWNED = _counter("qcfeed_tasks_spawned_total", "Tasks created.", "location")
TASKS_FINISHED = _counter("qcfeed_tasks_finished_total", "Tasks that returned.", "location")
TASKS_CANCELLED = _counter("qcfeed_tasks_cancelled_total", "Tasks cancelled.", "location")
TASKS_FAILED = _counter("qcfeed_tasks_failed_total", "Tasks that raised.", "location")
TASKS_ORPHANED = _gauge(
    "qcfeed_tasks_orphaned", "Tasks alive whose owner is gone, by spawn location.", "location"
)

FEEDS = _gauge("qcfeed_feeds", "Feeds, by state of their upstream.", "upstream")
FEED_RESTARTS = _counter("qcfeed_feed_restarts_total", "Times a feed's upstream ended unasked.")
SUBSCRIPTIONS = _gauge("qcfeed_subscriptions_active", "Subscriptions held.")
SUBSCRIPTIONS_ORPHANED = _gauge(
    "qcfeed_subscriptions_orphaned", "Subscriptions whose connection is gone."
)
SYMBOLS_BY_BAND = _gauge(
    "qcfeed_symbols", "Wanted symbols, by how old their last quote is.", "band"
)
QUOTE_AGE = _gauge("qcfeed_quote_age_seconds", "Age of the oldest last quote that is wanted.")
QUOTES_IN = _counter("qcfeed_quotes_total", "Quotes published by upstreams.")
CONFLATED = _counter("qcfeed_quotes_conflated_total", "Quotes slow subscribers did not get singly.")

CONNECTIONS = _gauge("qcfeed_connections", "WebSocket connections.")
CONNECTIONS_OPENED = _counter("qcfeed_connections_opened_total", "Upgrades accepted.")
CONNECTIONS_CLOSED = _counter(
    "qcfeed_connections_closed_total", "Connections ended, by close code.", "code"
)
REFUSED = _counter("qcfeed_refused_total", "Upgrades and subscriptions refused.", "reason")
UPSTREAM_CONNECTED = _gauge("qcfeed_upstream_connected", "Whether the upstream is there.")
UPSTREAM_RECONNECTS = _counter("qcfeed_upstream_reconnects_total", "Upstream reconnections.")
UPSTREAM_GAPS = _counter("qcfeed_upstream_gaps_total", "Gaps in the upstream's sequence.")

CATALOG: tuple[Metric, ...] = tuple(each for each in globals().values() if type(each) is Metric)
