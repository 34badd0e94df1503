"""One product of the Coinbase Exchange feed: turns its messages into ticks. No I/O and no clock."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush

from qcfeed.formats import decimal, plural
from qcfeed.model.messages import Size, Tick, is_valid_number
from qcfeed.upstreams.coinbase_messages import (
    BookSnapshot,
    Heartbeat,
    L2Update,
    ProductMessage,
    Ticker,
)

MAX_LEVELS = 200_000
"""Price levels per side. The largest books have some tens of thousands."""
_SPARE_ENTRIES = 64


class Side:
    """The price levels of one side of a book: a dict, and a heap that finds the best price.

    A removed level stays in the heap until it comes to its top or removed levels are the majority. So
    a change costs the logarithm of the number of levels, in whatever order the prices come.
    """

    __slots__ = ("_heap", "_sign", "_sizes")

    def __init__(self, sign: int) -> None:
        self._sign = -sign
        self._heap: list[float] = []  # prices with the sign that makes the best one the smallest
        self._sizes: dict[float, float] = {}

    def replace(self, levels: Iterable[tuple[str, str]]) -> None:
        """Replace all levels with those of a snapshot."""
        self.clear()
        self.add(levels)
        self.settle()

    def clear(self) -> None:
        self._sizes = {}
        self._heap = []

    def add(self, levels: Iterable[tuple[str, str]]) -> None:
        """Add levels of a snapshot; ``settle`` comes after the last ones."""
        self._sizes.update(
            (self._sign * number(price), amount)
            for price, size in levels
            if (amount := number(size)) > 0
        )
        self._check_count()

    def settle(self) -> None:
        """All levels are there: the best one can be found from now on."""
        self._heap = list(self._sizes)
        heapify(self._heap)

    def set_level(self, price: float, size: float) -> None:
        """Set the size of the level at ``price``; 0 removes it."""
        key = self._sign * price
        if size <= 0:
            self._sizes.pop(key, None)
            return
        if key not in self._sizes:
            heappush(self._heap, key)
        self._sizes[key] = size
        self._check_count()
        if len(self._heap) > 2 * len(self._sizes) + _SPARE_ENTRIES:
            self.settle()

    def best(self) -> tuple[float | None, Size]:
        """The best price and its size; both None if there are no levels."""
        while self._heap and self._heap[0] not in self._sizes:
            heappop(self._heap)
        if not self._heap:
            return None, None
        key = self._heap[0]
        size = self._sizes[key]
        return self._sign * key, int(size) if size.is_integer() else size

    def _check_count(self) -> None:
        if len(self._sizes) > MAX_LEVELS:
            raise ValueError(f"the book has more than {MAX_LEVELS:,} levels per side")

    def __len__(self) -> int:
        return len(self._sizes)

    @property
    def entries(self) -> int:
        """Entries of the heap: the levels, and removed ones that are still in it."""
        return len(self._heap)


class Product:
    """A product's book and last trade.

    ``apply`` returns the tick that a message causes. It returns None if neither the best bid and ask,
    their sizes nor the last price changed, or while there is no book yet. Updates before the snapshot
    belong to an earlier subscription and are replaced by it. An invalid number raises ValueError.

    ``fault`` says why an update must be missing, so that the product has to be subscribed to again: a
    trade that a heartbeat announced did not arrive, or the book is crossed (the bid is above the ask).
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
        self._last_tick: tuple[object, ...] = (None,) * 5
        self.fault: str | None = None

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

    def discard_book(self) -> None:
        """An update is missing: cause no tick until the next snapshot."""
        self._complete = False
        self._bids.replace(())
        self._asks.replace(())
        self.fault = None

    def _snapshot(self, message: BookSnapshot, received: str) -> None:
        self._bids.replace(message.bids)
        self._asks.replace(message.asks)
        self._complete = True
        self._ts = message.time or received

    def _update(self, message: L2Update) -> None:
        self.change_levels(message.changes)
        self._ts = message.time

    # A long message, in slices (coinbase_big_messages.py).

    def begin_snapshot(self) -> tuple[Side, Side]:
        """The empty sides, bids and asks, for the levels of a snapshot. No tick until it is finished."""
        self.discard_book()
        return self._bids, self._asks

    def finish_snapshot(self, time: str) -> Tick | None:
        self._complete, self._ts = True, time
        return self._tick()

    def change_levels(self, changes: Iterable[tuple[str, str, str]]) -> None:
        """Apply changed levels as (side, price, size)."""
        for side, price, size in changes:
            (self._bids if side == "buy" else self._asks).set_level(number(price), number(size))

    def finish_update(self, time: str) -> Tick | None:
        self._ts = time
        return self._tick() if self._complete else None

    def _ticker(self, message: Ticker) -> None:
        if message.sequence < self._sequence:  # the exchange may send tickers out of order
            return
        self._sequence = message.sequence
        self._last_trade = message.trade_id
        self._last = number(message.price)
        # The first ticker after a subscription is a past trade, which may be older than the book.
        self._ts = max(self._ts, message.time)

    def _heartbeat(self, message: Heartbeat) -> None:
        """Find trades that the previous heartbeat announced and that have not arrived by now.

        Tickers and heartbeats are not ordered relative to each other, so a ticker has until the next
        heartbeat. Before the first ticker, which comes with the subscription, nothing is counted.
        """
        if self._last_trade:
            missed = self._announced_trade - self._last_trade
            if missed > 0:
                self.fault = f"{plural(missed, 'trade')} did not arrive"
            self._announced_trade = message.last_trade_id

    def _tick(self) -> Tick | None:
        bid, bid_size = self._bids.best()
        ask, ask_size = self._asks.best()
        current = (bid, bid_size, ask, ask_size, self._last)
        if bid is not None and ask is not None and bid > ask:
            self.fault = f"the book is crossed, bid {decimal(bid)} over ask {decimal(ask)}"
            return None
        if current == self._last_tick:
            return None
        self._last_tick = current
        return Tick(bid, bid_size, ask, ask_size, self._last, self._ts)


def number(text: str) -> float:
    """Parse a price or size. Raises ValueError if it is outside the range of `is_valid_number`."""
    value = float(text)
    if not is_valid_number(value):
        raise ValueError(f"{value:g} is not a valid price or size")
    return value
