"""Every panel of the dashboard, by row. The first row shows whether all is well."""

from __future__ import annotations

from qcfeed.metrics.catalog import alerts
from qcfeed.metrics.catalog.cluster_panels import CLUSTER
from qcfeed.metrics.catalog.feed_panels import QUOTES, SUBSCRIBERS
from qcfeed.metrics.catalog.panel import Panel, PanelRow, Query, of
from qcfeed.metrics.catalog.process_panels import MEMORY, PROCESS, TASKS
from qcfeed.model import thresholds

_FIRING = 'alertname=~"Qcfeed.*", alertstate="firing"'
_NOT_LIVE = 'band!="live"'

GLANCE = PanelRow(
    "At a glance",
    (
        Panel(
            "Alerts firing",
            "Alerts of qcfeed's own rules.",
            "short",
            (
                Query(
                    # No data, not 0, if no rules are loaded: each evaluation writes this series.
                    f"sum({of('ALERTS', _FIRING)}) or 0 * sum({of('tokio_spawned_tasks_total')})",
                    "firing",
                ),
            ),
            warn=1,
            bad=2,
            figure=True,
        ),
        Panel(
            "Memory used",
            "Resident memory as a share of the memory limit.",
            "percentunit",
            (
                Query(
                    f"max({of('process_resident_memory_bytes')} / {of('qcfeed_memory_limit_bytes')})",
                    "used",
                ),
            ),
            warn=0.7,
            bad=thresholds.MEMORY_SHARE,
            alerts=(alerts.MEMORY_HIGH,),
            figure=True,
        ),
        Panel(
            "Time to the memory limit",
            "The shortest time of all windows; none while memory does not grow.",
            "s",
            (Query(f"min({of('qcfeed:memory_seconds_to_limit')})", "left"),),
            warn=thresholds.MEMORY_LEFT_S,
            bad=thresholds.MEMORY_LEFT_URGENT_S,
            alerts=(alerts.MEMORY_RUNS_OUT, alerts.MEMORY_RUNS_OUT_SOON),
            figure=True,
            empty="none",
        ),
        Panel(
            "Orphans",
            "Live tasks and subscriptions whose owner is gone. There should be none.",
            "short",
            (
                Query(
                    # A program that uses attach() has no subscriptions, but may have orphaned tasks.
                    f"sum({of('qcfeed_tasks_orphaned')})"
                    f" + (sum({of('qcfeed_subscriptions_orphaned')}) or vector(0))",
                    "orphans",
                ),
            ),
            warn=1,
            bad=100,
            alerts=(alerts.ORPHANED_TASKS, alerts.ORPHANED_SUBSCRIPTIONS),
            figure=True,
        ),
        Panel(
            "Symbols not live",
            "Share of the symbols with subscribers whose last quote is stale, very stale or dead.",
            "percentunit",
            (
                Query(
                    f"sum({of('qcfeed_symbols', _NOT_LIVE)}) / (sum({of('qcfeed_symbols')}) > 0)",
                    "not live",
                ),
            ),
            warn=0.02,
            bad=0.1,
            alerts=(alerts.QUOTES_STALE, alerts.QUOTES_DEAD),
            figure=True,
        ),
        Panel(
            "Instances up",
            "Share of the known instances that Prometheus can scrape.",
            "percentunit",
            (Query('avg(up{job="qcfeed", instance=~"$instance"})', "up"),),
            warn=0.999,
            bad=0.5,
            alerts=(alerts.TARGET_MISSING,),
            figure=True,
        ),
    ),
)

ROWS = (GLANCE, MEMORY, TASKS, QUOTES, SUBSCRIBERS, PROCESS, CLUSTER)
"""The dashboard, from the top."""
