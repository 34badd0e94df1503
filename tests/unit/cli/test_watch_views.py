"""Prices and sizes as `qcfeed watch` shows them."""

from __future__ import annotations

import pytest

from qcfeed.cli.ui.table import lay_out
from qcfeed.cli.watch_views import TABLE
from qcfeed.client.latest_quotes import SymbolState
from qcfeed.model.messages import Quote, Size
from qcfeed.model.symbol import Symbol


def line(price: float | None, size: Size, symbol: str = "AAPL") -> SymbolState:
    quote = Quote(symbol, price, size, price, size, price, "", "a", 123_456_789)
    return SymbolState(Symbol(symbol), quote, 0.25, "very_stale", 7, 9)


@pytest.mark.parametrize(
    ("price", "size", "shown"),
    [
        (190.0, 300, "190.00 x 300"),
        (189.995, 1_100, "189.995 x 1,100"),
        (0.00001234, 12.5, "0.00001234 x 12.5"),
        (61234.01, 0.00012345, "61234.01 x 0.00012345"),
        (190.1, None, "190.10 x -"),
    ],
)
def test_no_digit_of_a_price_is_lost(price: float, size: Size, shown: str) -> None:
    row = lay_out(TABLE, [line(price, size)]).lines[1]
    assert row.count(shown) == 2


def test_a_missing_price_is_a_dash() -> None:
    assert lay_out(TABLE, [line(None, None)]).lines[1].split()[1:4] == ["-", "-", "-"]


@pytest.mark.parametrize("width", [100, 80, 68])
def test_the_table_fits_its_width_and_keeps_the_gaps_column(width: int) -> None:
    laid = lay_out(TABLE, [line(1234.56, 1_000, "AAPL")], width=width)
    assert max(map(len, laid.lines)) <= width
    assert laid.lines[0].endswith("GAPS")
