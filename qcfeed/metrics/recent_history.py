"""The last hour as the process itself remembers it: for when there is no Prometheus."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from qcfeed.diagnostics.history import MAX_SNAPSHOTS
from qcfeed.diagnostics.snapshot import TaskSnapshot
from qcfeed.metrics import memory
from qcfeed.metrics.growth import Point


class FeedCounts(NamedTuple):
    """What a service has beside tasks."""

    subscriptions: int
    orphaned_subscriptions: int
    feeds: int


class RecentHistory:
    """A point a snapshot (sampler.py: every 10 s or so), as many as make an hour; from any thread.

    Cost: what reading the resident memory takes, 80 us, and ``counts``. 0.1 MB when full.
    """

    def __init__(self, counts: Callable[[], FeedCounts] | None = None) -> None:
        """``counts`` is asked in the sampling thread; a program without feeds has none."""
        self._counts = counts
        self._points: deque[Point] = deque(maxlen=MAX_SNAPSHOTS)
        self._lock = threading.Lock()

    def note(self, now: float, taken: TaskSnapshot) -> None:
        """Remember this moment. ``now``: ``time.monotonic()``, which no clock that is set disturbs."""
        counts = None if self._counts is None else self._counts()
        orphaned = taken.totals.orphaned
        point = Point(
            now,
            memory=memory.resident(),
            live=taken.totals.live,
            subscriptions=None if counts is None else counts.subscriptions,
            orphans=orphaned + (0 if counts is None else counts.orphaned_subscriptions),
            feeds=None if counts is None else counts.feeds,
            spawned=taken.totals.spawned,
        )
        with self._lock:
            self._points.append(point)

    def points(self, since: float) -> list[Point]:
        """The points from ``since`` (``time.monotonic()``) on, oldest first."""
        with self._lock:
            return [point for point in self._points if point.at >= since]
