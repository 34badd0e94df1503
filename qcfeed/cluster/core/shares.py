"""Shares: feeders with ``--share 2/4`` divide the symbols among them; each share has its own lease."""

from __future__ import annotations

import math
import re
import zlib
from dataclasses import dataclass

from qcfeed.errors import ConfigError
from qcfeed.model.symbol import Symbol

MAX_SHARES = 256
_SHARE = re.compile(r"([1-9][0-9]{0,3})/([1-9][0-9]{0,3})", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Share:
    """The ``number``-th of ``count`` shares, from 1."""

    number: int = 1
    count: int = 1

    def owns(self, symbol: Symbol) -> bool:
        """Whether the symbol belongs to this share: a checksum spreads symbols evenly."""
        return zlib.crc32(symbol.encode()) % self.count == self.number - 1

    def overlaps(self, other: Share) -> bool:
        """Whether a symbol can belong to both."""
        return (self.number - other.number) % math.gcd(self.count, other.count) == 0

    @property
    def key(self) -> str:
        """The key of its lease in the bucket."""
        return f"share-{self.number}-of-{self.count}"

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def parse(text: str) -> Share:
    """The share in ``text``, such as ``2/4``. Raises ConfigError."""
    found = _SHARE.fullmatch(text)
    if found is None or not int(found[1]) <= int(found[2]) <= MAX_SHARES:
        raise ConfigError(
            f"--share is {text[:32]!r}, but must be NUMBER/COUNT",
            hint=f"for example 2/4: the second of four shares; at most {MAX_SHARES}",
        )
    return Share(int(found[1]), int(found[2]))
