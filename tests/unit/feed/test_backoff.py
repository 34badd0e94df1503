from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qcfeed.feed.backoff import delay


def test_it_doubles_up_to_its_cap() -> None:
    assert [delay(n, 1.0, base=1, cap=10) for n in range(6)] == [1, 2, 4, 8, 10, 10]


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_it_is_never_negative_and_never_over_its_cap(attempt: int, draw: float) -> None:
    assert 0 <= delay(attempt, draw) < 30
