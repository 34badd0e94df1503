"""The timeline of 20 March 2024, as ../shared/incident-2024-03-20.md has it."""

from __future__ import annotations

from itertools import pairwise

from qcfeed.metrics.growth import Point

BEGAN = 1_710_892_800.0
"""2024-03-20T00:00:00Z."""
AT = BEGAN + 135 * 60
"""02:15, when it was noticed."""
GB = 1 << 30
"""A container counts in powers of two, whatever its dashboard calls them."""
LIMIT = 16 * GB
ALERT_SAID = 450e6
"""Bytes an hour."""

ROWS = (
    (0, 2.1, 1_247, 342),
    (60, 3.8, 8_923, 2_891),
    (120, 7.2, 24_567, 8_234),
    (135, 14.2, 47_829, 15_892),
)
"""Minutes, GB, tasks, subscriptions."""


def points(every: float = 15.0) -> list[Point]:
    """The four rows, and points on straight lines between them."""
    made = []
    for (begin, *before), (end, *after) in pairwise(ROWS):
        steps = round((end - begin) * 60 / every)
        for step in range(steps):
            share = step / steps
            memory, live, subscriptions = (
                a + (b - a) * share for a, b in zip(before, after, strict=True)
            )
            at = BEGAN + begin * 60 + step * every
            made.append(Point(at, memory * GB, live, subscriptions))
    _, memory, live, subscriptions = ROWS[-1]
    return [*made, Point(AT, memory * GB, live, subscriptions)]


def series(
    instance: str = "market-data-prod-1:8006", *, shift: float = 0.0
) -> dict[str, list[tuple[float, float]]]:
    """The timeline as samples of qcfeed's metrics, for Prometheus; ``shift`` seconds later."""
    labels = f'instance="{instance}",job="qcfeed"'
    every = [point._replace(at=point.at + shift) for point in points()]
    live = [(p.at, p.live or 0.0) for p in every]
    return {
        f"process_resident_memory_bytes{{{labels}}}": [(p.at, p.memory or 0.0) for p in every],
        f"qcfeed_memory_limit_bytes{{{labels}}}": [(p.at, float(LIMIT)) for p in every],
        f'qcfeed_tasks_live{{{labels},location="market/src/feed.rs:83"}}': [
            (at, count - 247) for at, count in live
        ],
        f'qcfeed_tasks_live{{{labels},location="market/src/main.rs:12"}}': [
            (at, 247.0) for at, _ in live
        ],
        f"qcfeed_subscriptions_active{{{labels}}}": [(p.at, p.subscriptions or 0.0) for p in every],
    }
