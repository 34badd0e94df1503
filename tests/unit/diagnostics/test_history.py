from __future__ import annotations

import pytest

from qcfeed.diagnostics.history import SnapshotHistory
from qcfeed.diagnostics.snapshot import LocationCounts


def row(location: str, live: int, **more) -> LocationCounts:
    return LocationCounts(location, "f", live=live, **more)


def test_counts_a_location_oldest_first() -> None:
    history = SnapshotHistory()
    history.note(1.0, [row("a", 1, spawned=5, destroyed=0)])
    history.note(2.0, [row("b", 9), row("a", 2, spawned=7, destroyed=1)])
    assert history.times() == [1.0, 2.0]
    b, a = history.series()
    assert (list(a.live), list(a.spawned), list(a.destroyed)) == ([1, 2], [5, 7], [0, 1])
    assert (b.location, list(b.live)) == ("b", [9])


def test_bounded_in_time() -> None:
    history = SnapshotHistory(points=3)
    for n in range(10):
        history.note(float(n), [row("a", n)])
    assert history.times() == [7.0, 8.0, 9.0]
    assert list(history.series()[0].live) == [7, 8, 9]


def test_the_history_is_bounded_in_locations_and_counts_dropped_ones() -> None:
    history = SnapshotHistory(locations=2)
    history.note(1.0, [row("a", 9), row("b", 5), row("c", 1)])
    assert (history.dropped, [s.location for s in history.series()]) == (1, ["a", "b"])
    history.note(2.0, [row("c", 10), row("a", 9), row("b", 5)])
    assert [(s.location, list(s.live)) for s in history.series()] == [("c", [10]), ("a", [9, 9])]
    history.note(3.0, [row("a", 9), row("b", 5)])
    assert history.dropped == 0
    assert [list(s.live) for s in history.series()] == [[9, 9, 9], [5]], "b begins anew"


def test_series_are_copies() -> None:
    history = SnapshotHistory()
    history.note(1.0, [row("a", 1)])
    (series,) = history.series()
    history.note(2.0, [row("a", 2)])
    assert list(series.live) == [1]


@pytest.mark.parametrize("locations", [512])
def test_a_full_history_is_small(locations: int) -> None:
    history = SnapshotHistory()
    rows = [row(str(n), n, spawned=n) for n in range(locations)]
    for n in range(400):
        history.note(float(n), rows)
    size = sum(
        values.itemsize * len(values)
        for series in history.series()
        for values in (series.live, series.spawned, series.destroyed)
    )
    assert size == locations * 360 * 24  # 4.4 MB
