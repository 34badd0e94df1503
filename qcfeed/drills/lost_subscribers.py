"""Subscriptions whose connection is gone: the incident had 4,234 of them."""

from __future__ import annotations

import logging

from qcfeed.drills.base import DrillEnvironment
from qcfeed.feed.slow_consumer import Backlog
from qcfeed.feed.subscriber import Subscriber
from qcfeed.model.messages import CloseCode, Status
from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy
from qcfeed.model.symbol import Symbol

log = logging.getLogger("qcfeed.drill")


class LostSubscribers:
    """Connections end, and what they held is not given back: feeds run for nobody."""

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
    """A reader that is no longer there, and to which everything can be said."""

    connected = False
    writable = True
    stalled_since: float | None = None

    def __init__(self) -> None:
        self.backlog = Backlog(SlowConsumerPolicy.CONFLATE, 1)
        self.subscribers: dict[Symbol, Subscriber] = {}

    def write(self, data: bytes) -> None:
        """To nobody."""

    def push(self, data: bytes) -> int:
        """To nobody."""
        return len(data)

    def queue_unsent(self, rest: bytes, error: OSError | None) -> None:
        """Nothing is ever left."""

    def disconnect_slow(self) -> None:
        """It is never behind."""

    def send_status(self, status: Status) -> None:
        """To nobody."""

    def evict(self, subscriber: Subscriber, code: CloseCode, reason: str) -> None:
        """It was gone already."""
