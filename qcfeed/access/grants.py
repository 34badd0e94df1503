"""The symbols that a client may read, and the name under which it does. No I/O, no clock."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

MAX_PATTERNS = 1_000
"""The most patterns of one grant."""
_PATTERN = re.compile(r"[A-Z0-9.\-*]{1,32}")


@dataclass(frozen=True, slots=True)
class SymbolGrant:
    """Symbols, given as patterns. Create it with ``grant``."""

    patterns: tuple[str, ...]
    exact: frozenset[str]
    wild: tuple[tuple[str, ...], ...]
    """The other patterns, each split at its ``*``."""

    def allows(self, symbol: str) -> bool:
        """Whether a pattern matches the whole of ``symbol``, which is in upper case."""
        return symbol in self.exact or any(_matches(parts, symbol) for parts in self.wild)


def grant(patterns: Iterable[str]) -> SymbolGrant:
    """The symbols that match any of ``patterns``: ``AAPL``, ``BTC-*`` or ``*``, in either case.

    ``*`` stands for any characters, also for none. Raises ValueError for anything else, and for more
    than MAX_PATTERNS.
    """
    given = list(patterns)
    if len(given) > MAX_PATTERNS:
        raise ValueError(f"more than {MAX_PATTERNS:,} symbols")
    for pattern in given:
        # ASCII first: upper() turns U+017F into an ASCII S.
        if not (pattern.isascii() and _PATTERN.fullmatch(pattern.upper())):
            raise ValueError(f"{pattern[:40]!r} is not a symbol, and not a pattern like BTC-*")
    found = tuple(dict.fromkeys(pattern.upper() for pattern in given))
    return SymbolGrant(
        found,
        frozenset(each for each in found if "*" not in each),
        tuple(tuple(each.split("*")) for each in found if "*" in each),
    )


EVERYTHING = grant(["*"])


def _matches(parts: tuple[str, ...], symbol: str) -> bool:
    """Whether ``symbol`` is made of ``parts``, in this order, with anything between them.

    Not with a regular expression: one with many ``*`` may take exponential time.
    """
    first, *middle, last = parts
    if not (symbol.startswith(first) and symbol.endswith(last)):
        return False
    at, end = len(first), len(symbol) - len(last)
    for part in middle:
        # The leftmost place leaves the most room for the parts that follow.
        found = symbol.find(part, at, max(at, end))
        if found < 0:
            return False
        at = found + len(part)
    return at <= end


class Method(StrEnum):
    """How a client has proved who it is."""

    KEY = "key"
    JWT = "jwt"


@dataclass(frozen=True, slots=True)
class Identity:
    """An authenticated client. ``name``: the name of its API key, or the subject of its JSON Web Token.

    ``ends_at``: Unix time until which it is valid, with the leeway included; None: for good. ``key_id``:
    the hash of the API key, by which a revoked key is recognised; empty for a JSON Web Token.
    """

    name: str
    method: Method
    symbols: SymbolGrant
    ends_at: float | None = None
    key_id: str = ""
