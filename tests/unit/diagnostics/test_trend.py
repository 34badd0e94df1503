from __future__ import annotations

import pytest

from qcfeed.diagnostics.trend import Trend, trend


def test_the_low_and_the_range_of_each_part() -> None:
    assert trend([5, 9, 4, 4, 7, 8], 3) == Trend((5, 4, 7), 1, 4)
    assert trend([1, 2, 3, 4, 5, 6, 7], 2) == Trend((1, 4), 2.5, 3)


@pytest.mark.parametrize("values", [[], [1], [1, 2]])
def test_too_few_values_have_no_trend(values: list[int]) -> None:
    assert trend(values, 3) is None


def test_a_steady_climb_climbs_and_a_burst_does_not() -> None:
    climb = trend(range(60), 6)
    assert climb is not None
    assert (climb.climbs, climb.growth, climb.spread) == (True, 50, 9)
    burst = trend([10] * 30 + [900] * 3 + [10] * 27, 6)
    assert burst is not None
    assert (burst.climbs, burst.growth) == (False, 0)
