"""Every recording rule: series for alerts and panels, and the metric names of the old dashboard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording rule. ``help``: the meaning of the recorded series."""

    name: str
    expr: str
    help: str
    labels: Mapping[str, str] = field(default_factory=dict)


_LIVE = "sum by (job, instance) (qcfeed_tasks_live)"
_EXPLAINED = 'sum by (job, instance) (qcfeed_feeds{upstream!~"closed|backoff"})'
_UNEXPLAINED = f"{_LIVE} - ({_EXPLAINED} or 0 * {_LIVE})"
"""Live tasks that feeds do not explain. A feed has one task, or none while it is closed or backs off, so
demand does not explain more tasks than that. ``or 0 * ...`` stands in for a program without feeds: a difference
with an empty vector would be empty."""


def _one_life(window: str) -> str:
    """Leave out windows in which the process restarted: there a fall is not a decrease."""
    return f"unless on (job, instance) changes(process_start_time_seconds[{window}]) > 0"


def _tasks_per_minute(window: str) -> Recording:
    # The sum first, then its slope: a location that gets a label of its own later is not growth.
    return Recording(
        "qcfeed:unexplained_tasks_per_minute",
        f"60 * deriv(({_UNEXPLAINED})[{window}:15s]) {_one_life(window)}",
        "Growth of live tasks beyond one per feed, per minute, by least squares over the window.",
        {"window": window},
    )


def _seconds_to_limit(window: str, half: str) -> Recording:
    # The second condition requires samples in the first half of the window. Otherwise a window of an hour
    # would show the rate of the few minutes since the start.
    resident = "process_resident_memory_bytes"
    return Recording(
        "qcfeed:memory_seconds_to_limit",
        f"(qcfeed_memory_limit_bytes - {resident}) / (deriv({resident}[{window}]) > 0)"
        f" and count_over_time({resident}[{half}] offset {half}) > 0 {_one_life(window)}",
        "Time until memory reaches its limit at the growth rate of the window; absent if memory does"
        " not grow, and while samples span less than half of the window.",
        {"window": window},
    )


RECORDINGS: tuple[Recording, ...] = (
    _tasks_per_minute("5m"),
    _tasks_per_minute("30m"),
    _seconds_to_limit("5m", half="150s"),
    _seconds_to_limit("15m", half="450s"),
    _seconds_to_limit("1h", half="30m"),
    Recording(
        "market_feed_subscriptions_active",
        "qcfeed_subscriptions_active",
        "Subscriptions, under the name of the incident's dashboard.",
    ),
    Recording(
        "tokio_spawned_tasks_total",
        "sum without (location) (qcfeed_tasks_spawned_total)",
        "Tasks created, under the name of the incident's dashboard.",
    ),
    Recording(
        "tokio_completed_tasks_total",
        "sum without (location) (qcfeed_tasks_finished_total) + sum without (location)"
        " (qcfeed_tasks_cancelled_total) + sum without (location) (qcfeed_tasks_failed_total)"
        " + sum without (location) (qcfeed_tasks_destroyed_total)",
        "Tasks that ended in any way, under the name of the incident's dashboard.",
    ),
)
