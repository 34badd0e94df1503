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
_EXPLAINED = 'sum by (job, instance) (qcfeed_feeds{upstream!~"closed|backoff"})'
_UNEXPLAINED = f"{_LIVE} - ({_EXPLAINED} or 0 * {_LIVE})"
"""A feed has one task, or none while it is closed or waits to try again; what goes beyond does not
come from demand."""


def _one_life(window: str) -> str:
    """Not over a window in which the process began anew: shorter ones judge a young process."""
    return f"unless on (job, instance) changes(process_start_time_seconds[{window}]) > 0"


def _tasks_per_minute(window: str) -> Recording:
    # A subquery of the sum: a location that gets a label of its own must not look like growth.
    return Recording(
        "qcfeed:unexplained_tasks_per_minute",
        f"60 * deriv(({_UNEXPLAINED})[{window}:15s]) {_one_life(window)}",
        "Growth of live tasks beyond one a feed, least squares over the window.",
        {"window": window},
    )


def _seconds_to_limit(window: str, half: str) -> Recording:
    resident = "process_resident_memory_bytes"
    return Recording(
        "qcfeed:memory_seconds_to_limit",
        f"(qcfeed_memory_limit_bytes - {resident}) / (deriv({resident}[{window}]) > 0)"
        f" and count_over_time({resident}[{half}] offset {half}) > 0 {_one_life(window)}",
        "Time until memory reaches its limit, as it grew over the window; absent where it does not"
        " grow, and while samples span less than half of the window.",
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
