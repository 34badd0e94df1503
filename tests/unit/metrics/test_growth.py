from __future__ import annotations

import pytest

from qcfeed.metrics import growth, urgency
from qcfeed.metrics.growth import Point
from tests.support import incident


def steady(rate: float, *, count: int = 241, step: float = 15.0, start: float = 1e9) -> list[Point]:
    """Memory that grows by ``rate`` bytes a second, a task a byte."""
    return [Point(n * step, start + n * step * rate, n * step * rate) for n in range(count)]


def by_name(points: list[Point], limit: float | None = None) -> dict[str, growth.GrowthWindow]:
    at = points[-1].at if points else 0.0
    return {each.window: each for each in growth.windows(points, at, limit)}


def test_the_incident_had_under_four_minutes_left_not_four_hours() -> None:
    points = incident.points()
    found = growth.windows(points, incident.AT, incident.LIMIT)
    by_window = {each.window: each for each in found}
    quarter = by_window["15m"]
    assert quarter.time_to_limit_s == pytest.approx(1.8 / 7.0 * 900, rel=0.001)
    assert quarter.time_to_limit_s < 240
    assert quarter.memory_bytes_per_hour == pytest.approx(28 * incident.GB, rel=0.001)
    assert quarter.tasks_per_minute == pytest.approx((47_829 - 24_567) / 15, rel=0.001)
    worst = urgency.worst(found)
    assert worst is not None
    assert worst.time_to_limit_s == pytest.approx(quarter.time_to_limit_s)
    assert [each.window for each in urgency.worst_first(found)][2:] == ["1h", "whole"]
    assert urgency.accelerating(found)
    assert urgency.sustained(points, incident.AT)
    assert urgency.reaching_limit(found, within=3_600) is not None
    slopes = [each.memory_bytes_per_hour for each in found]
    assert all(slope and slope > 3 * incident.ALERT_SAID for slope in slopes), "none gives 450 MB"


def test_a_task_of_the_incident_held_a_quarter_of_a_megabyte() -> None:
    held = growth.per_task(incident.points())
    assert held is not None
    assert 200_000 < held.bytes < 320_000
    assert held.r2 > 0.9


@pytest.mark.parametrize(
    ("points", "says"),
    [
        ([], "0 of at least 3"),
        ([Point(0.0, 1.0)], "1 of at least 3"),
        ([Point(0.0, 1.0)] * 3, "same time"),
    ],
)
def test_too_few_samples_are_reported_and_not_fitted(points: list[Point], says: str) -> None:
    whole = by_name(points, 10.0)["whole"]
    assert says in (whole.missing_reason or "")
    assert whole.memory_bytes_per_hour is None
    assert urgency.worst([whole]) is None
    assert not urgency.accelerating([whole])


def test_a_window_that_its_samples_do_not_cover_has_no_rate() -> None:
    found = by_name(steady(100, count=41), 2e9)  # 10 minutes
    assert found["5m"].missing_reason is None
    assert found["15m"].missing_reason is None
    assert "span only 600 s" in (found["1h"].missing_reason or "")


def test_steady_growth_has_one_rate_and_does_not_accelerate() -> None:
    points = steady(1_000)
    found = growth.windows(points, points[-1].at, 1e9 + 3_600e3 + 60e3)
    for each in found:
        assert each.memory_bytes_per_hour == pytest.approx(3.6e6)
        assert each.r2 == pytest.approx(1.0)
        assert each.time_to_limit_s == pytest.approx(60.0)
    assert not urgency.accelerating(found)


def test_flat_memory_never_reaches_its_limit() -> None:
    points = steady(0)
    found = growth.windows(points, points[-1].at, 2e9)
    assert [each.time_to_limit_s for each in found] == [None] * 4
    assert [each.r2 for each in found] == [1.0] * 4
    assert not urgency.sustained(points, points[-1].at)
    assert urgency.reaching_limit(found, within=1e9) is None


def test_memory_over_its_limit_has_no_time_left() -> None:
    points = steady(0)
    found = growth.windows(points, points[-1].at, 1e9)
    assert urgency.worst(found) is not None
    assert urgency.reaching_limit(found, within=0) is not None


def test_a_restart_is_no_shrinking_and_hides_no_growth() -> None:
    before = [Point(n * 15.0, 9e9, 9_000, spawned=10_000 + n) for n in range(100)]
    after = [Point(1_500.0 + n * 15, 1e9 + n * 15e3, 100 + n, spawned=n) for n in range(60)]
    points = before + after
    assert growth.restarts(points) == [1_500.0]
    found = by_name(points, 16e9)
    assert found["whole"].memory_bytes_per_hour == pytest.approx(3.6e6)
    assert found["whole"].samples == 60
    assert found["whole"].spawned_per_minute == pytest.approx(4.0)


def test_denser_samples_in_the_last_hour_do_not_weigh_more() -> None:
    coarse = [Point(n * 300.0, float(n)) for n in range(2_000)]
    fine = [Point(2_000 * 300.0 + n, 2_000.0) for n in range(3_600)]
    whole = by_name(coarse + fine)["whole"]
    assert whole.samples <= growth.MAX_FITTED + 1
    assert whole.memory_bytes_per_hour == pytest.approx(12.0, rel=0.01)


def test_missing_samples_are_found() -> None:
    points = [Point(float(at)) for at in (0, 15, 30, 45, 300, 315, 330)]
    assert growth.gaps(points) == [(45.0, 300.0)]
    assert growth.gaps(points[:4]) == []
    assert growth.gaps(points[3:5]) == []


def test_a_sawtooth_is_no_sustained_growth() -> None:
    points = [Point(n * 15.0, 1e9 + (n % 20) * 1e7, n % 20) for n in range(241)]
    assert not urgency.sustained(points, points[-1].at)


def test_tasks_that_feeds_explain_are_demand() -> None:
    points = [Point(n * 15.0, live=100.0 + n, feeds=float(n)) for n in range(241)]
    assert not urgency.sustained(points, points[-1].at)
    leaking = [point._replace(live=(point.live or 0) + n) for n, point in enumerate(points)]
    assert urgency.sustained(leaking, points[-1].at)


def test_growth_by_location_and_its_shares() -> None:
    rows = growth.by_location(
        {
            "feed.rs:83": [(0.0, 100.0), (600.0, 1_000.0)],
            "new.py:1": [(300.0, 5.0), (600.0, 100.0)],
            "gone.py:2": [(0.0, 50.0), (300.0, 50.0)],
            "never": [],
        }
    )
    assert [(row.location, row.net) for row in rows] == [
        ("feed.rs:83", 900.0),
        ("new.py:1", 100.0),
        ("gone.py:2", -50.0),
    ]
    assert [row.share for row in rows] == [0.9, 0.1, 0.0]
    assert rows[0].per_minute == 90.0
    assert growth.by_location({}) == []
    assert growth.by_location({"one.py:1": [(5.0, 7.0)]})[0].per_minute == 0.0
