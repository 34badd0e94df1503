"""Slows an upstream that could publish at any rate (``rate=max``) to the rate at which its consumers read."""

from __future__ import annotations

import asyncio

from qcfeed.feed.lifecycle import Lifecycle
from qcfeed.feed.log import QuoteLog
from qcfeed.feed.subscriber import Consumer, Subscriber

STALL_GRACE = 0.25
"""Seconds after which an upstream no longer waits for a stalled consumer."""


class UpstreamPacing:
    """Lets a feed's upstream wait for the feed's consumers. ``near_head``: unread quotes that it allows."""

    def __init__(
        self,
        lifecycle: Lifecycle[Subscriber],
        log: QuoteLog,
        near_head: int,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._lifecycle = lifecycle
        self._log = log
        self._near_head = near_head
        self._loop = loop
        self._ready: asyncio.Future[None] | None = None
        self._awaited_consumers: set[Consumer] = set()
        """Consumers that are too far behind for the upstream to go on."""

    async def wait(self) -> None:
        """Wait until the consumers have accepted what was published; stalled ones are not waited for."""
        while not self._consumers_are_ready():
            self._ready = self._loop.create_future()
            # The timeout is for consumers that stall meanwhile: nothing calls ``wake`` when STALL_GRACE is over.
            await asyncio.wait([self._ready], timeout=STALL_GRACE)
        self._ready = None
        # At least one turn of the loop, in which the published quotes are flushed.
        await asyncio.sleep(0)

    def _consumers_are_ready(self) -> bool:
        """Whether all consumers that read are near the head; False when there are none."""
        now, near = self._loop.time(), self._log.head - self._near_head
        reading = [
            subscriber
            for subscriber in self._lifecycle.subscribers
            if (since := subscriber.consumer.stalled_since) is None or now - since < STALL_GRACE
        ]
        # Kept for ``caught_up``: only a consumer that the upstream waits for wakes it.
        self._awaited_consumers = {each.consumer for each in reading if each.cursor < near}
        return bool(reading) and not self._awaited_consumers

    def caught_up(self, consumer: Consumer) -> None:
        """``consumer`` was sent its backlog, or as much of it as the kernel accepted."""
        if consumer in self._awaited_consumers:
            self._awaited_consumers.discard(consumer)
            if not self._awaited_consumers:
                self.wake()

    def wake(self) -> None:
        """Something has changed: let a waiting upstream look again."""
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)
