from __future__ import annotations

from qcfeed.observe.recent import RecentSnapshots
from tests.unit.cli.top.made import HEALTHY, LEAKING, location, snapshot


def test_growth_and_trend_cover_all_snapshots_kept() -> None:
    recent = RecentSnapshots()
    for number in range(4):
        recent.add(snapshot(number * 2, location(LEAKING, 10 * number), location(HEALTHY, 1)))
    guilty, sound = recent.trends()
    assert (guilty.location, guilty.live, guilty.per_minute) == (LEAKING, 30, 300.0)
    assert list(guilty.trend) == [0, 10, 20, 30]
    assert (sound.per_minute, list(sound.trend)) == (0.0, [1, 1, 1, 1])
    assert (recent.per_minute, recent.seconds) == (300.0, 6.0)


def test_one_snapshot_has_no_growth() -> None:
    recent = RecentSnapshots()
    recent.add(snapshot(0, location(HEALTHY, 1)))
    assert [row.per_minute for row in recent.trends()] == [None]
    assert recent.per_minute is None
    assert recent.since(30) is None


def test_snapshots_older_than_a_minute_are_discarded() -> None:
    recent = RecentSnapshots(span=60)
    for second in range(0, 200, 10):
        recent.add(snapshot(second, location(HEALTHY, second)))
    assert recent.seconds == 60
    assert len(recent.totals) == 7
    before = recent.since(30)
    assert before is not None
    assert before.totals.live == 160


def test_a_restart_discards_the_snapshots_and_is_counted() -> None:
    recent = RecentSnapshots()
    recent.add(snapshot(0, location(LEAKING, 5_000)))
    recent.add(snapshot(2, location(LEAKING, 3), since="2"))
    assert recent.restarts == 1
    assert [list(row.trend) for row in recent.trends()] == [[3]]
    assert recent.per_minute is None


def test_a_location_without_live_tasks_stays_until_its_snapshots_are_discarded() -> None:
    recent = RecentSnapshots(span=10)
    recent.add(snapshot(0, location(LEAKING, 5), location(HEALTHY, 1)))
    recent.add(snapshot(5, location(LEAKING, 0, spawned=5), location(HEALTHY, 1)))
    assert [row.per_minute for row in recent.trends()] == [-60.0, 0.0]
    recent.add(snapshot(14, location(LEAKING, 0, spawned=5), location(HEALTHY, 1)))
    assert [row.location for row in recent.trends()] == [HEALTHY]


def test_a_new_location_has_no_earlier_counts() -> None:
    recent = RecentSnapshots()
    recent.add(snapshot(0, location(HEALTHY, 1)))
    recent.add(snapshot(60, location(HEALTHY, 1), location(LEAKING, 4)))
    assert [list(row.trend) for row in recent.trends()] == [[1, 1], [None, 4]]
    assert [row.per_minute for row in recent.trends()] == [0.0, 4.0]
