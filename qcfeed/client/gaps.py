"""What the numbers on quotes give away: quotes lost, repeated or out of order. Pure.

docs/protocol.md: ``seq`` rises by one a symbol within an epoch; a quote that stands for others
besides itself says for how many in ``conflated``, one before which others were dropped how many in
``dropped``.
"""

from __future__ import annotations

from dataclasses import dataclass

from qcfeed.model.messages import Quote


@dataclass(frozen=True, slots=True)
class Gap:
    """Quotes ``expected`` to ``got`` - 1 never came, and no quote stands for them."""

    symbol: str
    epoch: str
    expected: int
    got: int

    @property
    def missed(self) -> int:
        return self.got - self.expected


@dataclass(frozen=True, slots=True)
class Repeat:
    """A quote came again or out of order: ``got`` where ``expected`` or later was due."""

    symbol: str
    epoch: str
    expected: int
    got: int


class GapDetector:
    """Follows the numbers of any number of symbols. Cost: one dictionary entry a symbol."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[str, int]] = {}
        self._reconnected: set[str] = set()

    def check(self, quote: Quote) -> Gap | Repeat | None:
        """What is wrong with ``quote`` after those seen before it, if anything.

        The first quote of a symbol and the first of an epoch start afresh. A quote whose
        ``conflated`` or ``dropped`` reaches back over what was seen already repeats it.
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
        """The connection is a new one: each symbol's last quote may rightly come once more."""
        self._reconnected.update(self._last)


def _compare(quote: Quote, expected: int) -> Gap | Repeat | None:
    first = quote.seq - quote.conflated - quote.dropped
    if first > expected:
        return Gap(quote.symbol, quote.epoch, expected, first)
    if first < expected:
        return Repeat(quote.symbol, quote.epoch, expected, first)
    return None
