"""Which ticks are valid."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from qcfeed.model.messages import Tick, find_fault

SOUND = Tick(189.99, 300, 190.01, 0.25, 190.0, "2024-03-20T02:15:00.123456789Z")


@pytest.mark.parametrize(
    "change",
    [{}, {"bid": None, "bid_size": None}, {"bid": 0.0}, {"ask": 1e12}, {"bid": 191.0}],
    ids=["whole", "one side", "nought", "much", "crossed, as real books are at times"],
)
def test_valid_ticks_have_no_fault(change: dict[str, Any]) -> None:
    assert find_fault(msgspec.structs.replace(SOUND, **change)) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bid": math.nan}, "bid nan"),
        ({"ask": -0.01}, "ask -0.01"),
        ({"last": math.inf}, "last inf"),
        ({"ask_size": -1}, "ask size -1"),
        ({"bid_size": math.nan}, "bid size nan"),
        ({"ts": ""}, "time ''"),
        ({"ts": "x" * 1_000}, f"time '{'x' * 32}'"),
    ],
)
def test_invalid_ticks_have_a_fault(change: dict[str, Any], said: str) -> None:
    assert find_fault(msgspec.structs.replace(SOUND, **change)) == said


@pytest.mark.parametrize("field", ["bid", "ask", "last", "bid_size", "ask_size"])
def test_a_text_is_no_price_even_if_it_is_empty(field: str) -> None:
    """It is a bug of the upstream, which ends the feed loudly; it never reaches a subscriber."""
    with pytest.raises(TypeError):
        find_fault(msgspec.structs.replace(SOUND, **{field: ""}))
