"""The incident on purpose, so that it can be rehearsed. Only ``--drill`` reaches this file.

``ZombieFeeds`` is the feed manager of 2024-03-20 beside the real one, with its three faults marked.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import cast

from qcfeed.core.broadcast import Subscriber
from qcfeed.core.symbol import Symbol
from qcfeed.diagnostics import label, owned_by
from qcfeed.errors import ConfigError
from qcfeed.service.feed import Reader
from qcfeed.service.hub import Hold, Hub

log = logging.getLogger("qcfeed.drill")

ZOMBIE_FEEDS = "zombie-feeds"
_BATCH = 1_000
_WAKES_A_SECOND = 1_000
"""What all zombies together may cost: beyond it each sleeps longer than the incident's second."""
MOST = 1_000_000


def parse(text: str) -> int:
    """How many zombies ``zombie-feeds`` or ``zombie-feeds=N`` asks for at the start."""
    name, _, number = text.partition("=")
    counted = number.isascii() and number.isdecimal() and int(number) <= MOST
    if name != ZOMBIE_FEEDS or (number and not counted):
        raise ConfigError(
            f"there is no drill {text!r}",
            hint=f"{ZOMBIE_FEEDS}, or {ZOMBIE_FEEDS}=N with N up to {MOST:,}",
        )
    return int(number or 0)


class ZombieFeeds:
    """A feed manager that leaks a task for every subscription that ever was."""

    def __init__(self, hub: Hub, count: int) -> None:
        self._hub = hub
        self._count = count
        self._period = max(1.0, count / _WAKES_A_SECOND)
        self._populating: asyncio.Task[None] | None = None
        self.running = False

    def start(self) -> None:
        """Start a zombie for each subscription from now on, and ``count`` of the past at once."""
        log.warning("DRILL %s: this service leaks tasks on purpose", ZOMBIE_FEEDS)
        self.running = True
        self._hub.observers.append(self.start_symbol_feed)
        self._populating = asyncio.create_task(self._populate(), name="drill populate")

    async def stop(self) -> None:
        """Start no more; those that run do what they did in the incident: nothing."""
        self.running = False
        self._hub.observers.remove(self.start_symbol_feed)
        if self._populating is not None:
            self._populating.cancel()
            await asyncio.wait([self._populating])

    def start_symbol_feed(self, subscriber: Hold) -> None:
        """Fault 1: the task's handle is dropped, so nobody can cancel it."""
        with owned_by(subscriber), label(symbol=subscriber.symbol):
            asyncio.get_running_loop().create_task(self._generate_quotes(subscriber))

    async def _generate_quotes(self, subscriber: Hold) -> None:
        while True:  # Fault 2: `running` is never looked at.
            if not self._send(subscriber):  # Fault 3: a failed send is noted, and no more.
                log.debug("No receivers for %s", subscriber.symbol)
            await asyncio.sleep(self._period)

    def _send(self, subscriber: Hold) -> bool:
        return not subscriber.closed

    async def _populate(self) -> None:
        universe = self._hub.upstream.symbols() or [Symbol("AAPL")]
        nobody = cast("Reader", None)
        for number in range(self._count):
            subscriber = Subscriber(universe[number % len(universe)], nobody)
            self.start_symbol_feed(subscriber)
            subscriber.closed_at = time.monotonic()
            if number % _BATCH == _BATCH - 1:
                await asyncio.sleep(0.01)
        log.warning("DRILL %s: %d zombies are alive", ZOMBIE_FEEDS, self._count)
