"""Judges the windows of growth.py together: which is most urgent, and whether growth accelerates or lasts.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from qcfeed.metrics.growth import GOOD_FIT, MIN_SAMPLES, GrowthWindow, Point, since_restart, windows

ACCELERATION = 1.5
"""Growth accelerates if a shorter window's rate is this many times that of the longest window."""
SUSTAINED_SHARE = 0.05
"""Growth below this share of the initial number counts as fluctuation."""


def worst(found: Sequence[GrowthWindow]) -> GrowthWindow | None:
    """The window with the shortest time to the limit; None if no window reaches it."""
    first = worst_first(found)[0] if found else None
    return first if first is not None and first.time_to_limit_s is not None else None


def worst_first(found: Sequence[GrowthWindow]) -> list[GrowthWindow]:
    """The windows by time to the limit, shortest first; if times agree in three digits, the longest
    window first. Windows that never reach the limit come last, fastest growth first."""
    return sorted(found, key=_urgency)


def _urgency(window: GrowthWindow) -> tuple[float, float, float]:
    left = window.time_to_limit_s
    rate = window.memory_bytes_per_hour
    return (
        float("inf") if left is None else float(f"{left:.3g}"),
        -window.seconds if left is not None else 0.0,
        float("inf") if rate is None else -rate,
    )


def accelerating(found: Sequence[GrowthWindow]) -> bool:
    """Whether a shorter window with a good fit grows clearly faster than the longest one with a rate."""
    rated = [
        (each.memory_bytes_per_hour, each.r2)
        for each in sorted(found, key=lambda each: each.seconds)
        if each.memory_bytes_per_hour is not None and each.r2 is not None
    ]
    if not rated:
        return False
    longest = max(0.0, rated[-1][0])
    return any(
        rate > 0 and rate >= ACCELERATION * longest and r2 >= GOOD_FIT for rate, r2 in rated[:-1]
    )


def reaching_limit(found: Sequence[GrowthWindow], within: float) -> GrowthWindow | None:
    """The window with a good fit that reaches the limit first; None if that takes more than ``within`` seconds."""
    fitting = [each for each in found if each.time_to_limit_s == 0 or (each.r2 or 0.0) >= GOOD_FIT]
    first = worst(fitting)
    return first if first is not None and (first.time_to_limit_s or 0.0) <= within else None


def sustained(points: Sequence[Point], at: float) -> bool:
    """Whether live tasks that no feed explains grow steadily.

    That is: in every window that has a rate, at least two, with good fits, and by at least
    SUSTAINED_SHARE of the initial number. A feed has at most one task, so demand does not explain more.
    """
    beyond = [
        p if p.live is None else p._replace(live=p.live - (p.feeds or 0.0))
        for p in since_restart(points)
    ]
    rated = [each for each in windows(beyond, at, None) if each.tasks_per_minute is not None]
    if len(rated) < 2:
        return False
    live = [point.live for point in beyond if point.live is not None]
    steady = all((w.tasks_per_minute or 0.0) > 0 and (w.tasks_r2 or 0.0) >= GOOD_FIT for w in rated)
    return steady and live[-1] - live[0] >= max(MIN_SAMPLES, SUSTAINED_SHARE * live[0])
