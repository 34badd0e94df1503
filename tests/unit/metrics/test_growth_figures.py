"""Growth to the figure: at each limit both of its sides, and each order with something out of it."""

from __future__ import annotations

import pytest

from qcfeed.metrics import growth, urgency
from qcfeed.metrics.growth import GrowthWindow, Point

HOUR = 3_600.0


def window(name: str = "5m", **more: float | None) -> GrowthWindow:
    given: dict[str, float | None] = {"seconds": 300.0}
    return GrowthWindow(name, 10, **given | more)  # type: ignore[arg-type]


# ---------------------------------------------------------------- fits


def test_a_line_is_found_through_three_points_and_not_through_two() -> None:
    assert growth.fit([(0.0, 1.0), (1.0, 3.0)]) is None
    line = growth.fit([(10.0, 1.0), (11.0, 3.0), (12.0, 5.0)])
    assert line is not None
    assert (line.slope, line.r2) == (pytest.approx(2.0), pytest.approx(1.0))


def test_r2_falls_with_noise() -> None:
    line = growth.fit([(0.0, 0.0), (1.0, 2.0), (2.0, 1.0), (3.0, 3.0)])
    assert line is not None
    assert (line.slope, line.r2) == (pytest.approx(0.8), pytest.approx(0.64))


def test_constant_values_fit_and_a_single_instant_does_not() -> None:
    assert growth.fit([(0.0, 7.0), (1.0, 7.0), (2.0, 7.0)]) == (0.0, 1.0)
    assert growth.fit([(5.0, 1.0), (5.0, 2.0), (5.0, 3.0)]) is None


# ---------------------------------------------------------------- restarts and gaps


def test_only_a_falling_counter_is_a_restart() -> None:
    counts = (5, 5, 6, 6, 2, 3)
    points = [Point(float(n), 1.0, spawned=float(count)) for n, count in enumerate(counts)]
    assert growth.restarts(points) == [4.0]
    assert [point.at for point in growth.since_restart(points)] == [4.0, 5.0]
    assert list(growth.since_restart(points[:4])) == points[:4]


def test_only_samples_since_the_last_restart_count() -> None:
    points = [Point(float(n), spawned=float(n % 3)) for n in range(9)]
    assert growth.restarts(points) == [3.0, 6.0]
    assert [point.at for point in growth.since_restart(points)] == [6.0, 7.0, 8.0]


@pytest.mark.parametrize(("gap", "found"), [(30.0, []), (30.1, [(30.0, 60.1)])])
def test_a_gap_is_three_times_the_usual_interval(
    gap: float, found: list[tuple[float, float]]
) -> None:
    points = [Point(at) for at in (0.0, 10.0, 20.0, 30.0, 30.0 + gap, 40.0 + gap)]
    assert growth.gaps(points) == [pytest.approx(each) for each in found]


# ---------------------------------------------------------------- windows


def climbing(count: int, step: float = 10.0) -> list[Point]:
    """5 bytes of 1,000, 2 tasks and 3 spawns each second."""
    return [
        Point(n * step, 1_000.0 + 5 * n * step, 2 * n * step, spawned=3 * n * step)
        for n in range(count)
    ]


def test_each_figure_of_a_window() -> None:
    points = climbing(361)
    five, quarter, hour, whole = growth.windows(points, points[-1].at, 1_000.0 + 5 * 3_700)
    assert [each.window for each in (five, quarter, hour, whole)] == ["5m", "15m", "1h", "whole"]
    assert [each.seconds for each in (five, quarter, hour, whole)] == [300, 900, HOUR, HOUR]
    assert [each.samples for each in (five, quarter, hour, whole)] == [31, 91, 361, 361]
    for each in (five, quarter, hour, whole):
        assert each.missing_reason is None
        assert each.memory_bytes_per_hour == pytest.approx(5 * HOUR)
        assert each.tasks_per_minute == pytest.approx(120)
        assert each.spawned_per_minute == pytest.approx(180)
        assert (each.r2, each.tasks_r2) == (pytest.approx(1.0), pytest.approx(1.0))
        assert each.time_to_limit_s == pytest.approx(100.0)


def test_a_window_ignores_later_samples() -> None:
    points = climbing(361)
    five, *_, whole = growth.windows(points, 1_800.0, None)
    assert (five.samples, whole.samples) == (31, 181)
    assert five.time_to_limit_s is None


@pytest.mark.parametrize(("samples", "told"), [(16, True), (15, False)])
def test_half_of_a_window_must_be_covered(samples: int, told: bool) -> None:
    five = growth.windows(climbing(samples), (samples - 1) * 10.0, None)[0]
    assert (five.missing_reason is None) == told


def test_three_samples_are_enough_and_two_are_not() -> None:
    for count, told in ((3, True), (2, False)):
        whole = growth.windows(climbing(count), (count - 1) * 10.0, None)[-1]
        assert (whole.missing_reason is None) == told
        assert whole.samples == count


def test_tasks_and_memory_are_counted_apart() -> None:
    """Of five samples two have memory: it has no line, and the tasks have one."""
    points = [Point(n * 60.0, 1.0 if n < 2 else None, 7.0 * n) for n in range(5)]
    whole = growth.windows(points, 240.0, 100.0)[-1]
    assert (whole.samples, whole.memory_bytes_per_hour, whole.r2) == (5, None, None)
    assert (whole.tasks_per_minute, whole.time_to_limit_s) == (pytest.approx(7.0), None)


def test_the_spawn_rate_needs_two_counts() -> None:
    points = [Point(n * 60.0, 1.0, 1.0, spawned=9.0 * n if n in (1, 3) else None) for n in range(5)]
    assert growth.windows(points, 240.0, None)[-1].spawned_per_minute == pytest.approx(9.0)
    once = [each._replace(spawned=None) if each.at > 60 else each for each in points]
    assert growth.windows(once, 240.0, None)[-1].spawned_per_minute is None


@pytest.mark.parametrize(
    ("limit", "value", "slope", "left"),
    [
        (None, 5.0, 1.0, None),
        (10.0, 10.0, 1.0, 0.0),
        (10.0, 11.0, -1.0, 0.0),
        (10.0, 4.0, 2.0, 3.0),
        (10.0, 4.0, 0.0, None),
        (10.0, 4.0, -2.0, None),
    ],
)
def test_the_time_to_a_limit(
    limit: float | None, value: float, slope: float, left: float | None
) -> None:
    assert growth.time_to(limit, value, slope) == left


# ---------------------------------------------------------------- orders


def test_windows_are_sorted_by_time_left_then_growth_then_unknown() -> None:
    found = [
        window("unknown"),
        window("slow", memory_bytes_per_hour=1.0),
        window("late", time_to_limit_s=900.0, memory_bytes_per_hour=9.0),
        window("fast", memory_bytes_per_hour=5.0),
        window("soon", time_to_limit_s=60.0, memory_bytes_per_hour=9.0),
    ]
    assert [each.window for each in urgency.worst_first(found)] == [
        "soon", "late", "fast", "slow", "unknown",
    ]  # fmt: skip
    worst = urgency.worst(found)
    assert worst is not None
    assert worst.window == "soon"
    assert urgency.worst([window(memory_bytes_per_hour=5.0)]) is None
    assert urgency.worst([]) is None


def test_windows_that_agree_in_three_digits_are_sorted_longest_first() -> None:
    found = [
        window("short", seconds=300.0, time_to_limit_s=1_001.0),
        window("long", seconds=900.0, time_to_limit_s=1_002.0),
        window("other", seconds=3_600.0, time_to_limit_s=1_020.0),
    ]
    assert [each.window for each in urgency.worst_first(found)] == ["long", "short", "other"]


# ---------------------------------------------------------------- acceleration, limits, what lasts


def two(short: float, long: float, r2: float = 1.0) -> list[GrowthWindow]:
    return [
        window("5m", seconds=300.0, memory_bytes_per_hour=short, r2=r2),
        window("1h", seconds=HOUR, memory_bytes_per_hour=long, r2=0.1),
    ]


@pytest.mark.parametrize(
    ("found", "accelerates"),
    [
        (two(15.0, 10.0), True),
        (two(14.9, 10.0), False),
        (two(15.0, 10.0, r2=0.8), True),
        (two(15.0, 10.0, r2=0.79), False),
        (two(0.5, -10.0), True),
        (two(0.0, -10.0), False),
        (two(-1.0, -10.0), False),
        ([window(memory_bytes_per_hour=9.0, r2=1.0)], False),
        ([window()], False),
        ([], False),
    ],
)
def test_growth_accelerates_when_a_shorter_window_is_half_as_fast_again(
    found: list[GrowthWindow], accelerates: bool
) -> None:
    assert urgency.accelerating(found) == accelerates
    assert urgency.accelerating(found[::-1]) == accelerates, "in whatever order they come"


@pytest.mark.parametrize(
    ("left", "r2", "within", "told"),
    [
        (600.0, 0.8, 600.0, True),
        (600.0, 0.79, 600.0, False),
        (600.1, 0.8, 600.0, False),
        (0.0, None, 0.0, True),
        (600.0, None, 600.0, False),
    ],
)
def test_memory_runs_out_by_a_line_that_fits_and_within_the_time(
    left: float, r2: float | None, within: float, told: bool
) -> None:
    found = urgency.reaching_limit([window(time_to_limit_s=left, r2=r2)], within)
    assert (found is not None) == told


def tasks(
    *, per_sample: float, begins: float = 100.0, count: int = 241, feeds: float = 0.0
) -> list[Point]:
    return [Point(n * 15.0, live=begins + per_sample * n, feeds=feeds * n) for n in range(count)]


@pytest.mark.parametrize(
    ("points", "lasts"),
    [
        (tasks(per_sample=1.0), True),
        (tasks(per_sample=-1.0, begins=1_000.0), False),
        (tasks(per_sample=0.0), False),
        (tasks(per_sample=1.0, feeds=1.0), False),
        (tasks(per_sample=1.0, begins=4_800.0), True),
        (tasks(per_sample=1.0, begins=4_801.0), False),
        (tasks(per_sample=1 / 80, begins=0.0), True),
        (tasks(per_sample=1 / 81, begins=0.0), False),
        (tasks(per_sample=1.0, count=11), True),
        (tasks(per_sample=1.0, count=10), False),
    ],
)
def test_growth_lasts_when_every_window_has_it_and_it_is_five_percent_and_three_tasks(
    points: list[Point], lasts: bool
) -> None:
    assert urgency.sustained(points, points[-1].at) == lasts


def test_growth_that_has_just_begun_does_not_last() -> None:
    points = tasks(per_sample=0.0, count=400)
    points = [each._replace(live=100.0 + max(0.0, each.at - 5_700.0)) for each in points]
    assert not urgency.sustained(points, points[-1].at)


def test_memory_per_additional_task() -> None:
    points = [Point(float(n), 1_000.0 + 300.0 * n, 10.0 + 2 * n) for n in range(5)]
    held = growth.per_task(points)
    assert held is not None
    assert (held.bytes, held.r2) == (pytest.approx(150.0), pytest.approx(1.0))
    assert (
        growth.per_task([each._replace(memory=1e6 - (each.memory or 0)) for each in points]) is None
    )
    assert growth.per_task([each._replace(live=None) for each in points]) is None


# ---------------------------------------------------------------- by location


def test_a_location_s_figures() -> None:
    rows = growth.by_location(
        {
            "a.py:1": [(0.0, 10.0), (60.0, 20.0), (120.0, 40.0)],
            "b.py:1": [(0.0, 5.0), (120.0, 15.0)],
            "late.py:1": [(60.0, 8.0), (120.0, 10.0)],
            "left.py:1": [(0.0, 6.0), (60.0, 9.0)],
            "tied.py:1": [(0.0, 25.0), (120.0, 35.0)],
        }
    )
    assert [(row.location, row.live, row.net, row.per_minute) for row in rows] == [
        ("a.py:1", 40.0, 30.0, 15.0),
        ("tied.py:1", 35.0, 10.0, 5.0),
        ("b.py:1", 15.0, 10.0, 5.0),
        ("late.py:1", 10.0, 10.0, 5.0),
        ("left.py:1", 0.0, -6.0, -3.0),
    ]
    assert [row.share for row in rows] == [0.5, *[pytest.approx(1 / 6)] * 3, 0.0]


def test_without_growth_no_location_has_a_share() -> None:
    rows = growth.by_location(
        {"a.py:1": [(0.0, 3.0), (60.0, 3.0)], "b.py:1": [(0.0, 3.0), (60.0, 1.0)]}
    )
    assert [row.share for row in rows] == [0.0, 0.0]


def test_values_whose_squares_vanish_in_floats_are_constant() -> None:
    samples = [(0.0, 1e-200), (30.0, 2e-200), (60.0, 1e-200)]
    assert growth.fit(samples) == growth.FittedLine(0.0, 1.0)
