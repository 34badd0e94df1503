from __future__ import annotations

from qcfeed.diagnostics.histogram import Histogram


def test_each_value_is_counted_in_one_bucket() -> None:
    histogram = Histogram((1.0, 5.0))
    for value in (0.0, 1.0, 1.5, 5.0, 7.0):
        histogram.note(value)
    assert histogram.counts == [2, 2, 1]
    assert histogram.total == 14.5
