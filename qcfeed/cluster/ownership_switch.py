"""Begins and ends a feeder's ownership of its share, as its lease says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from qcfeed.cluster.connection import NatsConnection
from qcfeed.cluster.core.lease import Lease
from qcfeed.cluster.core.shares import Share
from qcfeed.cluster.feeder_fault import FeederFaults
from qcfeed.cluster.ownership import Ownership
from qcfeed.cluster.publisher import Outbox, Publisher
from qcfeed.server.hub import Hub

log = logging.getLogger("qcfeed.feeder")


class OwnershipSwitch:
    """At most one ownership at a time: the feeder's connection and its watch of the lease both begin and end it."""

    def __init__(
        self,
        share: Share,
        lease: Lease,
        outbox: Outbox,
        clock: Callable[[], float],
        faults: FeederFaults,
    ) -> None:
        self.hub: Hub | None = None
        """None until ``use``."""
        self.current: Ownership | None = None
        """None while this feeder is not the owner, or has no connection."""
        self._expects_end = False
        self._share = share
        self._lease = lease
        self._outbox = outbox
        self._clock = clock
        self._faults = faults
        self._publisher: Publisher | None = None
        self._highest = 0
        # Ending joins tasks, so the other task of the feeder may run in between.
        self._changing = asyncio.Lock()

    def use(self, hub: Hub) -> None:
        """Publish the feeds of ``hub``."""
        self.hub = hub
        self._publisher = Publisher(hub, self._outbox)

    def expect_end(self) -> None:
        """The feeder stops: the end of its ownership is no reason for a warning."""
        self._expects_end = True

    @property
    def highest(self) -> int:
        """The highest epoch that a gateway has been seen to know, in this ownership or an earlier one."""
        current = self.current
        return self._highest if current is None else max(self._highest, current.highest)

    async def begin(self, connection: NatsConnection) -> None:
        """Announce this feeder as the owner, and publish what gateways want. Raises UpstreamError."""
        async with self._changing:
            epoch, hub, publisher = self._lease.epoch, self.hub, self._publisher
            # The lease may have been lost while this call waited for the lock.
            if epoch is None or hub is None or publisher is None:
                return
            log.info("owner of share %s, epoch %d", self._share, epoch)
            self.current = Ownership(
                self._share,
                epoch,
                self._lease,
                hub,
                publisher,
                connection,
                self._clock,
                self._faults,
            )
            await self.current.start()

    async def check_lease(self) -> None:
        """End the ownership if its lease is lost, has expired, or was acquired again under another epoch."""
        self._lease.expire(self._clock())
        epoch, current = self._lease.epoch, self.current
        if epoch is None or (current is not None and current.epoch != epoch):
            async with self._changing:
                await self.end_announcements()
                await self.end_feeds()

    async def suspend(self) -> None:
        """The connection is lost: announce nothing, but keep the feeds, for the lease may be renewed in time."""
        current = self.current
        if current is not None:
            self._highest = self.highest
            self.current = None
            await current.stop()
            self._outbox.clear()

    async def end_announcements(self) -> None:
        """Announce nothing more, and answer no gateway."""
        current = self.current
        if current is not None:
            self._highest = self.highest
            self.current = None
            level = logging.INFO if self._expects_end else logging.WARNING
            log.log(level, "no longer owner of share %s, epoch %d", self._share, current.epoch)
            await current.stop()

    async def end_feeds(self) -> None:
        """End every feed at once; its tasks are joined."""
        if self.hub is not None and self.hub.feeds and self._publisher is not None:
            await self._publisher.stop_all()
