"""Every recording rule: what alerts and panels ask for by name, and the old dashboard's names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording rule. ``help``: what the recorded series says."""

    name: str
    expr: str
    help: str
    labels: Mapping[str, str] = field(default_factory=dict)


_LIVE = "sum by (job, instance) (qcfeed_tasks_live)"
_UNEXPLAINED = f"{_LIVE} - (sum by (job, instance) (qcfeed_feeds) or 0 * {_LIVE})"
"""A feed has at most one task, so what goes beyond does not come from demand."""


def _tasks_per_minute(window: str) -> Recording:
    # A subquery, so that a location that gets its own label changes nothing. A process younger than
    # the window is judged by shorter ones: the one before it ended with other figures.
    young = f"(time() - process_start_time_seconds < {_SECONDS[window]})"
    return Recording(
        "qcfeed:unexplained_tasks_per_minute",
        f"60 * deriv(({_UNEXPLAINED})[{window}:15s]) unless on (job, instance) {young}",
        "Growth of live tasks beyond one a feed, least squares over the window.",
        {"window": window},
    )


def _seconds_to_limit(window: str) -> Recording:
    half = f"{_SECONDS[window] // 2}s"
    return Recording(
        "qcfeed:memory_seconds_to_limit",
        "(qcfeed_memory_limit_bytes - process_resident_memory_bytes)"
        f" / (deriv(process_resident_memory_bytes[{window}]) > 0)"
        f" and count_over_time(process_resident_memory_bytes[{half}] offset {half}) > 0",
        "Time until memory reaches its limit, as it grew over the window; absent where it does not"
        " grow, and where samples span less than half of the window.",
        {"window": window},
    )


_SECONDS = {"5m": 300, "15m": 900, "30m": 1_800, "1h": 3_600}

RECORDINGS: tuple[Recording, ...] = (
    _tasks_per_minute("5m"),
    _tasks_per_minute("30m"),
    _seconds_to_limit("5m"),
    _seconds_to_limit("15m"),
    _seconds_to_limit("1h"),
    Recording(
        "market_feed_subscriptions_active",
        "qcfeed_subscriptions_active",
        "The incident dashboard's name for subscriptions held.",
    ),
    Recording(
        "tokio_spawned_tasks_total",
        "sum without (location) (qcfeed_tasks_spawned_total)",
        "The incident dashboard's name for tasks created.",
    ),
    Recording(
        "tokio_completed_tasks_total",
        "sum without (location) (qcfeed_tasks_finished_total) + sum without (location)"
        " (qcfeed_tasks_cancelled_total) + sum without (location) (qcfeed_tasks_failed_total)"
        " + sum without (location) (qcfeed_tasks_destroyed_total)",
        "The incident dashboard's name for tasks that ended, in whatever way.",
    ),
)
