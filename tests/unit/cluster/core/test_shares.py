from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcfeed.cluster.core import shares
from qcfeed.cluster.core.shares import Share
from qcfeed.errors import ConfigError
from qcfeed.upstreams.universe import TICKERS


@pytest.mark.parametrize("count", [1, 2, 4, 7])
def test_every_symbol_belongs_to_exactly_one_share(count: int) -> None:
    owners = [[n for n in range(1, count + 1) if Share(n, count).owns(s)] for s in TICKERS]
    assert all(len(each) == 1 for each in owners)


def test_symbols_are_spread_evenly() -> None:
    held = Counter(n for s in TICKERS for n in range(1, 5) if Share(n, 4).owns(s))
    assert min(held.values()) > len(TICKERS) / 4 * 0.75


@pytest.mark.parametrize(
    "text", ["", "2", "0/4", "5/4", "1/257", "1/0", "01/4", "1/4/4", "-1/4", "1/ 4"]
)
def test_an_invalid_share_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        shares.parse(text)
    assert "2/4" in (refused.value.hint or "")


def test_a_share_is_text_and_back() -> None:
    assert str(shares.parse("2/4")) == "2/4"


@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_shares_overlap_if_some_checksum_belongs_to_both(
    one: int, other: int, data: st.DataObject
) -> None:
    first = Share(data.draw(st.integers(1, one)), one)
    second = Share(data.draw(st.integers(1, other)), other)
    both = any(
        h % one == first.number - 1 and h % other == second.number - 1 for h in range(one * other)
    )
    assert first.overlaps(second) is second.overlaps(first) is both
