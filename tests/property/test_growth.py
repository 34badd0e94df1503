from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcfeed.metrics import growth, urgency
from qcfeed.metrics.growth import Point

values = st.floats(0, 1e12)
counts = st.integers(0, 10**9).map(float)
timelines = st.lists(
    st.builds(
        Point,
        at=st.floats(1e9, 1e9 + 20_000),
        memory=st.none() | values,
        live=st.none() | counts,
        subscriptions=st.none() | counts,
        orphans=st.none() | counts,
        feeds=st.none() | counts,
        spawned=st.none() | counts,
    ),
    max_size=60,
).map(lambda points: sorted(points, key=lambda point: point.at))
limits = st.none() | st.floats(1, 1e12)


@given(timelines, limits)
def test_any_samples_have_an_answer(points: list[Point], limit: float | None) -> None:
    at = points[-1].at if points else 0.0
    found = growth.windows(points, at, limit)
    assert [each.window for each in found] == ["5m", "15m", "1h", "whole"]
    for each in found:
        assert each.r2 is None or 0 <= each.r2 <= 1
        assert each.time_to_limit_s is None or each.time_to_limit_s >= 0
        assert (each.missing_reason is None) or each.memory_bytes_per_hour is None
    worst = urgency.worst(found)
    if worst is not None:
        assert worst == urgency.worst_first(found)[0]
        assert all(
            each.time_to_limit_s is None
            or each.time_to_limit_s >= (worst.time_to_limit_s or 0) * 0.99  # they agree in 3 digits
            for each in found
        )
    urgency.accelerating(found)
    urgency.sustained(points, at)
    growth.per_task(points)
    for begin, end in growth.gaps(points):
        assert begin < end


@given(
    slope=st.floats(1, 1e7),
    start=st.floats(0, 1e10),
    left=st.floats(1, 1e12),
    shift=st.floats(-1e9, 1e9),
)
def test_the_fit_does_not_depend_on_the_absolute_time(
    slope: float, start: float, left: float, shift: float
) -> None:
    points = [Point(shift + n * 15.0, start + slope * n * 15) for n in range(300)]
    limit = (points[-1].memory or 0) + left
    for each in growth.windows(points, points[-1].at, limit):
        assert each.memory_bytes_per_hour == pytest.approx(slope * 3_600, rel=1e-3)
        assert each.time_to_limit_s == pytest.approx(left / slope, rel=1e-2)


@given(bend=st.floats(1e-3, 10), straight=st.floats(0, 3_000))
def test_an_upward_curve_accelerates_and_its_mirror_does_not(bend: float, straight: float) -> None:
    slope = bend * straight  # not so steep that the bend is lost in it
    times = [n * 15.0 for n in range(481)]
    last = times[-1]
    rising = [Point(at, 1e9 + slope * at + bend * at * at) for at in times]
    slowing = [Point(at, 1e12 - (slope * (last - at) + bend * (last - at) ** 2)) for at in times]
    assert urgency.accelerating(growth.windows(rising, last, None))
    assert not urgency.accelerating(growth.windows(slowing, last, None))


@given(
    st.dictionaries(
        st.text("abc:1", min_size=1, max_size=4),
        st.lists(
            st.tuples(st.integers(0, 20).map(lambda n: n * 15.0), st.integers(0, 999).map(float)),
            max_size=8,
            unique_by=lambda pair: pair[0],
        ).map(sorted),
        max_size=6,
    )
)
def test_shares_of_growth_add_up_to_one(series: dict[str, list[tuple[float, float]]]) -> None:
    rows = growth.by_location(series)
    assert all(row.live >= 0 for row in rows)
    total = sum(row.share for row in rows)
    assert total == pytest.approx(1.0) if any(row.net > 0 for row in rows) else total == 0
    assert [row.net for row in rows] == sorted((row.net for row in rows), reverse=True)
