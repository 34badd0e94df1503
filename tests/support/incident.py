"""The timeline of 20 March 2024, as ../shared/incident-2024-03-20.md has it."""

from __future__ import annotations

from itertools import pairwise

from qcfeed.metrics.growth import Point

BEGAN = 1_710_892_800.0
"""2024-03-20T00:00:00Z."""
AT = BEGAN + 135 * 60
"""02:15, when it was noticed."""
GB = 1_000_000_000
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
