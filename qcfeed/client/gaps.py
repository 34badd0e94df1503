"""Detects lost, repeated and reordered quotes by their sequence numbers. No I/O.

As docs/reference/protocol.md says, ``seq`` rises by one per symbol within an epoch. ``conflated`` counts the
earlier quotes that a quote also stands for, ``dropped`` those left out before it.
"""

from __future__ import annotations

from dataclasses import dataclass

from qcfeed.model.messages import Quote


@dataclass(frozen=True, slots=True)
class Gap:
    """The quotes from ``expected`` to ``got`` - 1 are missing, and no quote accounts for them."""

    symbol: str
    epoch: str
    expected: int
    got: int

    @property
    def missed(self) -> int:
        return self.got - self.expected


@dataclass(frozen=True, slots=True)
class Repeat:
    """A quote is repeated or out of order: ``got`` where ``expected`` or a later one was due."""

    symbol: str
    epoch: str
    expected: int
    got: int


class GapDetector:
    """Follows the sequence numbers of any number of symbols. Cost: one dictionary entry per symbol."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[str, int]] = {}
        self._reconnected: set[str] = set()

    def check(self, quote: Quote) -> Gap | Repeat | None:
        """The gap or repeat between ``quote`` and the quotes before it, if there is one.

        The first quote of a symbol, and of an epoch, has no predecessor. A quote whose ``conflated`` or
        ``dropped`` covers quotes received before is a repeat.
        """
        epoch, last = self._last.get(quote.symbol, (None, 0))
        resumed = quote.symbol in self._reconnected
        self._reconnected.discard(quote.symbol)
        if quote.epoch != epoch:
            self._last[quote.symbol] = (quote.epoch, quote.seq)
            return None
        self._last[quote.symbol] = (epoch, max(last, quote.seq))
        if resumed and quote.seq == last:
            return None
        return _compare(quote, last + 1)

    def reconnected(self) -> None:
        """A new connection: the last quote of each symbol may be sent once more."""
        self._reconnected.update(self._last)


def _compare(quote: Quote, expected: int) -> Gap | Repeat | None:
    first = quote.seq - quote.conflated - quote.dropped
    if first > expected:
        return Gap(quote.symbol, quote.epoch, expected, first)
    if first < expected:
        return Repeat(quote.symbol, quote.epoch, expected, first)
    return None
