"""Which symbols a pattern allows."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcfeed.access.grants import EVERYTHING, MAX_PATTERNS, grant

LETTERS = "AB1.-"


@pytest.mark.parametrize(
    ("pattern", "symbol", "allowed"),
    [
        ("AAPL", "AAPL", True),
        ("aapl", "AAPL", True),
        ("AAPL", "AAPLX", False),
        ("AAPL", "XAAPL", False),
        ("BTC-*", "BTC-USD", True),
        ("BTC-*", "BTC-", True),
        ("BTC-*", "XBTC-USD", False),
        ("*-USD", "BTC-USD", True),
        ("*-USD", "BTC-USDC", False),
        ("*", "BRK.B", True),
        ("A*A", "A", False),
        ("A*A", "AA", True),
        ("*B*B*", "ABXB", True),
        ("*B*B*", "ABX", False),
        ("BRK.B", "BRKXB", False),
    ],
)
def test_a_pattern_matches_the_whole_symbol(pattern: str, symbol: str, allowed: bool) -> None:
    assert grant([pattern]).allows(symbol) == allowed


@given(
    st.lists(st.text(LETTERS + "*", min_size=1, max_size=10), max_size=4),
    st.text(LETTERS, min_size=1, max_size=12),
)
def test_patterns_match_as_the_same_regular_expression_does(
    patterns: list[str], symbol: str
) -> None:
    by_definition = any(
        re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), symbol) for pattern in patterns
    )
    assert grant(patterns).allows(symbol) == by_definition


def test_nothing_is_allowed_unless_it_is_listed() -> None:
    assert not grant([]).allows("AAPL")
    assert EVERYTHING.allows("AAPL")


@pytest.mark.parametrize(
    "wrong", ["", "A B", "AAPL\n", "a/b", "[A]", "?", "\u017f", "X" * 33, "A\u0131"]
)
def test_what_is_no_pattern_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="is not a symbol"):
        grant([wrong])


def test_the_number_of_patterns_is_bounded() -> None:
    with pytest.raises(ValueError, match="more than"):
        grant([f"A{n}" for n in range(MAX_PATTERNS + 1)])


def test_a_pattern_of_stars_does_not_take_exponential_time() -> None:
    """As a regular expression it would not end within hours."""
    began = time.process_time()
    assert not grant(["*A" * 15 + "*X"]).allows("A" * 16)
    assert time.process_time() - began < 10
