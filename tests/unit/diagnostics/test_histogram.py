from __future__ import annotations

from qcfeed.diagnostics.histogram import Histogram


def test_each_is_counted_once_under_the_first_bound_that_holds_it() -> None:
    tally = Histogram((1.0, 5.0))
    for value in (0.0, 1.0, 1.5, 5.0, 7.0):
        tally.note(value)
    assert tally.counts == [2, 2, 1]
    assert tally.total == 14.5
