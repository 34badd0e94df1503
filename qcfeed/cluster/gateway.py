"""``--upstream nats://...``: the quotes of feeders, through NATS, as an upstream of the service.

One subscription per running feed, on one connection (shared_connection.py). When the connection is lost, every
feed's ``run`` fails, and each feed backs off and retries by itself. The first that retries opens a new connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import time
from collections.abc import Sequence

import msgspec

from qcfeed.cluster import servers as addresses
from qcfeed.cluster.connection import NatsConnection, check
from qcfeed.cluster.core import control, envelope, subjects
from qcfeed.cluster.core.envelope import InvalidEnvelopeError
from qcfeed.cluster.core.epochs import QuoteOrder
from qcfeed.cluster.core.shares import Share
from qcfeed.cluster.heard_owners import HeardOwners
from qcfeed.cluster.link_fault import Link
from qcfeed.cluster.reaper import NOT_HERE, ClusterReaper
from qcfeed.cluster.shared_connection import SharedConnection
from qcfeed.cluster.subscription import Subscription
from qcfeed.config import NatsConfig
from qcfeed.errors import UnknownSymbolError, UpstreamError
from qcfeed.model.cluster import (
    ClusterReaped,
    ClusterReapRequest,
    ClusterStatus,
    ClusterView,
    SubscriptionSeen,
)
from qcfeed.model.encoded import EncodedQuote
from qcfeed.model.link_faults import LinkFault
from qcfeed.model.symbol import Symbol
from qcfeed.upstreams.base import Sink, Upstream, UpstreamHealth
from qcfeed.upstreams.url import UpstreamUrl

log = logging.getLogger("qcfeed.gateway")

ANSWER_TIMEOUT = 2.0
"""Seconds to wait for the answer to one request."""
OWNER_TIMEOUT = 6.0
"""Seconds to wait for an owner when a feed starts."""
MAX_BATCH = 256
"""Waiting quotes of one symbol that are served one by one; of more, only the newest is served."""


def connect(url: UpstreamUrl) -> Upstream:
    """The upstream for a URL such as ``nats://host:4222``. Nothing is connected yet."""
    servers, config = addresses.parse(url.text, "--upstream"), url.group(NatsConfig)
    check(servers, config)
    return NatsUpstream(servers, config)


class NatsUpstream(Upstream):
    """The gateway's upstream; see the module. ``closed`` is true after ``close``."""

    is_feeder = False

    def __init__(self, urls: Sequence[str], config: NatsConfig) -> None:
        self.name = addresses.short_name(list(urls))
        self.gateway = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(2)}"
        """This gateway's name in its answers to owners."""
        self.closed = False
        self.urls: Sequence[str] = tuple(urls)
        """Its NATS servers."""
        self._owners = HeardOwners()
        self._orders: dict[Symbol, QuoteOrder] = {}
        self._read_lives: set[str] = set()
        """The lives of the subscriptions that feeds read."""
        self._counts = {"gaps": 0, "invalid": 0, "rejected": 0, "skipped": 0}
        self._link = Link(MAX_BATCH)
        self._shared = SharedConnection(
            urls, config, f"qcfeed {self.gateway}", self._link, self._begin
        )

    # ------------------------------------------------------------ the upstream's interface

    async def run(self, symbol: Symbol, sink: Sink) -> None:
        async with self._shared.use() as connection:
            order = QuoteOrder(symbol, self._owners.epochs)
            # Before the request, so that no quote after the answer is missed.
            subscription = await connection.subscribe(subjects.quotes(symbol))
            self._orders[symbol] = order
            self._read_lives.add(subscription.life)
            try:
                answer = await self._ask_owner(connection, symbol)
                if answer:
                    self._unpack(answer, order, symbol)  # a refusal ends the feed before it opens
                sink.opened()
                if answer:
                    self._serve([answer], order, symbol, sink)
                await self._read(subscription, order, symbol, sink)
            finally:
                self._orders.pop(symbol, None)
                self._read_lives.discard(subscription.life)
                await subscription.end()

    def health(self) -> UpstreamHealth:
        shared, counts = self._shared, self._counts
        connection = shared.current
        faults = [] if connection is None else self._faults(connection)
        up = connection is not None and not connection.lost and not faults
        detail = shared.detail if connection is None else "; ".join(faults)
        return UpstreamHealth(up, shared.reconnects, counts["gaps"], counts["invalid"], detail)

    async def close(self) -> None:
        self.closed = True
        await self._shared.close()

    def set_fault(self, fault: LinkFault) -> None:
        """Break this gateway's link in one way, for a drill; with NONE, repair it."""
        self._link.fault = fault
        connection = self._shared.current
        if fault in (LinkFault.BROKER_AWAY, LinkFault.BROKER_FLAPS) and connection:
            connection.mark_lost()

    async def end_leaked(self) -> None:
        """End the subscriptions that nothing reads."""
        for each in self._subscriptions().values():
            if each.life not in self._read_lives:
                await each.end()

    # ------------------------------------------------------------ quotes

    async def _ask_owner(self, connection: NatsConnection, symbol: Symbol) -> bytes:
        """Ask the owner to start the symbol; its latest quote, or nothing. Raises UpstreamError.

        Without an owner, which may be about to take over, it asks again at the next announcement.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + OWNER_TIMEOUT
        while (left := ends - loop.time()) > 0:
            try:
                answer = await connection.request(
                    subjects.latest(symbol), b"", min(left, ANSWER_TIMEOUT)
                )
            except (
                TimeoutError
            ):  # only owners of other shares may be subscribed, and they do not answer
                continue
            if answer is not None:
                return answer
            await self._owners.wait(min(left, ANSWER_TIMEOUT))
        raise UpstreamError(
            f"no feeder owns the share of {symbol} on {self.name}; `qcfeed feeder` starts one"
        )

    async def _read(
        self, subscription: Subscription, order: QuoteOrder, symbol: Symbol, sink: Sink
    ) -> None:
        while True:
            await self._link.before_reading()
            batch = await subscription.batch()
            self._serve(batch, order, symbol, sink, subscription.take_dropped())

    def _serve(
        self,
        batch: Sequence[bytes],
        order: QuoteOrder,
        symbol: Symbol,
        sink: Sink,
        conflated: int = 0,
    ) -> None:
        """Pass a batch on, or only its newest quote if this gateway is behind.

        ``conflated``: messages before it that this gateway has dropped because too many waited.
        """
        self._counts["skipped"] += conflated
        rejected = order.rejected
        quotes: list[EncodedQuote] = []
        epoch = order.epoch
        for data in self._link.arriving(batch):
            if not data:  # an owner's probe: whether anybody is subscribed
                continue
            quote = self._unpack(data, order, symbol)
            if quote is None or (missing := order.accept(quote)) is None:
                continue
            if order.epoch != epoch:
                # A batch has one epoch: the quotes before the change of owner go first.
                if quotes:
                    sink.relay(quotes, str(epoch))
                quotes, epoch = [], order.epoch
            own = min(missing, conflated)
            conflated -= own
            self._counts["gaps"] += missing > own
            quotes.append(EncodedQuote(quote.text, conflated=own, dropped=missing - own))
        self._counts["rejected"] += order.rejected - rejected
        if len(quotes) > self._link.most:
            self._counts["skipped"] += len(quotes) - 1
            quotes = [_newest(quotes)]
        if quotes:
            sink.relay(quotes, str(epoch))

    def _unpack(
        self, data: bytes, order: QuoteOrder, symbol: Symbol
    ) -> envelope.PublishedQuote | None:
        """The quote in a message; None if it is invalid. Raises UnknownSymbolError for a refusal."""
        try:
            found = envelope.unpack(data, symbol)
        except InvalidEnvelopeError as error:
            if not self._counts["invalid"]:
                log.warning("%s: dropped an invalid message: %s", symbol, error)
            self._counts["invalid"] += 1
            return None
        if isinstance(found, envelope.PublishedQuote):
            return found
        # A refusal of an earlier owner may arrive late; the present one may have the symbol.
        if found.epoch.revision >= order.floor:
            raise UnknownSymbolError(found.reason)
        return None

    # ------------------------------------------------------------ owners

    async def _begin(self, connection: NatsConnection) -> None:
        """Listen to owners on a new connection, and forget those known from the last one, which may be gone."""
        await connection.listen(subjects.OWNERS, self._on_announcement)
        self._owners.begin()

    def _on_announcement(self, _: str, reply: str, data: bytes, __: bool) -> None:
        if self._link.deaf:
            return
        try:
            heard = control.decode_announcement(data)
        except (msgspec.DecodeError, msgspec.ValidationError):
            self._counts["invalid"] += 1
            return
        accepted = self._owners.hear(heard)
        self._counts["rejected"] += not accepted
        if reply and (connection := self._shared.current) is not None:
            share = Share(heard.number, heard.count)
            # A rejected owner gets an answer too: ``share_epoch`` shows it why.
            wanted = [s for s in self._orders if share.owns(s)] if accepted else []
            self._answer(connection, reply, share, wanted)

    def _answer(
        self, connection: NatsConnection, reply: str, share: Share, symbols: list[Symbol]
    ) -> None:
        wanted = control.Wanted(
            gateway=self.gateway,
            symbols=list(symbols),
            highest_epoch=self._owners.epochs.highest,
            share_epoch=self._owners.epochs.of(share),
        )

        async def send() -> None:
            with contextlib.suppress(UpstreamError):  # every feed notices the loss itself
                for symbol in self._link.to_leak(self._orders):
                    await connection.subscribe(subjects.quotes(symbol))
                await connection.publish(reply, control.encode(wanted))

        task = asyncio.get_running_loop().create_task(send(), name="answer to an owner")
        self._shared.tasks.add(task)
        task.add_done_callback(self._shared.tasks.discard)

    def cluster(self) -> ClusterStatus:
        """The state of this gateway's side of the cluster; from any thread."""
        now, shared, counts = time.monotonic(), self._shared, self._counts
        connection, needed = shared.current, shared.needed(now)
        up = connection is not None and not connection.lost
        faults = self._faults(connection) if up and connection else [shared.detail]
        return ClusterStatus(
            role="gateway",
            name=self.gateway,
            servers=self.name,
            connected=up,
            server=None if connection is None else connection.server,
            reconnects=shared.reconnects,
            lost_s=None if shared.lost_at is None else round(now - shared.lost_at, 1),
            epochs_rejected=counts["rejected"],
            slow_drops=shared.slow_drops,
            quotes_skipped=counts["skipped"],
            symbols_wanted=len(self._orders),
            subscriptions_unread=len(self._subscriptions().keys() - self._read_lives),
            needed=needed,
            owners=self._owners.current(),
            shares_without_owner=self._owners.without_owner() if up else 0,
            problem="; ".join(faults) if faults and needed else None,
        )

    def view(self) -> ClusterView:
        """Its subscriptions on NATS, for comparison with its feeds; from any thread."""
        present = [
            SubscriptionSeen(
                symbol=subjects.symbol_of(each.subject.removeprefix(subjects.QUOTES)),
                life=each.life,
                read=each.life in self._read_lives,
            )
            for each in self._subscriptions().values()
        ]
        return ClusterView(role="gateway", name=self.gateway, nats_subscriptions=present)

    async def reap(self, request: ClusterReapRequest) -> ClusterReaped:
        """End subscriptions that no feed uses. In the service's loop."""
        reaper = ClusterReaper()
        for symbol in request.feeds:
            reaper.refuse(symbol, NOT_HERE.format("gateway"))
        await reaper.reap_subscriptions(
            self._subscriptions(), request.subscriptions, self._read_lives
        )
        if request.lease_revision is not None:
            reaper.refuse("lease", NOT_HERE.format("gateway"))
        return reaper.answer()

    def _subscriptions(self) -> dict[str, Subscription]:
        """All subscriptions to quotes on the connection by their lives, including leaked ones."""
        connection = self._shared.current
        present = [] if connection is None else list(connection.subscriptions)
        return {each.life: each for each in present}

    def _faults(self, connection: NatsConnection) -> list[str]:
        return [*([connection.denial] if connection.denial else []), *self._owners.faults()]


def _newest(quotes: Sequence[EncodedQuote]) -> EncodedQuote:
    """The newest of ``quotes``, which stands for the others too."""
    last = quotes[-1]
    skipped = len(quotes) - 1 + sum(each.skipped for each in quotes)
    return EncodedQuote(last.text, conflated=skipped)
