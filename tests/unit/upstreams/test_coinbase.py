from __future__ import annotations

import pytest

from qcfeed.model.symbol import Symbol
from qcfeed.upstreams.coinbase import Coinbase


@pytest.mark.parametrize(
    ("symbol", "known"),
    [("BTC-USD", True), ("00-USD", True), ("AAPL", False), ("BTC-", False), ("A-B-C", False)],
)
def test_only_pairs_can_be_known(symbol: str, known: bool) -> None:
    assert Coinbase().knows(Symbol(symbol)) is known


def test_nothing_is_open_before_there_is_demand() -> None:
    upstream = Coinbase("ws://127.0.0.1:1/")
    assert upstream.name == "coinbase+ws://127.0.0.1:1/"
    assert upstream.symbols() == ()
    assert not upstream.health().connected
    assert upstream.health().detail == "not needed yet"


async def test_it_can_be_closed_unused_and_twice() -> None:
    upstream = Coinbase()
    await upstream.close()
    await upstream.close()
    assert upstream.closed
