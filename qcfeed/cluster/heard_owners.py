"""The owners whose announcements a gateway receives: their epochs, and which shares have no owner."""

from __future__ import annotations

import asyncio
import logging
import time

from qcfeed.cluster.core.control import Announcement
from qcfeed.cluster.core.epochs import OwnerEpochs
from qcfeed.cluster.core.shares import Share
from qcfeed.model.cluster import Owner

log = logging.getLogger("qcfeed.gateway")

GRACE = 2.0
"""Seconds after the end of its lease at which a silent owner counts as gone."""


class HeardOwners:
    """Read from any thread; changed in the service's loop."""

    def __init__(self) -> None:
        self.epochs = OwnerEpochs()
        self._announced: dict[Share, tuple[Announcement, float]] = {}
        self._listens_since = time.monotonic()
        self._heard = asyncio.Event()

    def begin(self) -> None:
        """A new connection: owners that were heard on another one may be gone."""
        self._announced.clear()
        self._listens_since = time.monotonic()

    def hear(self, heard: Announcement) -> bool:
        """Note an announcement; False if its epoch is lower than one already known."""
        share = Share(heard.number, heard.count)
        known = self._announced.get(share)
        if heard.epoch < max(self.epochs.of(share), known[0].epoch if known else 0):
            return False
        if known is None or heard.epoch > known[0].epoch:
            log.info("share %s: %s is the owner, epoch %d", share, heard.owner, heard.epoch)
        self._announced[share] = (heard, time.monotonic())
        self.epochs.raise_to(share, heard.epoch)
        # Wakes the feeds that wait now; later ones wait for the next announcement.
        self._heard.set()
        self._heard.clear()
        return True

    async def wait(self, timeout: float) -> None:
        """Wait for the next announcement, at most ``timeout`` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._heard.wait()
        except TimeoutError:
            return

    def current(self) -> list[Owner]:
        """The owners of the shares into which the symbols are divided now."""
        announced, now = dict(self._announced), time.monotonic()
        if not announced:
            return []
        newest = max(announced.values(), key=lambda each: each[1])[0].count
        return [
            Owner(
                symbol_share=str(share),
                name=owner.owner,
                lease_epoch=owner.epoch,
                upstream=owner.upstream,
                upstream_connected=owner.upstream_connected,
                announced_s=round(now - heard_at, 3),
                present=now - heard_at <= owner.lease_s + GRACE,
            )
            for share, (owner, heard_at) in sorted(announced.items(), key=lambda each: each[0])
            if share.count == newest
        ]

    def without_owner(self) -> int:
        """How many shares have no owner that announces itself; 1 if no owner has announced itself at all."""
        owners = self.current()
        if owners:
            return sum(not each.present for each in owners)
        return int(time.monotonic() - self._listens_since > GRACE)

    def faults(self) -> list[str]:
        """What is wrong: a share that nobody announces, an upstream that is down."""
        owners = self.current()
        if not owners and self.without_owner():
            return ["no owner has announced itself"]
        return [
            f"share {each.symbol_share} has had no owner for {each.announced_s:.0f} s"
            if not each.present
            else f"the upstream of {each.name} is down"
            for each in owners
            if not (each.present and each.upstream_connected)
        ]
