from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcfeed.formats import decimal, printable, printable_json, printable_lines, time_left
from qcfeed.model import messages
from qcfeed.model.messages import LARGEST, SMALLEST, Tick
from qcfeed.model.symbol import Symbol

VALUES = st.floats(min_value=SMALLEST, max_value=LARGEST)


@pytest.mark.parametrize(
    ("value", "text"),
    [(8.31e-6, "0.00000831"), (8e-6, "0.000008"), (300.0, "300"), (0.0, "0"), (1e21, "1" + "0" * 21),
     (1.5e16, "15000000000000000"), (189.99, "189.99"), (300, "300")],
)  # fmt: skip
def test_a_decimal_has_no_exponent(value: float, text: str) -> None:
    assert decimal(value) == text


@given(VALUES)
def test_a_decimal_is_the_same_number(value: float) -> None:
    assert "e" not in decimal(value)
    assert Decimal(decimal(value)) == Decimal(repr(value))


@given(st.tuples(*[VALUES | st.none() | st.just(0.0)] * 5))
def test_a_quote_is_plain_decimals_on_the_wire(values: tuple[float | None, ...]) -> None:
    tick = Tick(*values, "2024-03-20T02:15:00Z")  # type: ignore[arg-type]
    assert messages.find_fault(tick) is None
    text = messages.encode(messages.quote(Symbol("A1E5-USD"), tick, "7e3", 9))
    read = messages.decode_quote(text)
    numbers = (read.bid, read.bid_size, read.ask, read.ask_size, read.last)
    assert tuple(None if each is None else float(each) for each in numbers) == values
    assert (read.epoch, read.symbol, read.ts) == ("7e3", "A1E5-USD", tick.ts)
    assert b"e-" not in text.replace(b"quote", b"")


@given(st.text())
def test_printable_json_has_the_same_meaning(text: str) -> None:
    shown = printable_json(msgspec.json.encode({"a": [text]}))
    assert shown.isprintable()
    assert msgspec.json.decode(shown) == {"a": [text]}


@given(st.text())
def test_printable_text_is_printable(text: str) -> None:
    assert printable(text).isprintable()
    assert printable_lines(text).replace("\n", "").replace("\t", "").isprintable()


def test_what_steers_a_terminal_is_escaped() -> None:
    assert printable("a\x1b]52;c;x\x07\x9b2J\r\u202e\n") == r"a\x1b]52;c;x\x07\x9b2J\r\u202e\n"
    assert printable_lines("a\tb\n\u2028") == "a\tb\n\\u2028"
    assert printable("Zürich 東京 👍") == "Zürich 東京 👍"


@pytest.mark.parametrize(
    ("least", "most", "shown"),
    [
        (662.0, None, "11m02s left"),
        (662.0, 662.0, "11m02s left"),
        (600.0, 720.0, "10m00s left"),
        (480.0, 7_800.0, "8m00s to 2h10m left"),
        (3_600.0, 30 * 86_400.0, "1h00m to more than 7 days left"),
        (8 * 86_400.0, None, "more than 7 days left"),
    ],
)
def test_an_estimated_time_is_a_range_and_has_an_end(
    least: float, most: float | None, shown: str
) -> None:
    assert time_left(least, most) == shown
