"""Lost quotes are reported; conflated and dropped ones are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcfeed.client.gaps import Gap, GapDetector, Repeat
from qcfeed.model.messages import Quote


def quote(
    seq: int, *, symbol: str = "AAPL", epoch: str = "a", conflated: int = 0, dropped: int = 0
) -> Quote:
    return Quote(symbol, 1.0, 1, 2.0, 1, 1.5, "", epoch, seq, conflated, dropped)


def see(*quotes: Quote) -> list[Gap | Repeat | None]:
    detector = GapDetector()
    return [detector.check(each) for each in quotes]


@pytest.mark.parametrize(
    ("second", "found"),
    [
        (quote(11), None),
        (quote(15, conflated=4), None),
        (quote(15, dropped=4), None),
        (quote(15, dropped=2), Gap("AAPL", "a", 11, 13)),
        (quote(15), Gap("AAPL", "a", 11, 15)),
        (quote(15, conflated=3), Gap("AAPL", "a", 11, 12)),
        (quote(10), Repeat("AAPL", "a", 11, 10)),
        (quote(7), Repeat("AAPL", "a", 11, 7)),
        (quote(15, conflated=6), Repeat("AAPL", "a", 11, 9)),
        (quote(99, epoch="b"), None),
        (quote(99, symbol="MSFT"), None),
    ],
)
def test_after_quote_10(second: Quote, found: Gap | Repeat | None) -> None:
    assert see(quote(10), second) == [None, found]


def test_a_late_quote_does_not_turn_the_clock_back() -> None:
    assert see(quote(10), quote(8), quote(11)) == [None, Repeat("AAPL", "a", 11, 8), None]


def test_the_first_quote_may_stand_for_any_number() -> None:
    assert see(quote(10, conflated=400)) == [None]


def test_one_replayed_quote_after_a_reconnect_is_not_a_repeat() -> None:
    detector = GapDetector()
    detector.check(quote(10))
    detector.reconnected()
    assert detector.check(quote(10)) is None
    assert detector.check(quote(10)) == Repeat("AAPL", "a", 11, 10)


def test_quotes_missed_while_disconnected_are_a_gap() -> None:
    detector = GapDetector()
    detector.check(quote(10))
    detector.reconnected()
    assert detector.check(quote(13)) == Gap("AAPL", "a", 11, 13)


def test_a_gap_says_how_many() -> None:
    assert Gap("AAPL", "a", 11, 15).missed == 4


sent = st.lists(
    st.tuples(
        st.integers(0, 3), st.booleans()
    ),  # how many quotes it stands for, and whether it arrives
    min_size=1,
    max_size=50,
)


@given(st.dictionaries(st.tuples(st.sampled_from("AB"), st.sampled_from("xy")), sent))
def test_exactly_what_was_lost_between_two_arrivals_is_missed(
    plan: dict[tuple[str, str], list[tuple[int, bool]]],
) -> None:
    """Random conflation and losses, several symbols and epochs: the sum is always right."""
    detector = GapDetector()
    for (symbol, epoch), steps in plan.items():
        seq = lost = expected_missed = reported = 0
        arrived = False
        for conflated, arrives in steps:
            seq += 1 + conflated
            if not arrives:
                lost += 1 + conflated
                continue
            expected_missed += lost if arrived else 0
            lost, arrived = 0, True
            found = detector.check(quote(seq, symbol=symbol, epoch=epoch, conflated=conflated))
            assert not isinstance(found, Repeat)
            reported += found.missed if found else 0
        assert reported == expected_missed


@given(st.lists(st.integers(1, 30), min_size=1))
def test_in_any_order_each_quote_at_or_below_the_highest_is_a_repeat(order: list[int]) -> None:
    detector = GapDetector()
    highest = 0
    for number, seq in enumerate(order):
        found = detector.check(quote(seq))
        assert isinstance(found, Repeat) == (number > 0 and seq <= highest)
        highest = max(highest, seq)
