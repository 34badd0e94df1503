"""The feeder's consumers in the hub: each sends one symbol's quotes to NATS, while the lease is held."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from qcfeed.cluster.connection import NatsConnection
from qcfeed.cluster.core import envelope, subjects
from qcfeed.cluster.core.envelope import PublishedQuote, PublishedRefusal
from qcfeed.cluster.core.lease import Lease
from qcfeed.errors import InvalidSymbolError
from qcfeed.feed.slow_consumer import Backlog
from qcfeed.feed.subscriber import Subscriber
from qcfeed.model import frames
from qcfeed.model.messages import CloseCode, Status
from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy
from qcfeed.model.symbol import Symbol
from qcfeed.server.feed import Feed
from qcfeed.server.hub import Hub

MAX_QUEUED = 65_536
"""Messages that wait for NATS; the oldest are dropped beyond that, and gateways count them as missing."""


class Outbox:
    """Messages to publish. One task sends them, and checks the lease before each."""

    def __init__(self, lease: Callable[[], Lease | None], clock: Callable[[], float]) -> None:
        self._lease = lease
        self._clock = clock
        self._queue: deque[tuple[str, bytes]] = deque(maxlen=MAX_QUEUED)
        self._filled = asyncio.Event()
        self.published = 0
        self.fenced = 0
        """Messages not sent because the lease had ended."""
        self.dropped = 0
        """Messages not sent because too many waited, or the connection was lost."""

    def put(self, subject: str, data: bytes) -> None:
        self.dropped += len(self._queue) == MAX_QUEUED
        self._queue.append((subject, data))
        self._filled.set()

    def clear(self) -> None:
        """Drop the waiting messages: they would be sent late, or by a feeder that is no longer the owner."""
        self.dropped += len(self._queue)
        self._queue.clear()

    async def send(self, connection: NatsConnection) -> None:
        """Send what is put, until cancelled. Raises UpstreamError when the connection is lost."""
        queue = self._queue
        while True:
            await self._filled.wait()
            self._filled.clear()
            while queue:
                subject, data = queue.popleft()
                # Right before sending: the process may have been stopped (SIGSTOP, a suspended machine) for longer than its lease.
                lease = self._lease()
                if lease is None or not lease.holds(self._clock()):
                    self.fenced += 1
                    continue
                await connection.publish(subject, data)
                self.published += 1
            # ``publish`` may never wait, so let other tasks run even if more messages come all the time.
            await asyncio.sleep(0)


class PublishedSymbol:
    """One symbol's consumer in the hub. It is always writable, because the outbox accepts everything."""

    def __init__(
        self, symbol: Symbol, hub: Hub, outbox: Outbox, on_evicted: Callable[[Symbol], None]
    ) -> None:
        self.symbol = symbol
        self.backlog = Backlog(SlowConsumerPolicy.CONFLATE, 1)
        self.subscribers: dict[Symbol, Subscriber] = {}
        self.writable = True
        self.stalled_since: float | None = None
        self.connected = True
        self._subject = subjects.quotes(symbol)
        self._hub = hub
        self._outbox = outbox
        self._on_evicted = on_evicted

    def subscribe(self) -> None:
        """Start the symbol, or keep it from ending. Raises UnknownSymbolError."""
        if self.symbol not in self.subscribers:
            self.subscribers[self.symbol] = self._hub.subscribe(self.symbol, self)

    def unsubscribe(self) -> None:
        subscriber = self.subscribers.pop(self.symbol, None)
        if subscriber is not None:
            self._hub.unsubscribe(subscriber)

    @property
    def feed(self) -> Feed | None:
        return self._hub.feeds.get(self.symbol)

    def push(self, data: bytes) -> int:
        self.write(data)
        return len(data)

    def write(self, data: bytes) -> None:
        feed, subscriber = self.feed, self.subscribers.get(self.symbol)
        if feed is None or subscriber is None:
            return
        texts = [frames.payload(each) for each in frames.split(data)]
        epoch = envelope.parse_epoch(feed.epoch)
        # The log counts frames from 0 and has moved the cursor past these; ``seq`` counts from 1.
        first = subscriber.cursor - len(texts) + 1
        for seq, text in enumerate(texts, first):
            self._outbox.put(self._subject, envelope.pack(PublishedQuote(epoch, seq, text)))

    def latest(self) -> bytes:
        """The latest quote for a newcomer; empty if there is none that is fresh."""
        feed = self.feed
        if feed is None or feed.log.latest is None or feed.staleness.reason is not None:
            return b""
        epoch = envelope.parse_epoch(feed.epoch)
        return envelope.pack(PublishedQuote(epoch, feed.log.head, feed.log.latest))

    def queue_unsent(self, rest: bytes, error: OSError | None) -> None:
        raise RuntimeError(f"an outbox takes everything, but {len(rest)} bytes were left: {error}")

    def disconnect_slow(self) -> None:
        raise RuntimeError("an outbox is never slow")

    def send_status(self, status: Status) -> None:
        """Does nothing: each gateway judges by itself how old its quotes are."""

    def evict(self, subscriber: Subscriber, code: CloseCode, reason: str) -> None:
        self.subscribers.pop(subscriber.symbol, None)
        feed = self.feed
        if code is CloseCode.UNKNOWN_SYMBOL and feed is not None:
            refusal = PublishedRefusal(envelope.parse_epoch(feed.epoch), reason)
            self._outbox.put(self._subject, envelope.pack_refusal(refusal))
        self._on_evicted(self.symbol)


class Publisher:
    """All published symbols of a feeder."""

    def __init__(self, hub: Hub, outbox: Outbox) -> None:
        self._hub = hub
        self._outbox = outbox
        self._symbols: dict[Symbol, PublishedSymbol] = {}
        self.on_evicted: Callable[[Symbol], None] | None = None
        """Called when a feed has been forced down: by the upstream's refusal, or by an operator."""

    def start(self, symbol: Symbol) -> PublishedSymbol:
        """Publish ``symbol`` from now on. Raises UnknownSymbolError."""
        published = self._symbols.get(symbol)
        if published is None:
            published = PublishedSymbol(symbol, self._hub, self._outbox, self._evicted)
        published.subscribe()
        self._symbols[symbol] = published
        return published

    def stop(self, symbol: Symbol) -> None:
        """Nobody wants ``symbol``: its feed lingers, then closes."""
        published = self._symbols.pop(symbol, None)
        if published is not None:
            published.unsubscribe()

    async def stop_all(self) -> None:
        """End all feeds at once and join their tasks."""
        self._symbols.clear()
        await self._hub.stop()
        self._outbox.clear()

    def _evicted(self, symbol: Symbol) -> None:
        self._symbols.pop(symbol, None)
        if self.on_evicted is not None:
            self.on_evicted(symbol)


def symbol_of(subject: str, prefix: str) -> Symbol | None:
    """The symbol in a subject; None if it is not one."""
    try:
        return subjects.symbol_of(subject.removeprefix(prefix))
    except InvalidSymbolError:
        return None
