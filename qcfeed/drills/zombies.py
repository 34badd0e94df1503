"""The incident. ``ZombieFeeds`` is the feed manager of 2024-03-20, with its three faults marked."""

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
_MAX_WAKEUPS_PER_SECOND = 1_000
"""Limit for all zombies together; with more zombies each sleeps longer than the incident's 1 s."""
_THESE_TASKS = Filter(site="drills/zombies.py")


class ZombieFeeds:
    """A feed manager that leaks a task for every subscription.

    ``count`` zombies are created at the start. Unlike in the incident, stopping the drill ends them.
    """

    def __init__(self, environment: DrillEnvironment, count: float) -> None:
        self._hub = environment.hub
        self._ledger = environment.ledger
        self._count = int(count)
        self._period = max(1.0, count / _MAX_WAKEUPS_PER_SECOND)
        self._working: asyncio.Task[None] | None = None
        self.running = False

    def start(self) -> None:
        """Create ``count`` zombies now, and one more for each subscription from now on."""
        self.running = True
        self._hub.observers.append(self.start_symbol_feed)
        self._working = asyncio.create_task(self._populate(), name="drill populate")

    async def stop(self) -> None:
        self.running = False
        self._hub.observers.remove(self.start_symbol_feed)
        if self._working is not None:
            self._working.cancel()
            await asyncio.wait([self._working])
        await reaper.cancel(drained(_THESE_TASKS.select(self._ledger, time.monotonic())))

    def start_symbol_feed(self, subscriber: Subscriber) -> None:
        """Fault 1: the task's handle is dropped, so nobody can cancel it."""
        with owned_by(subscriber), label(symbol=subscriber.symbol):
            asyncio.get_running_loop().create_task(self._generate_quotes(subscriber))

    async def _generate_quotes(self, subscriber: Subscriber) -> None:
        while True:  # Fault 2: `running` is never checked.
            if not self._send(subscriber):  # Fault 3: a failed send is only logged.
                log.debug("No receivers for %s", subscriber.symbol)
            await asyncio.sleep(self._period)

    def _send(self, subscriber: Subscriber) -> bool:
        return not subscriber.closed

    async def _populate(self) -> None:
        for number in range(self._count):
            self._leave_one_behind(number)
            # The drill must not stall the loop: that is another fault.
            if number % _BATCH == _BATCH - 1:
                await asyncio.sleep(0.01)
        log.warning("DRILL zombie-feeds: %d zombies are alive", self._count)

    def _leave_one_behind(self, number: int) -> None:
        """Create the zombie of a subscription that has ended."""
        universe = self._hub.upstream.symbols() or [Symbol("AAPL")]
        subscriber = Subscriber(universe[number % len(universe)], cast("Consumer", None))
        self.start_symbol_feed(subscriber)
        # Closed without the hub: the zombie's owner is gone, and nobody was told.
        subscriber.closed_at = time.monotonic()


class ZombieGrowth(ZombieFeeds):
    """The same leak, growing by ``per_minute`` zombies per minute."""

    def __init__(self, environment: DrillEnvironment, per_minute: float) -> None:
        super().__init__(environment, 0)
        self._every = 60.0 / per_minute

    async def _populate(self) -> None:
        loop = asyncio.get_running_loop()
        began, number = loop.time(), 0
        while True:
            while number * self._every <= loop.time() - began:
                self._leave_one_behind(number)
                number += 1
            await asyncio.sleep(max(0.05, self._every))
