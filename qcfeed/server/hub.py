"""The hub: owns all feeds, and flushes their new quotes once per turn of the loop."""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from qcfeed.config import Config
from qcfeed.errors import UnknownSymbolError
from qcfeed.feed import flush
from qcfeed.feed.lifecycle import Demand, UpstreamState
from qcfeed.feed.subscriber import Consumer, Subscriber
from qcfeed.model.messages import CloseCode
from qcfeed.model.symbol import Symbol
from qcfeed.server.feed import Feed
from qcfeed.upstreams.base import Upstream

log = logging.getLogger("qcfeed.hub")


@dataclass(slots=True)
class _Totals:
    """The counters of feeds that no longer exist."""

    quotes: int = 0
    delivered: int = 0
    conflated: int = 0
    dropped: int = 0
    restarts: int = 0
    invalid_ticks: int = 0

    def add(self, feed: Feed) -> None:
        self.quotes += feed.log.head
        self.delivered += feed.log.delivered
        self.conflated += feed.log.conflated
        self.dropped += feed.log.dropped
        self.restarts += feed.restarts
        self.invalid_ticks += feed.invalid_ticks


class Hub:
    """Owns every feed and, through it, every upstream task, from its start until it is joined."""

    def __init__(
        self,
        config: Config,
        upstream: Upstream,
        wall_clock: Callable[[], float] = time.time,
        epochs: Callable[[], str] | None = None,
    ) -> None:
        """``wall_clock``: returns Unix seconds, used for display only, never to measure durations.

        ``epochs`` returns the epoch of each new feed; a text that no feed had before.
        """
        self._config = config
        self.wall_clock = wall_clock
        self._loop = asyncio.get_running_loop()
        self._new_epoch = epochs or _own_epochs()
        self._to_flush: dict[Feed, None] = {}
        self._closed_feeds = _Totals()
        self._last_failure: str | None = None
        self._last_failure_at = 0.0
        self._no_feeds = asyncio.Event()
        self._no_feeds.set()
        self.upstream = upstream
        self.feeds: dict[Symbol, Feed] = {}
        self.observers: list[Callable[[Subscriber], None]] = []
        """Called with every new subscriber (a drill uses this)."""

    def subscribe(self, symbol: Symbol, consumer: Consumer) -> Subscriber:
        """Subscribe ``consumer`` to ``symbol``; creates the feed if there is none.

        Raises UnknownSymbolError before anything is created.
        """
        # First, so that an unknown symbol leaves no feed behind.
        self.check_symbol(symbol)
        feed = self.feeds.get(symbol)
        if feed is None:
            feed = Feed(symbol, self._new_epoch(), self._config, self)
            self.feeds[symbol] = feed
            self._no_feeds.clear()
        subscriber: Subscriber = Subscriber(symbol, consumer)
        feed.subscribe(subscriber)
        for observer in self.observers:
            observer(subscriber)
        return subscriber

    def check_symbol(self, symbol: Symbol) -> None:
        """Raises UnknownSymbolError if the upstream does not have the symbol."""
        if not self.upstream.knows(symbol):
            raise UnknownSymbolError(
                f"unknown symbol {symbol}: not one of {self.upstream.name}",
                hint="`qcfeed feeds` lists the live symbols",
            )

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """End one subscription; idempotent."""
        feed = self.feeds.get(subscriber.symbol)
        if feed is not None and not subscriber.closed:
            feed.unsubscribe(subscriber)

    def caught_up(self, consumer: Consumer) -> None:
        """``consumer`` was sent its backlog: upstreams need not wait for it. Cost: O(its symbols)."""
        for symbol in consumer.subscribers:
            feed = self.feeds.get(symbol)
            if feed is not None:
                feed.pacing.caught_up(consumer)

    def cancel(self, symbols: Iterable[Symbol], reason: str) -> None:
        """Force feeds down; their subscribers get close code 4410. Their tasks end soon after.

        If a feed is already closing, its task is cancelled once more: it may have ignored the first time.
        """
        for symbol in symbols:
            feed = self.feeds.get(symbol)
            if feed is not None:
                feed.cancel_again(reason)
                feed.evict_all(CloseCode.FEED_CANCELLED, reason)

    async def stop(self) -> None:
        """End every feed and join its task. The caller must allow no further subscriptions."""
        for feed in list(self.feeds.values()):
            feed.evict_all(CloseCode.GOING_AWAY, "the service is shutting down")
        await self._no_feeds.wait()

    def sweep_orphans(self) -> int:
        """End subscriptions whose connection is closed; returns how many there were."""
        orphans = self.orphaned_subscriptions()
        for subscriber in orphans:
            self.unsubscribe(subscriber)
        return len(orphans)

    def sample(self) -> None:
        """Measure every feed's rate since the last sample; call it at a fixed interval."""
        now = self._loop.time()
        for feed in self.feeds.values():
            feed.sample(now)

    # ------------------------------------------------------------ read from any thread

    def orphaned_subscriptions(self) -> list[Subscriber]:
        """Subscriptions whose connection is closed. There should be none: closing ends them all."""
        # ``list()`` copies a dict or set in one step of the interpreter, so the loop may change it
        # meanwhile.
        return [
            subscriber
            for feed in list(self.feeds.values())
            for subscriber in list(feed.lifecycle.subscribers)
            # In this order: a closing connection, in another thread, ends its subscriptions before it
            # counts as not connected.
            if not subscriber.consumer.connected and not subscriber.closed
        ]

    @property
    def subscriptions(self) -> int:
        """The number of subscribers, over all feeds."""
        return sum(len(feed.lifecycle.subscribers) for feed in list(self.feeds.values()))

    @property
    def quotes(self) -> int:
        """Quotes published since the start."""
        return self._closed_feeds.quotes + sum(feed.log.head for feed in list(self.feeds.values()))

    @property
    def delivered(self) -> int:
        """Quotes sent, summed over all subscribers, since the start."""
        return self._closed_feeds.delivered + sum(
            feed.log.delivered for feed in list(self.feeds.values())
        )

    @property
    def conflated(self) -> int:
        """Quotes reported to slow subscribers only in another quote's ``conflated``, since the start."""
        return self._closed_feeds.conflated + sum(
            feed.log.conflated for feed in list(self.feeds.values())
        )

    @property
    def dropped(self) -> int:
        """Quotes reported to slow subscribers only in another quote's ``dropped``, since the start."""
        return self._closed_feeds.dropped + sum(
            feed.log.dropped for feed in list(self.feeds.values())
        )

    @property
    def restarts(self) -> int:
        """How often a feed's upstream task ended by itself, since the start."""
        return self._closed_feeds.restarts + sum(
            feed.restarts for feed in list(self.feeds.values())
        )

    @property
    def invalid_ticks(self) -> int:
        """Invalid ticks dropped, since the start."""
        return self._closed_feeds.invalid_ticks + sum(
            feed.invalid_ticks for feed in list(self.feeds.values())
        )

    def states(self) -> Counter[tuple[Demand, UpstreamState]]:
        """How many feeds are in each state of their lifecycle."""
        return Counter(
            (feed.lifecycle.demand, feed.lifecycle.upstream) for feed in list(self.feeds.values())
        )

    # ------------------------------------------------------------ called by feeds

    def schedule_flush(self, feed: Feed) -> None:
        """Flush ``feed`` in this turn of the loop, together with all others that have new quotes."""
        if not self._to_flush:
            # After the callbacks that are ready now: what other feeds publish in them goes into the same writes.
            self._loop.call_soon(self._flush)
        self._to_flush[feed] = None

    def log_failure(self, feed: Feed) -> None:
        """Log the feed's failure; once only, when a lost connection fails hundreds of feeds together."""
        now = self._loop.time()
        if feed.failure != self._last_failure or now - self._last_failure_at > REPEAT_INTERVAL:
            log.warning("%s: %s (feeds with subscribers retry)", feed.symbol, feed.failure)
        else:
            log.debug("%s: %s", feed.symbol, feed.failure)
        self._last_failure, self._last_failure_at = feed.failure, now

    def remove(self, feed: Feed) -> None:
        """Remove ``feed``; its counters are kept in the totals."""
        self._closed_feeds.add(feed)
        del self.feeds[feed.symbol]
        if not self.feeds:
            self._no_feeds.set()

    def _flush(self) -> None:
        # Swapped first: what is published from here on belongs to the next turn.
        feeds, self._to_flush = self._to_flush, {}
        batch = flush.FlushBatch(self._config.send_buffer)
        for feed in feeds:
            feed.flush_into(batch, only_feed=len(feeds) == 1)
        batch.deliver()
        # Last: closing a consumer changes the sets of subscribers that the batch iterates over.
        for consumer in batch.to_disconnect:
            consumer.disconnect_slow()


def _own_epochs() -> Callable[[], str]:
    """Epochs of one process. A part is random, so that a client notices a restart: ``seq`` begins again."""
    nonce, numbers = secrets.randbits(16), itertools.count(1)
    return lambda: f"{nonce:04x}{next(numbers):x}"


REPEAT_INTERVAL = 5.0
"""Seconds within which the same failure of another feed is logged at debug level only."""
