"""Whole numbers in text of strangers."""

from __future__ import annotations

import pytest

from qcfeed import numbers


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("65535", 65_535), ("007", 7)])
def test_a_number_is_read(text: str, number: int) -> None:
    assert numbers.whole(text, 65_535) == number


@pytest.mark.parametrize(
    "text", ["", "65536", "-1", "+1", " 1", "1_0", "1.0", "0x1", "٣", "²", "9" * 5_000]
)
def test_anything_else_is_none(text: str) -> None:
    assert numbers.whole(text, 65_535) is None
