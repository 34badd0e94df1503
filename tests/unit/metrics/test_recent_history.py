from __future__ import annotations

from qcfeed.diagnostics.history import MAX_SNAPSHOTS
from qcfeed.diagnostics.snapshot import TaskSnapshot, Totals
from qcfeed.metrics.recent_history import FeedCounts, RecentHistory


def test_each_snapshot_is_a_point_and_an_hour_is_kept() -> None:
    recent = RecentHistory(lambda: FeedCounts(subscriptions=7, orphaned_subscriptions=2, feeds=3))
    for n in range(MAX_SNAPSHOTS + 40):
        recent.note(n * 10.0, TaskSnapshot(Totals(live=n, spawned=2 * n, orphaned=5)))
    points = recent.points(0.0)
    assert len(points) == MAX_SNAPSHOTS
    last = points[-1]
    assert (last.at, last.live, last.spawned) == (
        (MAX_SNAPSHOTS + 39) * 10.0,
        MAX_SNAPSHOTS + 39,
        2 * MAX_SNAPSHOTS + 78,
    )
    assert (last.subscriptions, last.orphans, last.feeds) == (7, 7, 3)
    assert last.memory is not None
    assert last.memory > 1 << 20
    assert [point.at for point in recent.points(last.at - 10)] == [last.at - 10, last.at]


def test_a_program_without_feeds_has_no_feed_counts() -> None:
    recent = RecentHistory()
    recent.note(1.0, TaskSnapshot(Totals(live=1, orphaned=1)))
    point = recent.points(0.0)[0]
    assert (point.subscriptions, point.feeds, point.orphans) == (None, None, 1)
