"""One tenure as the owner of a share: announces it, and learns which symbols gateways want."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from qcfeed.cluster.connection import NatsConnection
from qcfeed.cluster.core import control, envelope, subjects
from qcfeed.cluster.core.envelope import Epoch, PublishedRefusal
from qcfeed.cluster.core.interest import Interest
from qcfeed.cluster.core.lease import Lease
from qcfeed.cluster.core.shares import Share
from qcfeed.cluster.feeder_fault import FeederFaults
from qcfeed.cluster.nats_client import end
from qcfeed.cluster.publisher import Publisher, symbol_of
from qcfeed.errors import InvalidSymbolError, UnknownSymbolError, UpstreamError
from qcfeed.model import symbol as symbols
from qcfeed.model.symbol import Symbol
from qcfeed.server.hub import Hub

if TYPE_CHECKING:
    from nats.aio.subscription import Subscription as NatsSubscription

log = logging.getLogger("qcfeed.feeder")


class Ownership:
    """Begins with ``start``. ``highest`` is the highest epoch that a gateway knows."""

    def __init__(
        self,
        share: Share,
        epoch: int,
        lease: Lease,
        hub: Hub,
        publisher: Publisher,
        connection: NatsConnection,
        clock: Callable[[], float],
        faults: FeederFaults,
    ) -> None:
        self.epoch = epoch
        self.interest = Interest()
        self.highest = epoch
        self.higher_epoch = 0
        """The highest epoch of the share that a gateway has seen, if it is above this owner's; else 0."""
        self._share = share
        self._lease = lease
        self._hub = hub
        self._publisher = publisher
        self._connection = connection
        self._clock = clock
        self._faults = faults
        self._inbox = connection.new_inbox()
        self._probes = connection.new_inbox()
        self._replies: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(_MAX_REPLIES)
        self._subscriptions: list[NatsSubscription] = []
        self._tasks: list[asyncio.Task[None]] = []
        publisher.on_evicted = self.interest.wanted.discard

    async def start(self) -> None:
        """Subscribe and announce. Raises UpstreamError."""
        connection, loop = self._connection, asyncio.get_running_loop()
        self.interest.wanted.update(self._hub.feeds)  # after a short loss of the connection
        self._subscriptions = [
            await connection.listen(self._inbox, self._on_wanted),
            await connection.listen(f"{self._probes}.*", self._on_probed),
            # Last: requests are answered once everything else is there.
            await connection.listen(subjects.ALL_LATEST, self._on_request),
        ]
        self._tasks = [
            loop.create_task(self._announce(), name="owner announces itself"),
            loop.create_task(self._answer(), name="owner answers gateways"),
        ]

    async def stop(self) -> None:
        """Unsubscribe, and end the tasks."""
        await end(*self._tasks)
        from nats import errors

        for subscription in self._subscriptions:
            with contextlib.suppress(errors.Error, OSError):
                await subscription.unsubscribe()

    # ------------------------------------------------------------ announcements

    async def _announce(self) -> None:
        """Announce the owner and ask the gateways, in rounds, until cancelled or disconnected."""
        pause = round_length(self._lease.ttl)
        try:
            while True:
                self.interest.begin()
                await self._connection.publish(subjects.OWNERS, self._announcement(), self._inbox)
                await asyncio.sleep(pause)
                if self._lease.holds(self._clock()):
                    await self._end_round()
        except UpstreamError as error:
            log.debug("%s", error)  # the feeder sees the loss of its connection itself

    def _announcement(self) -> bytes:
        health = self._hub.upstream.health()
        needed = bool(self._hub.feeds)
        return control.encode(
            control.Announcement(
                owner=self._lease.name,
                number=self._share.number,
                count=self._share.count,
                epoch=self.epoch,
                upstream=self._hub.upstream.name[:256],
                # An upstream without feeds is not connected, which is no fault.
                upstream_connected=health.connected or not needed,
                lease_s=self._lease.ttl,
            )
        )

    async def _end_round(self) -> None:
        """Ask NATS about the symbols that no gateway listed: core/interest.py says why."""
        for symbol in self.interest.end():
            # An empty message with a reply: without subscribers, the server answers "no responders".
            await self._connection.publish(
                subjects.quotes(symbol), b"", f"{self._probes}.{subjects.token(symbol)}"
            )

    def _start(self, symbol: Symbol) -> bytes:
        """Start a wanted symbol; returns its latest quote, or a refusal, for the gateway that requests it."""
        try:
            return self._publisher.start(symbol).latest()
        except UnknownSymbolError as error:
            self.interest.wanted.discard(symbol)
            return envelope.pack_refusal(PublishedRefusal(Epoch(self.epoch, 0), error.message))

    # ------------------------------------------------------------ messages from gateways

    def _on_wanted(self, _: str, __: str, data: bytes, no_responders: bool) -> None:
        if no_responders or self._faults.deaf:  # no responders: there is no gateway
            return
        try:
            wanted = control.decode_wanted(data)
            chosen = [symbols.parse(each) for each in wanted.symbols]
        except (msgspec.DecodeError, msgspec.ValidationError, InvalidSymbolError) as error:
            log.warning("dropped an invalid answer from a gateway: %s", error)
            return
        self._hear_epochs(wanted)
        if self._lease.holds(self._clock()):
            owned = filter(self._share.owns, chosen)
            for symbol in self.interest.listed(wanted.gateway, owned):
                self._start(symbol)

    def _hear_epochs(self, wanted: control.Wanted) -> None:
        """Note the epochs that a gateway has seen: this owner's must not be lower, or its quotes are rejected."""
        if max(wanted.highest_epoch, wanted.share_epoch) > control.HIGHEST_BELIEVED:
            log.warning(
                "gateway %s reports an epoch that no feeder can have; restart that gateway",
                wanted.gateway,
            )
            return
        self.highest = max(self.highest, wanted.highest_epoch)
        if wanted.share_epoch > max(self.epoch, self.higher_epoch):
            self.higher_epoch = wanted.share_epoch
            log.warning(
                "gateway %s has seen epoch %d, which is above this owner's, %d",
                wanted.gateway,
                wanted.share_epoch,
                self.epoch,
            )
        if not self._faults.imagines_lease:
            self._lease.raise_floor(wanted.share_epoch)

    def _on_probed(self, subject: str, _: str, __: bytes, no_responders: bool) -> None:
        symbol = symbol_of(subject, f"{self._probes}.")
        if no_responders and symbol is not None and self.interest.no_responders(symbol):
            self._publisher.stop(symbol)

    def _on_request(self, subject: str, reply: str, _: bytes, __: bool) -> None:
        symbol = symbol_of(subject, subjects.LATEST)
        if symbol is None or not reply or not self._share.owns(symbol):
            return
        if not self._lease.holds(self._clock()) or self._replies.full():
            return
        self.interest.requested(symbol)
        self._replies.put_nowait((reply, self._start(symbol)))

    async def _answer(self) -> None:
        try:
            while True:
                reply, data = await self._replies.get()
                if self._lease.holds(self._clock()):
                    await self._connection.publish(reply, data)
        except UpstreamError as error:
            log.debug("%s", error)


def round_length(ttl: float) -> float:
    """Seconds from one announcement to the next."""
    return min(1.0, ttl / 4)


_MAX_REPLIES = 10_000
"""Answers that wait to be sent; a gateway whose request is not answered asks again."""
