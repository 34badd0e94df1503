from __future__ import annotations

from qcfeed.cli.top.recent import RecentSnapshots

from .made import GUILTY, SOUND, location, snapshot


def test_net_growth_and_its_shape_are_of_the_whole_trail() -> None:
    trail = RecentSnapshots()
    for look in range(4):
        trail.take(snapshot(look * 2, location(GUILTY, 10 * look), location(SOUND, 1)))
    guilty, sound = trail.rows()
    assert (guilty.location, guilty.live, guilty.per_minute) == (GUILTY, 30, 300.0)
    assert list(guilty.trend) == [0, 10, 20, 30]
    assert (sound.per_minute, list(sound.trend)) == (0.0, [1, 1, 1, 1])
    assert (trail.per_minute, trail.seconds) == (300.0, 6.0)


def test_after_one_look_no_growth_is_told() -> None:
    trail = RecentSnapshots()
    trail.take(snapshot(0, location(SOUND, 1)))
    assert [row.per_minute for row in trail.rows()] == [None]
    assert trail.per_minute is None
    assert trail.since(30) is None


def test_a_minute_is_kept_and_no_more() -> None:
    trail = RecentSnapshots(span=60)
    for second in range(0, 200, 10):
        trail.take(snapshot(second, location(SOUND, second)))
    assert trail.seconds == 60
    assert len(trail.totals) == 7
    before = trail.since(30)
    assert before is not None
    assert before.totals.live == 160


def test_a_restart_begins_it_anew_and_is_counted() -> None:
    trail = RecentSnapshots()
    trail.take(snapshot(0, location(GUILTY, 5_000)))
    trail.take(snapshot(2, location(GUILTY, 3), since="2"))
    assert trail.restarts == 1
    assert [list(row.trend) for row in trail.rows()] == [[3]]
    assert trail.per_minute is None


def test_a_location_whose_tasks_have_ended_stays_while_the_trail_knows_it() -> None:
    trail = RecentSnapshots(span=10)
    trail.take(snapshot(0, location(GUILTY, 5), location(SOUND, 1)))
    trail.take(snapshot(5, location(GUILTY, 0, spawned=5), location(SOUND, 1)))
    assert [row.per_minute for row in trail.rows()] == [-60.0, 0.0]
    trail.take(snapshot(14, location(GUILTY, 0, spawned=5), location(SOUND, 1)))
    assert [row.location for row in trail.rows()] == [SOUND]


def test_a_new_location_has_no_past() -> None:
    trail = RecentSnapshots()
    trail.take(snapshot(0, location(SOUND, 1)))
    trail.take(snapshot(60, location(SOUND, 1), location(GUILTY, 4)))
    assert [list(row.trend) for row in trail.rows()] == [[1, 1], [None, 4]]
    assert [row.per_minute for row in trail.rows()] == [0.0, 4.0]
