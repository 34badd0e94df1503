"""Every alert: when it fires, how bad that is, what it means and what to type first.

Levels say that something is wrong, trends that it will be. A trend is asked over more than one
window, and says so in its recording (recordings.py). Expressions keep ``job`` and ``instance``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from qcfeed.model import thresholds

RUNBOOKS = "https://github.com/qcfeed/qcfeed/blob/main/runbooks"
"""Where the pages are; one of an alert's name for each."""


class Severity(StrEnum):
    """Whether somebody is woken."""

    CRITICAL = "critical"
    """Now: subscribers feel it, or will within the hour."""
    WARNING = "warning"
    """Today: it becomes critical when it is left alone."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. ``hold``: for how long ``expr`` must be so ("0s" for not at all).

    ``summary`` and ``description`` are Prometheus templates; ``command`` is what to type first.
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
        """The page's file name."""
        return f"{self.name}.md"


_SHUT = "unless on (job, instance) (min_over_time(qcfeed_market_open[10m]) == 0)"
"""Not while the market is closed, nor in its first ten minutes, when quotes are of the day before."""
_WHERE = "on {{ $labels.instance }}"

TASK_GROWTH = Alert(
    name="QcfeedTaskGrowth",
    expr="min by (job, instance) (qcfeed:unexplained_tasks_per_minute) > 5",
    hold="5m",
    severity=Severity.WARNING,
    summary="Tasks that no feed explains grow by {{ $value | humanize }} a minute " + _WHERE,
    description="Live tasks beyond one a feed grow over both 5 and 30 minutes. A feed has at most one"
    " task, so demand does not explain it: something spawns tasks that do not end.",
    command="qcfeed tasks --window 30s",
)
ORPHANED_TASKS = Alert(
    name="QcfeedOrphanedTasks",
    expr="sum by (job, instance) (qcfeed_tasks_orphaned) > 0",
    hold="2m",
    severity=Severity.WARNING,
    summary="{{ $value | humanize }} tasks have no owner any more " + _WHERE,
    description="Tasks are alive whose subscriber or feed is gone. A sound service has none; they can"
    " be cancelled without touching anything else.",
    command="qcfeed orphans",
)
ORPHANED_SUBSCRIPTIONS = Alert(
    name="QcfeedOrphanedSubscriptions",
    expr="qcfeed_subscriptions_orphaned > 0",
    hold="2m",
    severity=Severity.WARNING,
    summary="{{ $value | humanize }} subscriptions have no connection any more " + _WHERE,
    description="They keep feeds open that nobody reads. A sound service has none.",
    command="qcfeed orphans",
)
MEMORY_RUNS_OUT = Alert(
    name="QcfeedMemoryRunsOut",
    expr='min by (job, instance) (qcfeed:memory_seconds_to_limit{window=~"15m|1h"})'
    f" < {thresholds.MEMORY_LEFT_S}",
    hold="5m",
    severity=Severity.WARNING,
    summary="Memory reaches its limit in {{ $value | humanizeDuration }} " + _WHERE,
    description="As memory grew over the last 15 minutes or the last hour, whichever is worse.",
    command="qcfeed growth",
)
MEMORY_RUNS_OUT_SOON = Alert(
    name="QcfeedMemoryRunsOutSoon",
    expr='min by (job, instance) (qcfeed:memory_seconds_to_limit{window=~"5m|15m"})'
    f" < {thresholds.MEMORY_LEFT_URGENT_S}",
    hold="1m",
    severity=Severity.CRITICAL,
    summary="Memory reaches its limit in {{ $value | humanizeDuration }} " + _WHERE,
    description="As memory grew over the last 5 or 15 minutes, whichever is worse; then the kernel ends"
    " the process.",
    command="qcfeed diagnose",
)
MEMORY_HIGH = Alert(
    name="QcfeedMemoryHigh",
    expr=f"process_resident_memory_bytes / qcfeed_memory_limit_bytes > {thresholds.MEMORY_SHARE}",
    hold="2m",
    severity=Severity.CRITICAL,
    summary="Memory stands at {{ $value | humanizePercentage }} of its limit " + _WHERE,
    description="Near the limit the kernel may end the process at any allocation.",
    command="qcfeed diagnose",
)
QUOTES_STALE = Alert(
    name="QcfeedQuotesStale",
    expr='sum by (job, instance) (qcfeed_symbols{band!="live"})'
    f" / sum by (job, instance) (qcfeed_symbols) > 0.1 {_SHUT}",
    hold="2m",
    severity=Severity.WARNING,
    summary="{{ $value | humanizePercentage }} of the symbols are stale " + _WHERE,
    description="Their last quote is older than --stale-after, though the market is open.",
    command="qcfeed feeds",
)
QUOTES_DEAD = Alert(
    name="QcfeedQuotesDead",
    expr=f'sum by (job, instance) (qcfeed_symbols{{band="dead"}}) > 0 {_SHUT}',
    hold="5m",
    severity=Severity.CRITICAL,
    summary="{{ $value | humanize }} symbols are dead " + _WHERE,
    description="Subscribers hold them and have had no quote for --dead-after, though the market is open.",
    command="qcfeed feeds",
)
LOOP_LAG = Alert(
    name="QcfeedLoopLag",
    expr="rate(qcfeed_loop_lag_seconds_sum[5m]) > 0.1",
    hold="5m",
    severity=Severity.WARNING,
    summary="The loop was late for {{ $value | humanizePercentage }} of the time " + _WHERE,
    description="Something computes or blocks in the service's loop; every quote is late by as much.",
    command="qcfeed tasks findings",
)
SLOW_CONSUMERS = Alert(
    name="QcfeedSlowConsumers",
    expr="qcfeed_connections_slow / qcfeed_connections > 0.1"
    " or increase(qcfeed_disconnected_slow_total[15m]) > 10",
    hold="5m",
    severity=Severity.WARNING,
    summary="Subscribers read too slowly " + _WHERE,
    description="More than a tenth of the connections take nothing just now, or more than ten were"
    " disconnected for it in a quarter of an hour.",
    command="qcfeed status",
)
UPSTREAM_DOWN = Alert(
    name="QcfeedUpstreamDown",
    expr="qcfeed_upstream_connected == 0 and on (job, instance) qcfeed_symbols_active > 0",
    hold="1m",
    severity=Severity.CRITICAL,
    summary="The upstream is not there " + _WHERE,
    description="Symbols are subscribed to, and no quotes can come. Feeds try again by themselves.",
    command="qcfeed status",
)
TARGET_MISSING = Alert(
    name="QcfeedTargetMissing",
    expr='up{job="qcfeed"} == 0 or absent(up{job="qcfeed"})',
    hold="1m",
    severity=Severity.CRITICAL,
    summary="{{ with $labels.instance }}{{ . }}{{ else }}qcfeed{{ end }} does not answer Prometheus",
    description="It is down, its loop is stuck, or nobody scrapes it: every other alert is blind.",
    command="qcfeed status",
)
LEDGER_INCOMPLETE = Alert(
    name="QcfeedLedgerIncomplete",
    expr="qcfeed_ledger_problems > 0",
    hold="1m",
    severity=Severity.WARNING,
    summary="qcfeed cannot see all tasks " + _WHERE,
    description="The task ledger checks itself, and the check has failed. Until it holds again, a leak"
    " may show in no list of tasks or orphans, and no alert about tasks can be relied on.",
    command="qcfeed status",
)
DRILL_LEFT_ON = Alert(
    name="QcfeedDrillLeftOn",
    expr="qcfeed_drill_active == 1",
    hold="1h",
    severity=Severity.WARNING,
    summary="A drill has been on for an hour " + _WHERE,
    description="The service is broken on purpose (serve --drill). Start it without when you are done.",
    command="qcfeed status",
)

ALERTS: tuple[Alert, ...] = tuple(each for each in globals().values() if type(each) is Alert)
"""All of them, in the order above."""
