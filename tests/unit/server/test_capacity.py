from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qcfeed.config import SPARE_FILES
from qcfeed.server.capacity import REFUSAL_SLOTS, fit


def test_enough_files_give_what_is_wanted() -> None:
    assert fit(10_000, 1_000_000, 40) == (10_000, REFUSAL_SLOTS)


def test_19_500_connections_fit_into_20_000_files() -> None:
    assert fit(19_500, 20_000, 40).connections == 19_500


def test_few_files_give_few_connections() -> None:
    connections, refusals = fit(10_000, 64, 30)
    assert connections == 15
    assert refusals == 3


@given(st.integers(1, 30_000), st.integers(3, 30_000), st.integers(0, 30_000))
def test_there_is_room_for_all_of_them(wanted: int, allowed: int, in_use: int) -> None:
    connections, refusals = fit(wanted, allowed, in_use)
    assert 1 <= connections <= wanted
    assert refusals >= 1
    spare = min(SPARE_FILES, allowed // 4)
    assert connections + refusals <= max(2, allowed - in_use - spare)
