"""What is known of one service over a time, whoever remembers it: Prometheus, or the service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from qcfeed.metrics.growth import Point

STALE_SAMPLE_S = 120.0
"""Seconds from which the last sample's age is worth a word."""


class Timeline(NamedTuple):
    """What is known of one service until ``at``. ``points`` oldest first; ``limit`` in bytes.

    ``locations``: (Unix seconds, live tasks) by spawn location, since the last restart.
    ``missing``: what could not be had, or may mislead, a sentence each.
    """

    at: float
    source: str
    target: str
    points: Sequence[Point]
    limit: float | None
    locations: Mapping[str, Sequence[tuple[float, float]]]
    missing: Sequence[str]


def caveats(points: Sequence[Point], limit: float | None, end: float) -> list[str]:
    """What is not there, or makes the answer less than it seems; ``points`` has one at least."""
    said = []
    if limit is None:
        said.append("no memory limit is known, so neither is how long is left; --limit says it")
    if not any(point.memory is not None for point in points):
        said.append("no samples of memory")
    if not any(point.live is not None for point in points):
        said.append("no samples of live tasks")
    age = end - points[-1].at
    if age > STALE_SAMPLE_S:
        said.append(f"the last sample is {age / 60:,.0f} min old: is it still scraped?")
    return said
