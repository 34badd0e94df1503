"""Panels of any asyncio program: memory, tasks, the loop."""

from __future__ import annotations

from qcfeed.metrics.catalog import alerts
from qcfeed.metrics.catalog.panel import Panel, PanelRow, Query, of, rate
from qcfeed.model import thresholds

MEMORY = PanelRow(
    "Memory",
    (
        Panel(
            "Memory and its limit",
            "At the limit, the kernel kills the process.",
            "bytes",
            (
                Query(of("process_resident_memory_bytes"), "{{instance}} resident"),
                Query(of("qcfeed_memory_limit_bytes"), "{{instance}} limit"),
            ),
            alerts=(alerts.MEMORY_HIGH,),
        ),
        Panel(
            "Time to the limit, by window",
            "At the growth rate of the last 5 minutes, 15 minutes and hour. The shortest time counts.",
            "s",
            (Query(of("qcfeed:memory_seconds_to_limit"), "{{instance}} {{window}}"),),
            warn=thresholds.MEMORY_LEFT_S,
            bad=thresholds.MEMORY_LEFT_URGENT_S,
            alerts=(alerts.MEMORY_RUNS_OUT, alerts.MEMORY_RUNS_OUT_SOON),
        ),
    ),
)

TASKS = PanelRow(
    "Tasks",
    (
        Panel(
            "Live tasks, by spawn location",
            "The ten locations with the most live tasks.",
            "short",
            (Query(f"topk(10, sum by (location) ({of('qcfeed_tasks_live')}))", "{{location}}"),),
        ),
        Panel(
            "Growth that no feed explains",
            "Tasks per minute beyond one per feed, over 5 and 30 minutes. If both stay up, it is a leak.",
            "short",
            (Query(of("qcfeed:unexplained_tasks_per_minute"), "{{instance}} {{window}}"),),
            warn=1,
            bad=5,
            alerts=(alerts.TASK_GROWTH,),
        ),
        Panel(
            "Tasks spawned and ended per second",
            "Under a stable load the two lines coincide.",
            "ops",
            (
                Query(rate("qcfeed_tasks_spawned_total"), "{{instance}} spawned"),
                Query(
                    " + ".join(
                        rate(f"qcfeed_tasks_{outcome}_total")
                        for outcome in ("finished", "cancelled", "failed", "destroyed")
                    ),
                    "{{instance}} ended",
                ),
            ),
            alerts=(alerts.TASK_GROWTH,),
        ),
        Panel(
            "Orphans, by spawn location",
            "Live tasks and subscriptions whose owner is gone.",
            "short",
            (
                Query(f"sum by (location) ({of('qcfeed_tasks_orphaned')}) > 0", "{{location}}"),
                Query(f"{of('qcfeed_subscriptions_orphaned')} > 0", "{{instance}} subscriptions"),
            ),
            warn=1,
            bad=100,
            alerts=(alerts.ORPHANED_TASKS, alerts.ORPHANED_SUBSCRIPTIONS),
        ),
        Panel(
            "Tasks that failed, or were destroyed pending",
            "Per second, by spawn location.",
            "ops",
            (
                Query(
                    f"{rate('qcfeed_tasks_failed_total', 'location')} > 0", "{{location}} failed"
                ),
                Query(
                    f"{rate('qcfeed_tasks_destroyed_total', 'location')} > 0",
                    "{{location}} destroyed",
                ),
            ),
        ),
        Panel(
            "Untracked tasks",
            "Live tasks that the ledger did not record: created before it, or around the task factory.",
            "short",
            (Query(of("qcfeed_tasks_untracked")),),
        ),
        Panel(
            "Problems of the task ledger",
            "Above 0, the ledger does not see all tasks, and the other task panels show too few.",
            "short",
            (Query(of("qcfeed_ledger_problems")),),
            warn=1,
            bad=1,
            alerts=(alerts.LEDGER_INCOMPLETE,),
        ),
    ),
)

PROCESS = PanelRow(
    "Loop and process",
    (
        Panel(
            "Share of the time for which the loop was late",
            "Every quote is delayed by as much.",
            "percentunit",
            (Query(rate("qcfeed_loop_lag_seconds_sum")),),
            warn=0.05,
            bad=0.1,
            alerts=(alerts.LOOP_LAG,),
        ),
        Panel(
            "Loop lag, 99th percentile",
            "Delay of a timer in the loop, observed 20 times per second.",
            "s",
            (
                Query(
                    "histogram_quantile(0.99, "
                    + rate("qcfeed_loop_lag_seconds_bucket", "instance, le")
                    + ")"
                ),
            ),
            alerts=(alerts.LOOP_LAG,),
        ),
        Panel(
            "Garbage collection pauses",
            "Share of the time, by generation.",
            "percentunit",
            (Query(rate("qcfeed_gc_pause_seconds_total", "generation"), "{{generation}}"),),
        ),
        Panel(
            "Processor",
            "Share of one core. The loop cannot use more than one core.",
            "percentunit",
            (Query(rate("process_cpu_seconds_total")),),
            warn=0.7,
            bad=0.9,
        ),
        Panel(
            "Drill",
            "1 while a fault is injected on purpose.",
            "short",
            (Query(of("qcfeed_drill_active")),),
            warn=1,
            bad=1,
            alerts=(alerts.DRILL_LEFT_ON,),
        ),
    ),
)
