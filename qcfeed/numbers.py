"""Reads whole numbers from text of strangers."""

from __future__ import annotations

MAX_PORT = 65_535
"""The highest port of TCP."""


def whole(text: str, most: int) -> int | None:
    """The number that ``text`` is, from 0 to ``most``; None for any other text.

    Stricter than ``int``, which accepts digits of other scripts, signs, spaces and ``1_0``, and raises for
    more than 4,300 digits.
    """
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(most))):
        return None
    number = int(text)
    return number if number <= most else None
