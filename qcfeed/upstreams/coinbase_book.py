"""One product of the Coinbase Exchange feed: turns its messages into ticks. No I/O and no clock."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Iterable

from qcfeed.model.messages import Size, Tick
from qcfeed.upstreams.coinbase_messages import (
    BookSnapshot,
    Heartbeat,
    L2Update,
    ProductMessage,
    Ticker,
)


class Side:
    """The price levels of one side of a book.

    A sorted list and a dict. A change costs a binary search and moving the levels between it and the
    best one; nearly all changes are near the best.
    """

    __slots__ = ("_prices", "_sign", "_sizes")

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._prices: list[float] = []  # price times sign, ascending, so the best level is last
        self._sizes: dict[float, float] = {}

    def replace(self, levels: Iterable[tuple[str, str]]) -> None:
        """Replace all levels with those of a snapshot."""
        self._sizes = {
            self._sign * number(price): amount
            for price, size in levels
            if (amount := number(size)) > 0
        }
        self._prices = sorted(self._sizes)

    def set_level(self, price: float, size: float) -> None:
        """Set the size of the level at ``price``; 0 removes it."""
        key = self._sign * price
        if size > 0:
            if key not in self._sizes:
                insort(self._prices, key)
            self._sizes[key] = size
        elif self._sizes.pop(key, None) is not None:
            del self._prices[bisect_left(self._prices, key)]

    def best(self) -> tuple[float | None, Size]:
        """The best price and its size; both None if there are no levels."""
        if not self._prices:
            return None, None
        key = self._prices[-1]
        size = self._sizes[key]
        return self._sign * key, int(size) if size.is_integer() else size

    def __len__(self) -> int:
        return len(self._prices)


class Product:
    """A product's book and last trade.

    ``apply`` returns the tick that a message causes. It returns None if neither the best bid and ask,
    their sizes nor the last price changed, or while there is no book yet. Updates before the snapshot
    belong to an earlier subscription and are replaced by it. ``missed`` counts trades that heartbeats
    announced and that did not arrive. An invalid number raises ValueError.
    """

    def __init__(self) -> None:
        self._bids = Side(1)
        self._asks = Side(-1)
        self._complete = False
        self._last: float | None = None
        self._sequence = -1
        self._last_trade = 0
        self._announced_trade = 0
        self._ts = ""
        self._last_tick: tuple[object, ...] = ()
        self.missed = 0

    def apply(self, message: ProductMessage, received: str) -> Tick | None:
        """Apply one message; ``received`` is used as its time if it has none."""
        if isinstance(message, L2Update):
            self._update(message)
        elif isinstance(message, Ticker):
            self._ticker(message)
        elif isinstance(message, BookSnapshot):
            self._snapshot(message, received)
        else:
            self._heartbeat(message)
        return self._tick() if self._complete else None

    def _snapshot(self, message: BookSnapshot, received: str) -> None:
        self._bids.replace(message.bids)
        self._asks.replace(message.asks)
        self._complete = True
        self._ts = message.time or received

    def _update(self, message: L2Update) -> None:
        for side, price, size in message.changes:
            (self._bids if side == "buy" else self._asks).set_level(number(price), number(size))
        self._ts = message.time

    def _ticker(self, message: Ticker) -> None:
        if message.sequence < self._sequence:  # the exchange may send tickers out of order
            return
        self._sequence = message.sequence
        self._last_trade = message.trade_id
        self._last = number(message.price)
        # The first ticker after a subscription is a past trade, which may be older than the book.
        self._ts = max(self._ts, message.time)

    def _heartbeat(self, message: Heartbeat) -> None:
        """Count trades that the previous heartbeat announced and that have not arrived by now.

        Tickers and heartbeats are not ordered relative to each other, so a ticker has until the next
        heartbeat. Before the first ticker, which comes with the subscription, nothing is counted.
        """
        if self._last_trade:
            self.missed += max(0, self._announced_trade - self._last_trade)
            self._announced_trade = message.last_trade_id

    def _tick(self) -> Tick | None:
        bid, bid_size = self._bids.best()
        ask, ask_size = self._asks.best()
        current = (bid, bid_size, ask, ask_size, self._last)
        if current == self._last_tick:
            return None
        self._last_tick = current
        return Tick(bid, bid_size, ask, ask_size, self._last, self._ts)


def number(text: str) -> float:
    """Parse a price or size. Raises ValueError if it is negative or not finite."""
    value = float(text)
    if not 0.0 <= value < math.inf:
        raise ValueError(f"{text} is not a valid price or size")
    return value
