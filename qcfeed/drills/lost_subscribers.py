"""Subscriptions whose connection is closed; the incident had 4,234 of them."""

from __future__ import annotations

import logging

from qcfeed.drills.base import DrillEnvironment
from qcfeed.feed.slow_consumer import Backlog
from qcfeed.feed.subscriber import Subscriber
from qcfeed.model.messages import CloseCode
from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy
from qcfeed.model.symbol import Symbol

log = logging.getLogger("qcfeed.drill")


class LostSubscribers:
    """Creates subscriptions of closed connections, which keep feeds running for nobody."""

    def __init__(self, environment: DrillEnvironment, count: float) -> None:
        self._hub = environment.hub
        self._count = int(count)
        self._subscribers: list[Subscriber] = []

    def start(self) -> None:
        universe = self._hub.upstream.symbols() or [Symbol("AAPL")]
        self._subscribers = [
            self._hub.subscribe(universe[number % len(universe)], _ClosedConsumer())
            for number in range(self._count)
        ]

    async def stop(self) -> None:
        for subscriber in self._subscribers:
            self._hub.unsubscribe(subscriber)
        self._subscribers = []


class _ClosedConsumer:
    """A consumer that is no longer connected, and accepts and discards everything."""

    connected = False
    writable = True
    stalled_since: float | None = None

    def __init__(self) -> None:
        self.backlog = Backlog(SlowConsumerPolicy.CONFLATE, 1)
        self.subscribers: dict[Symbol, Subscriber] = {}

    def write(self, data: bytes) -> None:
        """Discard."""

    def push(self, data: bytes) -> int:
        """Discard."""
        return len(data)

    def queue_unsent(self, rest: bytes, error: OSError | None) -> None:
        """Never called: ``push`` accepts everything."""

    def disconnect_slow(self) -> None:
        """Never called: it is never behind."""

    def evict(self, subscriber: Subscriber, code: CloseCode, reason: str) -> None:
        """Nothing to do: it is closed already."""
