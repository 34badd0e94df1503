"""One product of the Coinbase Exchange feed: its messages in, ticks out. No I/O and no clock."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Iterable

from qcfeed.core.messages import Size, Tick
from qcfeed.upstreams.coinbase_messages import Heartbeat, L2Update, Snapshot, Ticker


class Side:
    """The levels of one side of a book, with the best at hand.

    A sorted list beside a dict: a change costs a binary search and a move of the levels between it
    and the best one, and nearly all changes are near the best.
    """

    __slots__ = ("_prices", "_sign", "_sizes")

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._prices: list[float] = []  # times the sign, ascending: the best is the last
        self._sizes: dict[float, float] = {}

    def replace(self, levels: Iterable[tuple[str, str]]) -> None:
        """Take a snapshot's levels instead of all that is there."""
        self._sizes = {
            self._sign * number(price): amount
            for price, size in levels
            if (amount := number(size)) > 0
        }
        self._prices = sorted(self._sizes)

    def put(self, price: float, size: float) -> None:
        """The level at ``price`` now holds ``size``; nothing removes it."""
        key = self._sign * price
        if size > 0:
            if key not in self._sizes:
                insort(self._prices, key)
            self._sizes[key] = size
        elif self._sizes.pop(key, None) is not None:
            del self._prices[bisect_left(self._prices, key)]

    def best(self) -> tuple[float | None, Size]:
        """The best price and its size; None for both where there is no level."""
        if not self._prices:
            return None, None
        key = self._prices[-1]
        size = self._sizes[key]
        return self._sign * key, int(size) if size.is_integer() else size

    def __len__(self) -> int:
        return len(self._prices)


class Product:
    """A product's book and last trade.

    Each method takes one message and gives the tick that it makes: None when neither the best bid
    and ask, their sizes nor the last price changed, or when the book has not come yet. Updates
    that come before the snapshot belong to an earlier subscription and are dropped.
    """

    def __init__(self) -> None:
        self._bids = Side(1)
        self._asks = Side(-1)
        self._complete = False
        self._last: float | None = None
        self._sequence = -1
        self._trade = 0
        self._promised = 0
        self._ts = ""
        self._told: tuple[object, ...] = ()

    def snapshot(self, message: Snapshot, received: str) -> Tick | None:
        """Start the book anew. ``received`` stands for the time where the message has none."""
        self._bids.replace(message.bids)
        self._asks.replace(message.asks)
        self._complete = True
        self._ts = message.time or received
        return self._tick()

    def update(self, message: L2Update) -> Tick | None:
        """Change levels of the book."""
        if not self._complete:
            return None
        for side, price, size in message.changes:
            (self._bids if side == "buy" else self._asks).put(number(price), number(size))
        self._ts = message.time
        return self._tick()

    def ticker(self, message: Ticker) -> Tick | None:
        """Take the last price; one that comes out of order is dropped."""
        if message.sequence < self._sequence:
            return None
        self._sequence = message.sequence
        self._trade = message.trade_id
        self._last = number(message.price)
        # The first ticker after a subscription tells of a trade that may be older than the book.
        self._ts = max(self._ts, message.time)
        return self._tick()

    def missed(self, message: Heartbeat) -> int:
        """How many trades are missing: told of by the heartbeat before, and still not seen.

        Heartbeats and tickers are not ordered among each other, so a ticker has a second's grace.
        """
        missing = 0
        if self._trade:
            missing = max(0, self._promised - self._trade)
            self._promised = message.last_trade_id
        return missing

    def _tick(self) -> Tick | None:
        if not self._complete:
            return None
        bid, bid_size = self._bids.best()
        ask, ask_size = self._asks.best()
        told = (bid, bid_size, ask, ask_size, self._last)
        if told == self._told:
            return None
        self._told = told
        return Tick(bid, bid_size, ask, ask_size, self._last, self._ts)


def number(text: str) -> float:
    """A price or size as a number; raises ValueError for anything below 0 or not finite."""
    value = float(text)
    if not 0.0 <= value < math.inf:
        raise ValueError(f"{text} is no price or size")
    return value
