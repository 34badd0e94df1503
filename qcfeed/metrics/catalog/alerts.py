"""Every alert: when it fires, its severity, what it means and which command to run first.

An alert on a level means that something is wrong now; an alert on a trend means that it will be. A
trend is computed over more than one window (recordings.py). Expressions keep the labels ``job`` and
``instance``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from qcfeed.model import thresholds

RUNBOOKS = "https://github.com/qcfeed/qcfeed/blob/main/runbooks"
"""The directory of the runbooks; each alert has a page of its name."""


class Severity(StrEnum):
    """How urgent an alert is."""

    CRITICAL = "critical"
    """Page now: subscribers are affected, or will be within the hour."""
    WARNING = "warning"
    """Fix today: it becomes critical if nothing is done."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. ``hold``: for how long ``expr`` must be true before it fires (Prometheus' ``for``).

    ``summary`` and ``description`` are Prometheus templates. ``command``: the command to run first.
    """

    name: str
    expr: str
    hold: str
    severity: Severity
    summary: str
    description: str
    command: str

    @property
    def runbook(self) -> str:
        """The file name of its page."""
        return f"{self.name}.md"


_SHUT = "unless on (job, instance) (min_over_time(qcfeed_market_open[10m]) == 0)"
"""Not while the market is closed, nor in its first ten minutes, when quotes are from the day before."""
_WHERE = "on {{ $labels.instance }}"

TASK_GROWTH = Alert(
    name="QcfeedTaskGrowth",
    expr="min by (job, instance) (qcfeed:unexplained_tasks_per_minute) > 5",
    hold="5m",
    severity=Severity.WARNING,
    summary="Tasks that no feed explains grow by {{ $value | humanize }} per minute " + _WHERE,
    description="Live tasks beyond one per feed have grown over both 5 and 30 minutes. A feed has at"
    " most one task, so demand does not explain this: something creates tasks that do not end.",
    command="qcfeed tasks --window 30s",
)
ORPHANED_TASKS = Alert(
    name="QcfeedOrphanedTasks",
    expr="sum by (job, instance) (qcfeed_tasks_orphaned) > 0",
    hold="2m",
    severity=Severity.WARNING,
    summary="{{ $value | humanize }} tasks no longer have an owner " + _WHERE,
    description="The subscriber or feed of these live tasks is gone. A healthy service has no such"
    " tasks. They can be cancelled without affecting anything else.",
    command="qcfeed orphans",
)
ORPHANED_SUBSCRIPTIONS = Alert(
    name="QcfeedOrphanedSubscriptions",
    expr="qcfeed_subscriptions_orphaned > 0",
    hold="2m",
    severity=Severity.WARNING,
    summary="{{ $value | humanize }} subscriptions no longer have a connection " + _WHERE,
    description="They keep feeds open that nobody reads. A healthy service has no such subscriptions.",
    command="qcfeed orphans",
)
MEMORY_RUNS_OUT = Alert(
    name="QcfeedMemoryRunsOut",
    expr='min by (job, instance) (qcfeed:memory_seconds_to_limit{window=~"15m|1h"})'
    f" < {thresholds.MEMORY_LEFT_S}",
    hold="5m",
    severity=Severity.WARNING,
    summary="Memory reaches its limit in {{ $value | humanizeDuration }} " + _WHERE,
    description="At the growth rate of the last 15 minutes or the last hour, whichever leaves less time.",
    command="qcfeed growth",
)
MEMORY_RUNS_OUT_SOON = Alert(
    name="QcfeedMemoryRunsOutSoon",
    expr='min by (job, instance) (qcfeed:memory_seconds_to_limit{window=~"5m|15m"})'
    f" < {thresholds.MEMORY_LEFT_URGENT_S}",
    hold="1m",
    severity=Severity.CRITICAL,
    summary="Memory reaches its limit in {{ $value | humanizeDuration }} " + _WHERE,
    description="At the growth rate of the last 5 or 15 minutes, whichever leaves less time. At its"
    " limit, the kernel kills the process.",
    command="qcfeed diagnose",
)
MEMORY_HIGH = Alert(
    name="QcfeedMemoryHigh",
    expr=f"process_resident_memory_bytes / qcfeed_memory_limit_bytes > {thresholds.MEMORY_SHARE}",
    hold="2m",
    severity=Severity.CRITICAL,
    summary="Memory is at {{ $value | humanizePercentage }} of its limit " + _WHERE,
    description="Near the limit, any allocation may make the kernel kill the process.",
    command="qcfeed diagnose",
)
QUOTES_STALE = Alert(
    name="QcfeedQuotesStale",
    expr='sum by (job, instance) (qcfeed_symbols{band!="live"})'
    f" / sum by (job, instance) (qcfeed_symbols) > 0.1 {_SHUT}",
    hold="2m",
    severity=Severity.WARNING,
    summary="{{ $value | humanizePercentage }} of the symbols are stale " + _WHERE,
    description="Their last quote is older than --stale-after, although the market is open.",
    command="qcfeed feeds",
)
QUOTES_DEAD = Alert(
    name="QcfeedQuotesDead",
    expr=f'sum by (job, instance) (qcfeed_symbols{{band="dead"}}) > 0 {_SHUT}',
    hold="5m",
    severity=Severity.CRITICAL,
    summary="{{ $value | humanize }} symbols are dead " + _WHERE,
    description="They have subscribers and no quote for --dead-after, although the market is open.",
    command="qcfeed feeds",
)
LOOP_LAG = Alert(
    name="QcfeedLoopLag",
    expr="rate(qcfeed_loop_lag_seconds_sum[5m]) > 0.1",
    hold="5m",
    severity=Severity.WARNING,
    summary="The event loop was late for {{ $value | humanizePercentage }} of the time " + _WHERE,
    description="Something blocks the service's event loop, or computes too much in it. Every quote is"
    " delayed by as much.",
    command="qcfeed tasks findings",
)
SLOW_CONSUMERS = Alert(
    name="QcfeedSlowConsumers",
    expr="qcfeed_connections_slow / qcfeed_connections > 0.1"
    " or increase(qcfeed_disconnected_slow_total[15m]) > 10",
    hold="5m",
    severity=Severity.WARNING,
    summary="Subscribers read too slowly " + _WHERE,
    description="More than a tenth of the connections cannot take data now, or more than ten were"
    " disconnected for reading too slowly in the last 15 minutes.",
    command="qcfeed status",
)
AUTHENTICATION_FAILS = Alert(
    name="QcfeedAuthenticationFails",
    expr="sum by (job, instance) (rate(qcfeed_authentications_refused_total[5m])) > 1"
    " or qcfeed_access_problems > 0",
    hold="5m",
    severity=Severity.WARNING,
    summary="Subscribers are refused, or their keys cannot be read " + _WHERE,
    description="More than one authentication per second was refused, or a file or URL with the keys of"
    " subscribers cannot be read. Connected subscribers are not affected.",
    command="qcfeed status",
)
UPSTREAM_DOWN = Alert(
    name="QcfeedUpstreamDown",
    expr="qcfeed_upstream_connected == 0 and on (job, instance) qcfeed_symbols_active > 0",
    hold="1m",
    severity=Severity.CRITICAL,
    summary="The upstream is disconnected " + _WHERE,
    description="Symbols have subscribers, but no quotes can arrive. Feeds reconnect by themselves.",
    command="qcfeed status",
)
BROKER_AWAY = Alert(
    name="QcfeedBrokerAway",
    expr="qcfeed_broker_away == 1",
    hold="1m",
    severity=Severity.CRITICAL,
    summary="No connection to NATS " + _WHERE,
    description="A gateway gets no quotes, or a feeder cannot publish any. It connects again by itself"
    " when a NATS server answers.",
    command="qcfeed status",
)
NO_OWNER = Alert(
    name="QcfeedNoOwner",
    expr="qcfeed_shares_without_owner > 0",
    hold="1m",
    severity=Severity.CRITICAL,
    summary="{{ $value | humanize }} shares of the symbols have no owner " + _WHERE,
    description="A gateway is connected to NATS and hears no feeder that owns these symbols. A standby"
    " would have taken over within the lease.",
    command="qcfeed status",
)
BROKER_UNSTABLE = Alert(
    name="QcfeedBrokerUnstable",
    expr="increase(qcfeed_broker_reconnects_total[10m]) > 2",
    hold="1m",
    severity=Severity.WARNING,
    summary="The connection to NATS was lost {{ $value | humanize }} times in 10 minutes " + _WHERE,
    description="Each loss is a gap in the quotes of all symbols. The process connects again by itself.",
    command="qcfeed status",
)
FORMER_OWNER = Alert(
    name="QcfeedFormerOwner",
    expr="increase(qcfeed_epochs_rejected_total[2m]) > 0",
    hold="2m",
    severity=Severity.WARNING,
    summary="A former owner still publishes: {{ $value | humanize }} messages rejected " + _WHERE,
    description="A feeder publishes under an old epoch. Gateways reject its quotes, so"
    " subscribers see none of them; but two feeders use the upstream.",
    command="qcfeed status",
)
_OWNERS = "(job, cluster, namespace, share)"
"""Feeders that compete for one lease. Labels tell apart several clusters that one job scrapes."""
TWO_OWNERS = Alert(
    name="QcfeedTwoOwners",
    expr=f"(count by {_OWNERS} (qcfeed_share_owner == 1) > 1)"
    f" * on {_OWNERS} group_right () (qcfeed_share_owner == 1)",
    hold="1m",
    severity=Severity.CRITICAL,
    summary="{{ $value | humanize }} feeders own share {{ $labels.share }} at once, one of them "
    + _WHERE,
    description="A takeover shows two owners for one scrape at most. For longer, each feeder has a lease of"
    " its own: their NATS servers are no cluster, or one ignores the end of its lease. Gateways may"
    " follow different owners.",
    command="qcfeed --cluster diagnose",
)
INTEREST_LEAKED = Alert(
    name="QcfeedInterestLeaked",
    expr="qcfeed_interest_without_subscribers > 0",
    hold="1m",
    severity=Severity.WARNING,
    summary="{{ $value | humanize }} subscriptions on NATS have outlived their subscribers "
    + _WHERE,
    description="A gateway is subscribed to symbols on NATS for which it has no feed. The owner runs and"
    " publishes them although nobody reads them, and their number only grows.",
    command="qcfeed status",
)
GATEWAY_LAGS = Alert(
    name="QcfeedGatewayLags",
    expr="rate(qcfeed_broker_dropped_total[2m]) > 0 or rate(qcfeed_broker_skipped_total[2m]) > 0",
    hold="2m",
    severity=Severity.WARNING,
    summary="{{ $value | humanize }} quotes per second are lost or skipped between NATS and the process "
    + _WHERE,
    description="Quotes arrive from NATS faster than the gateway serves them, or a feeder cannot send them"
    " as fast. Subscribers get only the newest, marked as conflated or dropped.",
    command="qcfeed status",
)
RENEWALS_MISSED = Alert(
    name="QcfeedRenewalsMissed",
    expr="increase(qcfeed_lease_renewals_missed_total[5m]) > 3",
    hold="1m",
    severity=Severity.WARNING,
    summary="{{ $value | humanize }} renewals of the lease failed in 5 minutes " + _WHERE,
    description="A feeder asks JetStream to renew its lease, and gets no answer or a refusal. If all fail"
    " for as long as the lease lasts, it stops, and a standby takes over.",
    command="qcfeed status",
)
INTEREST_WITHOUT_FEED = Alert(
    name="QcfeedInterestWithoutFeed",
    expr="qcfeed_interest_without_feed > 0",
    hold="5m",
    severity=Severity.CRITICAL,
    summary="{{ $value | humanize }} symbols are wanted by gateways and have no open feed "
    + _WHERE,
    description="The owner cannot open these symbols at its upstream, so no gateway gets a quote of them.",
    command="qcfeed status",
)
FEED_WITHOUT_INTEREST = Alert(
    name="QcfeedFeedWithoutInterest",
    expr="qcfeed_feed_without_interest > 0",
    hold="5m",
    severity=Severity.WARNING,
    summary="{{ $value | humanize }} feeds run for NATS subscribers that are not gateways "
    + _WHERE,
    description="NATS has subscribers for these symbols, but no gateway lists them: the owner cannot hear"
    " a gateway, or another client subscribes to quotes. The feeds continue until it leaves.",
    command="qcfeed status",
)
WORKERS_RESTART = Alert(
    name="QcfeedWorkersRestart",
    expr="sum by (job, instance)"
    ' (increase(qcfeed_worker_restarts_total{reason!="requested"}[15m])) > 0',
    hold="1m",
    severity=Severity.WARNING,
    summary="A worker was started again {{ $value | humanize }} times in 15 minutes " + _WHERE,
    description="The process ended by itself, or was stuck and was killed; serve --workers has started it"
    " again. Each time, a gateway loses all its connections, and a feeder's quotes pause.",
    command="qcfeed workers",
)
TARGET_MISSING = Alert(
    name="QcfeedTargetMissing",
    expr='up{job="qcfeed"} == 0 or absent(up{job="qcfeed"})',
    hold="1m",
    severity=Severity.CRITICAL,
    summary="{{ with $labels.instance }}{{ . }}{{ else }}qcfeed{{ end }} does not answer Prometheus",
    description="The service is down, its loop is stuck, or Prometheus does not scrape it. No other"
    " alert can fire meanwhile.",
    command="qcfeed status",
)
LEDGER_INCOMPLETE = Alert(
    name="QcfeedLedgerIncomplete",
    expr="qcfeed_ledger_problems > 0",
    hold="1m",
    severity=Severity.WARNING,
    summary="qcfeed cannot see all tasks " + _WHERE,
    description="The task ledger's check of itself has failed. Until it passes again, a leak may be"
    " missing from every list of tasks and orphans, and alerts about tasks are not reliable.",
    command="qcfeed status",
)
DRILL_LEFT_ON = Alert(
    name="QcfeedDrillLeftOn",
    expr="qcfeed_drill_active == 1",
    hold="1h",
    severity=Severity.WARNING,
    summary="A drill has been running for an hour " + _WHERE,
    description="A fault was injected on purpose. When the rehearsal is over, end it with"
    " `qcfeed drill stop`.",
    command="qcfeed status",
)

ALERTS: tuple[Alert, ...] = tuple(each for each in globals().values() if type(each) is Alert)
"""All alerts, in the order above."""
