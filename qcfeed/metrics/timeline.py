"""The history of one service, from Prometheus or from the service itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from qcfeed.metrics.growth import Point

STALE_SAMPLE_S = 120.0
"""Age in seconds from which an old last sample is mentioned."""


class Timeline(NamedTuple):
    """The history of one service until ``at``. ``points``: oldest first. ``limit``: in bytes.

    ``locations``: (Unix seconds, live tasks) by spawn location, since the last restart.
    ``missing``: what is not available or may mislead, one sentence each.
    """

    at: float
    source: str
    target: str
    points: Sequence[Point]
    limit: float | None
    locations: Mapping[str, Sequence[tuple[float, float]]]
    missing: Sequence[str]


def caveats(points: Sequence[Point], limit: float | None, end: float) -> list[str]:
    """What is missing or makes the result less reliable, one sentence each. ``points`` is not empty."""
    notes = []
    if limit is None:
        notes.append(
            "the memory limit is not known, so the time left is not either; give it with --memory-limit"
        )
    if not any(point.memory is not None for point in points):
        notes.append("no samples of memory")
    if not any(point.live is not None for point in points):
        notes.append("no samples of live tasks")
    age = end - points[-1].at
    if age > STALE_SAMPLE_S:
        notes.append(f"the last sample is {age / 60:,.0f} min old: is the service still scraped?")
    return notes
