"""Parses and validates symbols, before anything is created for them."""

from __future__ import annotations

import functools
import re
from typing import NewType
from urllib.parse import unquote_to_bytes

from qcfeed.errors import InvalidSymbolError

Symbol = NewType("Symbol", str)

MAX_LENGTH = 16
_PATTERN = re.compile(r"[A-Z0-9][A-Z0-9.\-]{0,15}", re.ASCII)
_SHOWN = 32


def parse(text: str) -> Symbol:
    """The symbol in ``text``, upper-cased.

    Raises InvalidSymbolError; its message repeats at most 32 characters of the input.
    """
    if text.isascii():  # before upper-casing: upper() turns U+017F into an ASCII S
        upper = text.upper()
        if _PATTERN.fullmatch(upper) and ".." not in upper:
            return Symbol(upper)
    shown = ascii(text[:_SHOWN]) + ("..." if len(text) > _SHOWN else "")
    raise InvalidSymbolError(
        f"{shown} is not a symbol",
        hint=f"1 to {MAX_LENGTH} of A-Z, 0-9, '.' and '-', starting with a letter or digit,"
        " without '..'; for example AAPL or BRK.B",
    )


@functools.lru_cache(maxsize=4096)
def parse_path_segment(raw: bytes) -> Symbol:
    """The symbol in a percent-encoded segment of a URL's path. Raises InvalidSymbolError.

    The segment is decoded exactly once, as RFC 3986 section 2.4 requires, and then checked.
    """
    return parse(unquote_to_bytes(raw).decode("utf-8", "replace"))
