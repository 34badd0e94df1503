"""The incident itself. ``ZombieFeeds`` is the feed manager of 2024-03-20, its three faults marked."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import cast

from qcfeed.diagnostics import label, owned_by, reaper
from qcfeed.diagnostics.filters import Filter
from qcfeed.diagnostics.long_lists import drained
from qcfeed.drills.base import DrillEnvironment
from qcfeed.feed.subscriber import Consumer, Subscriber
from qcfeed.model.symbol import Symbol

log = logging.getLogger("qcfeed.drill")

_BATCH = 1_000
_WAKES_A_SECOND = 1_000
"""What all zombies together may cost: beyond it each sleeps longer than the incident's second."""
_HERE = Filter(site="drills/zombies.py")


class ZombieFeeds:
    """A feed manager that leaks a task for every subscription that ever was.

    ``count`` of them are there at once. Stopping ends them, which the incident's manager could not.
    """

    def __init__(self, environment: DrillEnvironment, count: float) -> None:
        self._hub = environment.hub
        self._ledger = environment.ledger
        self._count = int(count)
        self._period = max(1.0, count / _WAKES_A_SECOND)
        self._working: asyncio.Task[None] | None = None
        self.running = False

    def start(self) -> None:
        """Start a zombie for each subscription from now on, and those of the past at once."""
        self.running = True
        self._hub.observers.append(self.start_symbol_feed)
        self._working = asyncio.create_task(self._populate(), name="drill populate")

    async def stop(self) -> None:
        self.running = False
        self._hub.observers.remove(self.start_symbol_feed)
        if self._working is not None:
            self._working.cancel()
            await asyncio.wait([self._working])
        await reaper.cancel(drained(_HERE.select(self._ledger, time.monotonic())))

    def start_symbol_feed(self, subscriber: Subscriber) -> None:
        """Fault 1: the task's handle is dropped, so nobody can cancel it."""
        with owned_by(subscriber), label(symbol=subscriber.symbol):
            asyncio.get_running_loop().create_task(self._generate_quotes(subscriber))

    async def _generate_quotes(self, subscriber: Subscriber) -> None:
        while True:  # Fault 2: `running` is never looked at.
            if not self._send(subscriber):  # Fault 3: a failed send is noted, and no more.
                log.debug("No receivers for %s", subscriber.symbol)
            await asyncio.sleep(self._period)

    def _send(self, subscriber: Subscriber) -> bool:
        return not subscriber.closed

    async def _populate(self) -> None:
        for number in range(self._count):
            self._leave_one_behind(number)
            if number % _BATCH == _BATCH - 1:
                await asyncio.sleep(0.01)
        log.warning("DRILL zombie-feeds: %d zombies are alive", self._count)

    def _leave_one_behind(self, number: int) -> None:
        """What a subscription of the past has left."""
        universe = self._hub.upstream.symbols() or [Symbol("AAPL")]
        subscriber = Subscriber(universe[number % len(universe)], cast("Consumer", None))
        self.start_symbol_feed(subscriber)
        subscriber.closed_at = time.monotonic()


class ZombieGrowth(ZombieFeeds):
    """As the incident grew: so many more zombies a minute."""

    def __init__(self, environment: DrillEnvironment, a_minute: float) -> None:
        super().__init__(environment, 0)
        self._every = 60.0 / a_minute

    async def _populate(self) -> None:
        loop = asyncio.get_running_loop()
        began, number = loop.time(), 0
        while True:
            while number * self._every <= loop.time() - began:
                self._leave_one_behind(number)
                number += 1
            await asyncio.sleep(max(0.05, self._every))
