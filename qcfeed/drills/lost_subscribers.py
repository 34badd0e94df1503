"""Subscriptions whose connection is gone: the incident had 4,234 of them."""

from __future__ import annotations

import logging

from qcfeed.drills.base import Stage
from qcfeed.feed.slow_consumer import Backlog
from qcfeed.feed.subscriber import Subscriber
from qcfeed.model.messages import CloseCode, Status
from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy
from qcfeed.model.symbol import Symbol

log = logging.getLogger("qcfeed.drill")


class LostReaders:
    """Connections end, and what they held is not given back: feeds run for nobody."""

    def __init__(self, on: Stage, count: float) -> None:
        self._hub = on.hub
        self._count = int(count)
        self._holds: list[Subscriber] = []

    def start(self) -> None:
        universe = self._hub.upstream.symbols() or [Symbol("AAPL")]
        self._holds = [
            self._hub.subscribe(universe[number % len(universe)], _Gone())
            for number in range(self._count)
        ]

    async def stop(self) -> None:
        for hold in self._holds:
            self._hub.unsubscribe(hold)
        self._holds = []


class _Gone:
    """A reader that is no longer there, and to which everything can be said."""

    connected = False
    writable = True
    stalled_since: float | None = None

    def __init__(self) -> None:
        self.backlog = Backlog(SlowConsumerPolicy.CONFLATE, 1)
        self.held: dict[Symbol, Subscriber] = {}

    def write(self, data: bytes) -> None:
        """To nobody."""

    def push(self, data: bytes) -> int:
        """To nobody."""
        return len(data)

    def keep(self, rest: bytes, error: OSError | None) -> None:
        """Nothing is ever left."""

    def disconnect_slow(self) -> None:
        """It is never behind."""

    def tell(self, status: Status) -> None:
        """To nobody."""

    def evict(self, subscriber: Subscriber, code: CloseCode, reason: str) -> None:
        """It was gone already."""
