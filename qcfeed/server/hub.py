"""The feeds of a service: who subscribes to what, and one flush a turn of the loop."""

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
from qcfeed.feed.lifecycle import Demand
from qcfeed.feed.lifecycle import Upstream as State
from qcfeed.feed.subscriber import Reader, Subscriber
from qcfeed.model.messages import CloseCode
from qcfeed.model.symbol import Symbol
from qcfeed.server.feed import Feed
from qcfeed.upstreams.base import Upstream

log = logging.getLogger("qcfeed.hub")


@dataclass(slots=True)
class _Totals:
    """What feeds that are gone have counted."""

    quotes: int = 0
    delivered: int = 0
    conflated: int = 0
    dropped: int = 0
    restarts: int = 0
    rubbish: int = 0

    def add(self, feed: Feed) -> None:
        self.quotes += feed.log.head
        self.delivered += feed.log.delivered
        self.conflated += feed.log.conflated
        self.dropped += feed.log.dropped
        self.restarts += feed.restarts
        self.rubbish += feed.rubbish


class Hub:
    """Holds every feed, and through them every upstream task, from its start until it is joined."""

    def __init__(
        self, config: Config, upstream: Upstream, wall: Callable[[], float] = time.time
    ) -> None:
        """``wall``: Unix seconds, for what people are told; nothing is measured by it."""
        self._config = config
        self.wall = wall
        self._loop = asyncio.get_running_loop()
        self._nonce = secrets.randbits(16)
        self._lives = itertools.count(1)
        self._dirty: dict[Feed, None] = {}
        self._gone = _Totals()
        self._told: str | None = None
        self._told_at = 0.0
        self._emptied = asyncio.Event()
        self._emptied.set()
        self.upstream = upstream
        self.feeds: dict[Symbol, Feed] = {}
        self.observers: list[Callable[[Subscriber], None]] = []
        """Told of every new subscription (a drill listens here)."""

    def subscribe(self, symbol: Symbol, reader: Reader) -> Subscriber:
        """A new hold of ``reader`` on ``symbol``'s feed, which is opened if need be.

        Raises UnknownSymbolError before anything is created.
        """
        if not self.upstream.knows(symbol):
            raise UnknownSymbolError(
                f"{self.upstream.name} has no symbol {symbol}",
                hint="see the symbols that are live with `qcfeed feeds`",
            )
        feed = self.feeds.get(symbol)
        if feed is None:
            epoch = f"{self._nonce:04x}{next(self._lives):x}"
            feed = Feed(symbol, epoch, self._config, self)
            self.feeds[symbol] = feed
            self._emptied.clear()
        subscriber: Subscriber = Subscriber(symbol, reader)
        feed.subscribe(subscriber)
        for observer in self.observers:
            observer(subscriber)
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Give a hold back. Giving back twice is giving back once."""
        feed = self.feeds.get(subscriber.symbol)
        if feed is not None and not subscriber.closed:
            feed.unsubscribe(subscriber)

    def caught_up(self, reader: Reader) -> None:
        """``reader`` was behind and is not any more: upstreams need not wait for it. Cost: O(held)."""
        for symbol in reader.held:
            feed = self.feeds.get(symbol)
            if feed is not None:
                feed.caught_up(reader)

    def cancel(self, symbols: Iterable[Symbol], reason: str) -> None:
        """Force feeds down; their subscribers get close 4410. Their tasks end soon after."""
        for symbol in symbols:
            feed = self.feeds.get(symbol)
            if feed is not None:
                feed.evict_all(CloseCode.FEED_CANCELLED, reason)

    async def stop(self) -> None:
        """End every feed and join its task. Nobody may subscribe any more."""
        for feed in list(self.feeds.values()):
            feed.evict_all(CloseCode.GOING_AWAY, "the service leaves")
        await self._emptied.wait()

    def sweep_orphans(self) -> int:
        """Take back holds whose connection is gone; how many there were."""
        orphans = self.orphaned_subscriptions()
        for subscriber in orphans:
            self.unsubscribe(subscriber)
        return len(orphans)

    def sample(self) -> None:
        """Measure every feed's rate since the last sample; call it at a steady beat."""
        now = self._loop.time()
        for feed in self.feeds.values():
            feed.sample(now)

    # ------------------------------------------------------------ read from any thread

    def orphaned_subscriptions(self) -> list[Subscriber]:
        """Holds whose connection is gone. There should be none: leaving gives them all back."""
        return [
            subscriber
            for feed in list(self.feeds.values())
            for subscriber in list(feed.life.subscribers)
            # In this order: who leaves gives its holds back first, and may be doing so just now.
            if not subscriber.reader.connected and not subscriber.closed
        ]

    @property
    def subscriptions(self) -> int:
        """How many holds there are, over all feeds."""
        return sum(len(feed.life.subscribers) for feed in list(self.feeds.values()))

    @property
    def quotes(self) -> int:
        """Quotes published since the start."""
        return self._gone.quotes + sum(feed.log.head for feed in list(self.feeds.values()))

    @property
    def delivered(self) -> int:
        """Quotes written to subscribers, over all of them, since the start."""
        return self._gone.delivered + sum(feed.log.delivered for feed in list(self.feeds.values()))

    @property
    def conflated(self) -> int:
        """Quotes that slow subscribers got none of but in another's ``conflated``, since the start."""
        return self._gone.conflated + sum(feed.log.conflated for feed in list(self.feeds.values()))

    @property
    def dropped(self) -> int:
        """Quotes that slow subscribers got none of but in another's ``dropped``, since the start."""
        return self._gone.dropped + sum(feed.log.dropped for feed in list(self.feeds.values()))

    @property
    def restarts(self) -> int:
        """Times that a feed's upstream ended unasked, since the start."""
        return self._gone.restarts + sum(feed.restarts for feed in list(self.feeds.values()))

    @property
    def rubbish(self) -> int:
        """What upstreams sent that was no quote, since the start."""
        return self._gone.rubbish + sum(feed.rubbish for feed in list(self.feeds.values()))

    def states(self) -> Counter[tuple[Demand, State]]:
        """How many feeds are in each state of their lifecycle."""
        return Counter((feed.life.demand, feed.life.upstream) for feed in list(self.feeds.values()))

    # ------------------------------------------------------------ told by feeds

    def has_news(self, feed: Feed) -> None:
        """Flush ``feed`` before this turn of the loop is over, with all others that have news."""
        if not self._dirty:
            self._loop.call_soon(self._flush)
        self._dirty[feed] = None

    def failed(self, feed: Feed) -> None:
        """Say so once where one loss fails hundreds of feeds in one go."""
        now = self._loop.time()
        if feed.failure != self._told or now - self._told_at > _SAME_FAILURE:
            log.warning("%s: %s (feeds under demand try again)", feed.symbol, feed.failure)
        else:
            log.debug("%s: %s", feed.symbol, feed.failure)
        self._told, self._told_at = feed.failure, now

    def forget(self, feed: Feed) -> None:
        """Forget ``feed``, but not what it counted."""
        self._gone.add(feed)
        del self.feeds[feed.symbol]
        if not self.feeds:
            self._emptied.set()

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, {}
        turn = flush.FlushBatch(self._config.send_buffer)
        for feed in dirty:
            feed.drain(turn, alone=len(dirty) == 1)
        turn.deliver()
        for reader in turn.to_disconnect:
            reader.disconnect_slow()


_SAME_FAILURE = 5.0
"""Seconds within which the same failure of another feed is not news."""
