"""The benchmark of idle subscribers, with few of them."""

from __future__ import annotations

import pytest

from benchmarks import idle
from benchmarks.fanout import building

pytestmark = pytest.mark.skipif(building.compiler() is None, reason="no C compiler here")


def test_the_subscribers_of_all_processes_get_quotes() -> None:
    outcome = idle.measure(40, 2, seconds=3.0, settle=1.0)
    assert (outcome.subscribers, outcome.processes) == (40, 2)
    # A quote per second: the first and the last may fall beside the window.
    assert 0 < outcome.delivered_share <= 4 / 3
    assert 0 < outcome.p50_ms <= outcome.p99_ms
