from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcfeed.errors import InvalidSymbolError
from qcfeed.model.symbol import parse, parse_path_segment


@pytest.mark.parametrize(
    ("text", "symbol"), [("AAPL", "AAPL"), ("brk.b", "BRK.B"), ("BTC-USD", "BTC-USD"), ("3M", "3M")]
)
def test_good_symbols(text: str, symbol: str) -> None:
    assert parse(text) == symbol


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "-A", "A..B", "../x", "A/B", "A B", "A" * 17, "A\n", "\u0391APL", "\u017f", "\uff21APL",
     "A\x00", "AAPL?", "\u0130"],
)  # fmt: skip
def test_bad_symbols(text: str) -> None:
    with pytest.raises(InvalidSymbolError):
        parse(text)


@pytest.mark.parametrize("raw", [b"%2e%2e", b"%41%2f", b"A%00", b"%C4%B0", b"%ff", b"%2541"])
def test_bad_path_segments(raw: bytes) -> None:
    with pytest.raises(InvalidSymbolError):
        parse_path_segment(raw)


def test_a_segment_is_decoded_once() -> None:
    assert parse_path_segment(b"%61apl") == "AAPL"


@given(st.text())
def test_a_parsed_symbol_is_canonical(text: str) -> None:
    try:
        symbol = parse(text)
    except InvalidSymbolError:
        return
    assert symbol.isascii()
    assert 1 <= len(symbol) <= 16
    assert ".." not in symbol
    assert parse(symbol) == symbol


def test_an_error_repeats_at_most_32_characters_of_the_input() -> None:
    with pytest.raises(InvalidSymbolError) as caught:
        parse("x" * 10_000)
    assert len(caught.value.message) < 100
