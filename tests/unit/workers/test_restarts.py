from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qcfeed.workers.restarts import LONGEST, STABLE, Restarts, describe_exit


def test_pauses_grow_while_a_process_ends_early() -> None:
    restarts = Restarts()
    assert [restarts.ended(1.0, 1.0) for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert restarts.count == 8


def test_restarts_are_counted_by_reason() -> None:
    restarts = Restarts()
    restarts.ended(1.0, 0.5, "stuck")
    restarts.ended(1.0, 0.5)
    restarts.ended(1.0, 0.5, "stuck")
    assert restarts.by_reason == {"ended": 1, "stuck": 2, "requested": 0}
    assert restarts.count == 3


def test_a_process_that_ran_well_starts_again_soon() -> None:
    restarts = Restarts()
    for _ in range(9):
        restarts.ended(1.0, 1.0)
    assert restarts.ended(STABLE, 1.0) == 0.5
    assert restarts.ended(0.0, 1.0) == 1.0


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1, exclude_max=True)), max_size=50))
def test_a_pause_is_never_too_short_nor_too_long(lives: list[tuple[float, float]]) -> None:
    restarts = Restarts()
    for ran_for, draw in lives:
        assert 0.1 <= restarts.ended(ran_for, draw) <= LONGEST
    assert restarts.count == len(lives)


def test_an_exit_is_told_in_words() -> None:
    assert describe_exit(3) == "ended with status 3"
    assert describe_exit(-9) == "was killed by SIGKILL"
    assert describe_exit(-77) == "was killed by signal 77"
