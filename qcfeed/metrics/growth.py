"""How fast memory and tasks grow over several windows, and how much time is left. Pure.

The incident's alert averaged over a long time and said "four hours", when the last quarter of an hour
left four minutes. So each window is fitted separately, and the shortest time to the limit comes first.
The fit is ordinary least squares, like Prometheus' ``deriv()``. A robust fit (Theil-Sen) would treat
acceleration as noise (docs/adr/0015).
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec

WINDOWS = (("5m", 300.0), ("15m", 900.0), ("1h", 3_600.0))
"""Name and seconds of each window that is fitted, besides the whole time."""
WHOLE = "whole"

MIN_SAMPLES = 3
"""Samples that a fit needs: through two points, a line always fits."""
MIN_COVERAGE = 0.5
"""Share of a window that its samples must span. Otherwise it would repeat a shorter window."""
GOOD_FIT = 0.8
"""r2 from which a line counts as a good fit."""
MAX_FITTED = 1_000
"""Points to which the whole time is fitted, at most."""
GAP_FACTOR = 3.0
"""Samples are missing between two if their distance is this many times the usual one."""


class Point(NamedTuple):
    """One sample of all values, at ``at`` (Unix seconds); None if a value was not available.

    ``memory``: bytes. ``live``, ``subscriptions``, ``orphans`` (tasks and subscriptions) and ``feeds``:
    current numbers. ``spawned``: tasks created since the process started.
    """

    at: float
    memory: float | None = None
    live: float | None = None
    subscriptions: float | None = None
    orphans: float | None = None
    feeds: float | None = None
    spawned: float | None = None


class FittedLine(NamedTuple):
    """A least-squares line. ``slope``: per second. ``r2``: share of the variance that it explains."""

    slope: float
    r2: float


class GrowthWindow(msgspec.Struct, frozen=True):
    """The growth over one window. ``seconds``: the time that its samples span.

    Rates are None if there are too few samples, and ``missing_reason`` says so. ``time_to_limit_s`` is
    None too if memory does not grow or has no limit. ``r2``: how well a line fits memory; ``tasks_r2``:
    how well a line fits the live tasks.
    """

    window: str
    samples: int
    seconds: float
    memory_bytes_per_hour: float | None = None
    r2: float | None = None
    tasks_per_minute: float | None = None
    tasks_r2: float | None = None
    spawned_per_minute: float | None = None
    time_to_limit_s: float | None = None
    missing_reason: str | None = None


class PerTask(NamedTuple):
    """``bytes`` by which memory grew per additional task, with the ``r2`` of the fit."""

    bytes: float
    r2: float


class LocationGrowth(msgspec.Struct, frozen=True):
    """The growth of one spawn location. ``live``: live tasks at the end. ``net``: change since the
    beginning. ``share``: its share of the growth of all growing locations."""

    location: str
    live: int
    net: int
    per_minute: float
    share: float


# ---------------------------------------------------------------- fits


def fit(samples: Sequence[tuple[float, float]]) -> FittedLine | None:
    """The line through (seconds, value) pairs; None for fewer than MIN_SAMPLES or a single instant.

    Constant values fit perfectly (r2 is 1). Cost: 1.3 us per sample.
    """
    if len(samples) < MIN_SAMPLES:
        return None
    # Relative to the first sample: the squares of Unix times and of bytes would lose digits.
    began, first = samples[0]
    x = [at - began for at, _ in samples]
    y = [value - first for _, value in samples]
    if min(x) == max(x):
        return None
    if min(y) == max(y):
        return FittedLine(0.0, 1.0)
    try:
        slope = statistics.linear_regression(x, y).slope
        return FittedLine(slope, min(1.0, statistics.correlation(x, y) ** 2))
    except statistics.StatisticsError:
        # The values are so close together that their squares are 0 as floats.
        return FittedLine(0.0, 1.0)


def restarts(points: Sequence[Point]) -> list[float]:
    """When the process restarted: ``spawned``, a counter, fell."""
    counted = [(point.at, point.spawned) for point in points if point.spawned is not None]
    return [at for (_, before), (at, after) in pairwise(counted) if after < before]


def since_restart(points: Sequence[Point]) -> Sequence[Point]:
    """The points since the last restart. At a restart memory and tasks fall, which is not a decrease."""
    begun = restarts(points)
    return [point for point in points if point.at >= begun[-1]] if begun else points


def gaps(points: Sequence[Point]) -> list[tuple[float, float]]:
    """Gaps in the samples: from the last sample before to the first after, in Unix seconds."""
    steps = [after.at - before.at for before, after in pairwise(points)]
    if len(steps) < MIN_SAMPLES:
        return []
    usual = statistics.median(steps)
    return [(a.at, b.at) for a, b in pairwise(points) if b.at - a.at > GAP_FACTOR * usual]


# ---------------------------------------------------------------- windows


def windows(points: Sequence[Point], at: float, limit: float | None) -> list[GrowthWindow]:
    """Every window that ends at ``at``, shortest first, the whole time last.

    ``points``: oldest first; those before the last restart are left out. ``limit``: the memory limit in
    bytes. The time to the limit counts from the last sample.
    """
    life = [point for point in since_restart(points) if point.at <= at]
    named = [
        _window(name, [p for p in life if p.at >= at - seconds], limit, seconds)
        for name, seconds in WINDOWS
    ]
    return [*named, _window(WHOLE, _even(life), limit, None)]


def _even(points: Sequence[Point]) -> Sequence[Point]:
    """Some of the points, at least 1/MAX_FITTED of their time apart, so that parts with denser samples do
    not count more. The last point is always included."""
    if len(points) <= MAX_FITTED:
        return points
    least = (points[-1].at - points[0].at) / MAX_FITTED
    kept = [points[-1]]
    for point in reversed(points):
        if kept[-1].at - point.at >= least:
            kept.append(point)
    return kept[::-1]


def _window(
    name: str, points: Sequence[Point], limit: float | None, seconds: float | None
) -> GrowthWindow:
    memory = [(p.at, p.memory) for p in points if p.memory is not None]
    live = [(p.at, p.live) for p in points if p.live is not None]
    count = max(len(memory), len(live))
    spans = points[-1].at - points[0].at if points else 0.0
    lacks = _lacks(count, spans, seconds)
    if lacks is not None:
        return GrowthWindow(name, count, spans, missing_reason=lacks)
    grown, tasks = fit(memory), fit(live)
    return GrowthWindow(
        name,
        count,
        spans,
        memory_bytes_per_hour=None if grown is None else grown.slope * 3_600,
        r2=None if grown is None else grown.r2,
        tasks_per_minute=None if tasks is None else tasks.slope * 60,
        tasks_r2=None if tasks is None else tasks.r2,
        spawned_per_minute=_per_minute(
            [(p.at, p.spawned) for p in points if p.spawned is not None]
        ),
        time_to_limit_s=None if grown is None else time_to(limit, memory[-1][1], grown.slope),
    )


def _lacks(count: int, spans: float, seconds: float | None) -> str | None:
    if count < MIN_SAMPLES:
        return f"{count} of at least {MIN_SAMPLES} samples"
    if seconds is not None and spans < MIN_COVERAGE * seconds:
        return f"its samples span only {spans:.0f} s"
    return "all samples have the same time" if spans <= 0 else None


def _per_minute(counted: Sequence[tuple[float, float]]) -> float | None:
    if len(counted) < 2:
        return None
    (began, before), (ended, after) = counted[0], counted[-1]
    return (after - before) / (ended - began) * 60 if ended > began else None


def time_to(limit: float | None, value: float, slope: float) -> float | None:
    """Seconds until ``value`` reaches ``limit`` at ``slope`` per second; None if it never does."""
    if limit is None:
        return None
    if value >= limit:
        return 0.0
    return (limit - value) / slope if slope > 0 else None


def per_task(points: Sequence[Point]) -> PerTask | None:
    """The memory that each additional task took; None if memory did not grow with the tasks."""
    both = [
        (point.live, point.memory)
        for point in since_restart(points)
        if point.live is not None and point.memory is not None
    ]
    line = fit(both)
    return PerTask(*line) if line is not None and line.slope > 0 else None


def by_location(series: Mapping[str, Sequence[tuple[float, float]]]) -> list[LocationGrowth]:
    """Net growth by spawn location, strongest first. ``series``: (Unix seconds, live tasks) of each.

    A location without a sample at the very beginning or end had no live tasks then.
    """
    times = [at for samples in series.values() for at, _ in samples]
    if not times:
        return []
    began, ended = min(times), max(times)
    minutes = (ended - began) / 60
    counted = {name: _ends(samples, began, ended) for name, samples in series.items() if samples}
    grown = sum(max(0.0, after - before) for before, after in counted.values())
    rows = [
        LocationGrowth(
            name,
            live=round(after),
            net=round(after - before),
            per_minute=(after - before) / minutes if minutes else 0.0,
            share=max(0.0, after - before) / grown if grown else 0.0,
        )
        for name, (before, after) in counted.items()
    ]
    return sorted(rows, key=lambda row: (-row.net, -row.live, row.location))


def _ends(
    samples: Sequence[tuple[float, float]], began: float, ended: float
) -> tuple[float, float]:
    (first, before), (last, after) = samples[0], samples[-1]
    return before if first == began else 0.0, after if last == ended else 0.0
