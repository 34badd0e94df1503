"""Every metric. Names and units follow Prometheus' naming guide. They are a public interface."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class MetricKind(StrEnum):
    """The type of a metric, as in the text format; ``DISTRIBUTION`` is its gauge histogram."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"
    """Observations since the start: buckets, sum and count, which never fall."""
    DISTRIBUTION = "gaugehistogram"
    """The current distribution of values. Buckets rise and fall, so ``rate()`` makes no sense."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. A counter's name ends in ``_total``. ``unit``: its base unit, or what it counts.

    ``buckets``: the upper bounds of a histogram or distribution, in that unit, without ``+Inf``.
    """

    name: str
    kind: MetricKind
    unit: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


def _gauge(name: str, unit: str, help: str, *labels: str) -> Metric:  # noqa: A002
    return Metric(name, MetricKind.GAUGE, unit, help, labels)


def _counter(name: str, unit: str, help: str, *labels: str) -> Metric:  # noqa: A002
    return Metric(name, MetricKind.COUNTER, unit, help, labels)


DELAY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds: from the lag of a healthy loop to the delay at which clients give up."""
SUBSCRIBER_BUCKETS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 5_000.0)

# ---------------------------------------------------------------- the process

BUILD_INFO = _gauge("qcfeed_build_info", "1", "Always 1; the label has the version.", "version")
STARTED = _gauge("process_start_time_seconds", "seconds", "Unix time at which the process began.")
CPU = _counter("process_cpu_seconds_total", "seconds", "Processor time used, user and system.")
RESIDENT = _gauge("process_resident_memory_bytes", "bytes", "Resident memory size.")
MEMORY_LIMIT = _gauge(
    "qcfeed_memory_limit_bytes", "bytes", "Memory limit of the process (cgroup or machine)."
)
EVIDENCE_SAVED = _counter(
    "qcfeed_evidence_saved_total",
    "bundles",
    "Bundles of evidence that the service saved by itself, because memory came near its limit.",
)
EVIDENCE_FAILED = _counter(
    "qcfeed_evidence_failed_total",
    "attempts",
    "Attempts to save evidence that failed, for example because the disk is nearly full.",
)
GC_COLLECTIONS = _counter(
    "qcfeed_gc_collections_total", "collections", "Garbage collections.", "generation"
)
GC_PAUSES = _counter(
    "qcfeed_gc_pause_seconds_total",
    "seconds",
    "Time for which garbage collections stopped the process.",
    "generation",
)
GC_LONGEST = _gauge(
    "qcfeed_gc_longest_pause_seconds",
    "seconds",
    "The longest garbage collection pause since the start.",
)
LOOP_LAG = Metric(
    "qcfeed_loop_lag_seconds",
    MetricKind.HISTOGRAM,
    "seconds",
    "Delay of a timer in the event loop, observed 20 times per second.",
    buckets=DELAY_BUCKETS,
)
DRILL_ACTIVE = _gauge(
    "qcfeed_drill_active", "1", "1 while a drill is active: a fault was injected on purpose."
)

# ---------------------------------------------------------------- tasks

TASKS_LIVE = _gauge("qcfeed_tasks_live", "tasks", "Live tasks, by spawn location.", "location")
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
    "qcfeed_tasks_failed_total",
    "tasks",
    "Tasks that ended with an exception, by spawn location.",
    "location",
)
TASKS_DESTROYED = _counter(
    "qcfeed_tasks_destroyed_total",
    "tasks",
    "Tasks garbage collected while pending, by spawn location.",
    "location",
)
TASKS_ORPHANED = _gauge(
    "qcfeed_tasks_orphaned",
    "tasks",
    "Live tasks whose owner is gone, by spawn location.",
    "location",
)
TASKS_UNTRACKED = _gauge(
    "qcfeed_tasks_untracked",
    "tasks",
    "Live tasks that the ledger did not record: created before it, or around the task factory.",
)
LEDGER_PROBLEMS = _gauge(
    "qcfeed_ledger_problems",
    "problems",
    "Failed self-checks of the task ledger; above 0, task metrics may be incomplete.",
)

# ---------------------------------------------------------------- feeds and their quotes

FEEDS = _gauge("qcfeed_feeds", "feeds", "Feeds, by state of their upstream.", "upstream")
FEED_RESTARTS = _counter(
    "qcfeed_feed_restarts_total", "restarts", "Times that a feed's upstream ended unexpectedly."
)
SYMBOLS_ACTIVE = _gauge("qcfeed_symbols_active", "symbols", "Symbols with subscribers.")
SYMBOLS = _gauge(
    "qcfeed_symbols",
    "symbols",
    "Symbols with subscribers, by age of the last quote (live, stale, very stale, dead).",
    "band",
)
QUOTE_AGE = _gauge(
    "qcfeed_quote_age_seconds",
    "seconds",
    "Age of the last quote, for the symbol with subscribers that has waited longest.",
)
MARKET_OPEN = _gauge(
    "qcfeed_market_open", "1", "1 if quotes are expected now, 0 while the market is closed."
)
QUOTES_IN = _counter("qcfeed_quotes_total", "quotes", "Quotes published by upstreams.")
QUOTES_REFUSED = _counter(
    "qcfeed_quotes_refused_total", "quotes", "Invalid ticks from upstreams, which were dropped."
)
UPSTREAM_CONNECTED = _gauge("qcfeed_upstream_connected", "1", "1 if the upstream is connected.")
UPSTREAM_RECONNECTS = _counter(
    "qcfeed_upstream_reconnects_total", "reconnects", "Upstream reconnections."
)
UPSTREAM_GAPS = _counter(
    "qcfeed_upstream_gaps_total",
    "gaps",
    "Times an upstream's update was missing: a gap, or a crossed book.",
)
UPSTREAM_INVALID = _counter(
    "qcfeed_upstream_invalid_messages_total",
    "messages",
    "Invalid messages from the upstream, which were passed over or ended a feed.",
)

# ---------------------------------------------------------------- subscribers

SUBSCRIPTIONS = _gauge("qcfeed_subscriptions_active", "subscriptions", "Subscriptions.")
SUBSCRIPTIONS_ORPHANED = _gauge(
    "qcfeed_subscriptions_orphaned", "subscriptions", "Subscriptions whose connection is gone."
)
SYMBOL_SUBSCRIBERS = Metric(
    "qcfeed_symbol_subscribers",
    MetricKind.DISTRIBUTION,
    "subscriptions",
    "Current number of subscribers per symbol.",
    buckets=SUBSCRIBER_BUCKETS,
)
DELIVERED = _counter(
    "qcfeed_quotes_delivered_total", "quotes", "Quotes sent, summed over all subscribers."
)
CONFLATED = _counter(
    "qcfeed_quotes_conflated_total",
    "quotes",
    "Quotes that slow subscribers did not get because a newer one replaced them.",
)
DROPPED = _counter(
    "qcfeed_quotes_dropped_total",
    "quotes",
    "Quotes that slow subscribers did not get because they were dropped.",
)
LAG = _gauge("qcfeed_lag_quotes", "quotes", "Unsent quotes, summed over all slow connections.")
LAG_MAX = _gauge("qcfeed_lag_max_quotes", "quotes", "Unsent quotes of the slowest connection.")
KERNEL_QUEUE = _gauge(
    "qcfeed_kernel_send_queue_bytes",
    "bytes",
    "Bytes in the kernel's send queues of slow connections.",
)

CONNECTIONS = _gauge("qcfeed_connections", "connections", "Open WebSocket connections.")
CONNECTIONS_SLOW = _gauge(
    "qcfeed_connections_slow", "connections", "Connections that cannot take data now."
)
CONNECTIONS_OPENED = _counter(
    "qcfeed_connections_opened_total", "upgrades", "Accepted WebSocket upgrades."
)
CONNECTIONS_CLOSED = _counter(
    "qcfeed_connections_closed_total", "connections", "Closed connections, by close code.", "code"
)
DISCONNECTED_SLOW = _counter(
    "qcfeed_disconnected_slow_total",
    "connections",
    "Connections closed because the subscriber read too slowly.",
)
REFUSED = _counter(
    "qcfeed_refused_total", "requests", "Refused upgrades and subscriptions, by reason.", "reason"
)
AUTHENTICATIONS = _counter(
    "qcfeed_authentications_total",
    "authentications",
    "Accepted API keys and tokens, by method (key, jwt).",
    "method",
)
AUTHENTICATIONS_REFUSED = _counter(
    "qcfeed_authentications_refused_total",
    "authentications",
    "Refused or expired authentications, and symbols that a key or token does not allow, by reason.",
    "reason",
)
ACCESS_PROBLEMS = _gauge(
    "qcfeed_access_problems",
    "files",
    "Files and URLs of keys that cannot be read as they are now; the keys read before stay in use.",
)

HTTP_ENDED = _counter(
    "qcfeed_http_ended_total",
    "connections",
    "Plain HTTP connections ended by the service (no request or answer taken in time, too many), and"
    " malformed requests, by reason.",
    "reason",
)

CERTIFICATE_EXPIRY = _gauge(
    "qcfeed_tls_certificate_expiry_timestamp_seconds",
    "seconds",
    "Unix time at which the certificate of the quotes port expires (serve --tls-cert).",
)
CERTIFICATE_REFUSED = _gauge(
    "qcfeed_tls_certificate_refused",
    "1",
    "1 while the certificate's files cannot be used, and an older certificate is in use.",
)
CERTIFICATE_LOADS = _counter(
    "qcfeed_tls_certificate_loads_total",
    "loads",
    "Loads of changed certificate files, by result (loaded or refused).",
    "result",
)

WORKER_RESTARTS = _counter(
    "qcfeed_worker_restarts_total",
    "restarts",
    "How often serve --workers has started this process again, by reason (ended, stuck, requested).",
    "reason",
)

# ---------------------------------------------------------------- several machines, on NATS

BROKER_AWAY = _gauge(
    "qcfeed_broker_away", "1", "1 while a connection to NATS is needed and there is none."
)
BROKER_RECONNECTS = _counter(
    "qcfeed_broker_reconnects_total", "connections", "Connections to NATS that were lost."
)
BROKER_DROPPED = _counter(
    "qcfeed_broker_dropped_total",
    "messages",
    "Messages dropped between process and NATS, because too many waited or the connection was lost.",
)
BROKER_SKIPPED = _counter(
    "qcfeed_broker_skipped_total",
    "quotes",
    "Quotes from NATS that a gateway replaced by a newer one because it was behind.",
)
EPOCHS_REJECTED = _counter(
    "qcfeed_epochs_rejected_total",
    "messages",
    "Quotes and announcements of former owners that a gateway dropped.",
)
SHARES_WITHOUT_OWNER = _gauge(
    "qcfeed_shares_without_owner", "shares", "Shares whose owner a connected gateway does not hear."
)
INTEREST_WITHOUT_SUBSCRIBERS = _gauge(
    "qcfeed_interest_without_subscribers",
    "subscriptions",
    "A gateway's subscriptions on NATS that have outlived their feed; the owner's feed goes on for them.",
)
SHARE_OWNER = _gauge(
    "qcfeed_share_owner",
    "1",
    "1 if this feeder owns its share of the symbols, 0 on standby.",
    "share",
)
LEASE_EPOCH = _gauge("qcfeed_lease_epoch", "1", "The owner's epoch; 0 on standby.", "share")
LEASE_MISSED = _counter(
    "qcfeed_lease_renewals_missed_total", "renewals", "Renewals of the lease that failed."
)
FENCED = _counter(
    "qcfeed_quotes_fenced_total",
    "quotes",
    "Quotes that a feeder did not publish because its lease had ended.",
)
PUBLISHED = _counter("qcfeed_quotes_published_total", "quotes", "Quotes published on NATS.")
GATEWAYS = _gauge(
    "qcfeed_gateways", "gateways", "Gateways that answered the owner's last announcement."
)
INTEREST_WITHOUT_FEED = _gauge(
    "qcfeed_interest_without_feed",
    "symbols",
    "Symbols that gateways want and whose feed is not open.",
)
FEED_WITHOUT_INTEREST = _gauge(
    "qcfeed_feed_without_interest",
    "feeds",
    "Feeds that an owner runs for subscribers on NATS although no gateway lists their symbol.",
)

OF_GATEWAYS = (
    BROKER_AWAY,
    BROKER_RECONNECTS,
    BROKER_DROPPED,
    BROKER_SKIPPED,
    EPOCHS_REJECTED,
    SHARES_WITHOUT_OWNER,
    INTEREST_WITHOUT_SUBSCRIBERS,
)
"""Metrics that only a gateway has; the first three also a feeder."""
OF_FEEDERS = (
    *OF_GATEWAYS[:3],
    SHARE_OWNER,
    LEASE_EPOCH,
    LEASE_MISSED,
    FENCED,
    PUBLISHED,
    GATEWAYS,
    INTEREST_WITHOUT_FEED,
    FEED_WITHOUT_INTEREST,
)
"""Metrics that only a feeder has; the first three also a gateway."""

METRICS: tuple[Metric, ...] = tuple(each for each in globals().values() if type(each) is Metric)
"""All metrics, in the order above."""
