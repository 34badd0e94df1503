"""Panels of any asyncio program: memory, tasks, the loop."""

from __future__ import annotations

from qcfeed.metrics.catalog import alerts
from qcfeed.metrics.catalog.panel import Panel, Query, Row, of, rate
from qcfeed.model import thresholds

MEMORY = Row(
    "Memory",
    (
        Panel(
            "Memory and its limit",
            "At its limit the kernel ends the process.",
            "bytes",
            (
                Query(of("process_resident_memory_bytes"), "{{instance}} resident"),
                Query(of("qcfeed_memory_limit_bytes"), "{{instance}} limit"),
            ),
            alerts=(alerts.MEMORY_HIGH,),
        ),
        Panel(
            "Time to the limit, by window",
            "As memory grew over 5 minutes, 15 minutes and an hour; the shorter time wins.",
            "s",
            (Query(of("qcfeed:memory_seconds_to_limit"), "{{instance}} {{window}}"),),
            warn=thresholds.MEMORY_LEFT_S,
            bad=thresholds.MEMORY_LEFT_URGENT_S,
            alerts=(alerts.MEMORY_RUNS_OUT, alerts.MEMORY_RUNS_OUT_SOON),
        ),
    ),
)

TASKS = Row(
    "Tasks",
    (
        Panel(
            "Live tasks, by spawn location",
            "The ten locations with the most.",
            "short",
            (Query(f"topk(10, sum by (location) ({of('qcfeed_tasks_live')}))", "{{location}}"),),
        ),
        Panel(
            "Growth that no feed explains",
            "Tasks a minute beyond one a feed, over 5 and over 30 minutes: a leak, when both stay up.",
            "short",
            (Query(of("qcfeed:unexplained_tasks_per_minute"), "{{instance}} {{window}}"),),
            warn=1,
            bad=5,
            alerts=(alerts.TASK_GROWTH,),
        ),
        Panel(
            "Tasks spawned and ended a second",
            "Under a stable load the two lie upon each other.",
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
            "Tasks whose owner is gone.",
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
            "A second, by spawn location.",
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
            "Alive, and not recorded by the ledger: created before it, or around the task factory.",
            "short",
            (Query(of("qcfeed_tasks_untracked")),),
        ),
        Panel(
            "Problems of the task ledger",
            "More than none: not all tasks can be seen, and the other panels of tasks show too few.",
            "short",
            (Query(of("qcfeed_ledger_problems")),),
            warn=1,
            bad=1,
            alerts=(alerts.LEDGER_INCOMPLETE,),
        ),
    ),
)

PROCESS = Row(
    "Loop and process",
    (
        Panel(
            "Share of the time for which the loop was late",
            "Every quote is late by as much.",
            "percentunit",
            (Query(rate("qcfeed_loop_lag_seconds_sum")),),
            warn=0.05,
            bad=0.1,
            alerts=(alerts.LOOP_LAG,),
        ),
        Panel(
            "Loop lag, 99th percentile",
            "Of its beats, twenty a second.",
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
            "Pauses of the garbage collector",
            "Share of the time, by generation.",
            "percentunit",
            (Query(rate("qcfeed_gc_pause_seconds_total", "generation"), "{{generation}}"),),
        ),
        Panel(
            "Processor",
            "Of one core; a loop that has all of it has no more to give.",
            "percentunit",
            (Query(rate("process_cpu_seconds_total")),),
            warn=0.7,
            bad=0.9,
        ),
        Panel(
            "Drill",
            "1 while the service is broken on purpose.",
            "short",
            (Query(of("qcfeed_drill_active")),),
            warn=1,
            bad=1,
            alerts=(alerts.DRILL_LEFT_ON,),
        ),
    ),
)
