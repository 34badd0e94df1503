"""The products that feeds want from the Coinbase upstream's connection."""

from __future__ import annotations

import asyncio
import logging

from qcfeed.errors import QcfeedError
from qcfeed.model.symbol import Symbol
from qcfeed.upstreams.base import Sink
from qcfeed.upstreams.coinbase_book import Product
from qcfeed.upstreams.coinbase_messages import InvalidMessageError

log = logging.getLogger(__name__)


class CoinbaseFeed:
    """One product that a feed wants. ``failure`` is completed with the error that ends the feed."""

    __slots__ = ("failure", "last_message_at", "opened", "passed_over", "product", "sink", "symbol")

    def __init__(self, symbol: Symbol, sink: Sink, loop: asyncio.AbstractEventLoop) -> None:
        self.symbol = symbol
        self.sink = sink
        self.product = Product()
        self.opened = False
        self.passed_over = False
        self.last_message_at = loop.time()
        self.failure: asyncio.Future[QcfeedError] = loop.create_future()

    def confirm(self, now: float) -> None:
        """The exchange sent a message about this product."""
        self.last_message_at = now
        if not self.opened:
            self.opened = True
            self.sink.opened()

    def pass_over(self, error: InvalidMessageError) -> None:
        """Log the feed's first invalid message that does no harm."""
        if not self.passed_over:
            log.warning("%s: passed over an invalid message: %s", self.symbol, error)
        self.passed_over = True

    def end(self, error: QcfeedError) -> None:
        if not self.failure.done():
            self.failure.set_result(error)


class WantedFeeds:
    """The feeds that are wanted now, by symbol. ``changed`` is set with every change of ``feeds``."""

    def __init__(self) -> None:
        self.feeds: dict[str, CoinbaseFeed] = {}
        self.changed = asyncio.Event()

    def add(self, feed: CoinbaseFeed) -> None:
        self.feeds[feed.symbol] = feed
        self.changed.set()

    def holds(self, feed: CoinbaseFeed) -> bool:
        """Whether this very feed is wanted: a newer one for the same symbol may have taken its place."""
        return self.feeds.get(feed.symbol) is feed

    def remove(self, feed: CoinbaseFeed) -> None:
        if self.holds(feed):
            del self.feeds[feed.symbol]
        self.changed.set()

    def end(self, feed: CoinbaseFeed, error: QcfeedError) -> None:
        """End ``feed`` with ``error``."""
        self.remove(feed)
        feed.end(error)
