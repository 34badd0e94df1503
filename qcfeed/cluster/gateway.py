"""``--upstream nats://...``: the quotes of feeders, through NATS, as an upstream of the service.

One subscription per running feed, on one connection that is opened with the first feed and closed after
the last. When it is lost, every feed's ``run`` fails, so each backs off and retries by itself; the first
that retries opens a new connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import secrets
import socket
import time
from collections.abc import AsyncIterator, Sequence

import msgspec

from qcfeed.cluster import servers as addresses
from qcfeed.cluster.connection import Connection, Subscription, check
from qcfeed.cluster.connection import connect as connect_to
from qcfeed.cluster.core import control, envelope, subjects
from qcfeed.cluster.core.envelope import InvalidEnvelopeError
from qcfeed.cluster.core.epochs import QuoteOrder
from qcfeed.cluster.core.shares import Share
from qcfeed.cluster.heard_owners import HeardOwners
from qcfeed.cluster.link_fault import Link
from qcfeed.cluster.reaping import NOT_HERE, Reaping
from qcfeed.config import NatsConfig
from qcfeed.errors import UnknownSymbolError, UpstreamError
from qcfeed.feed import backoff
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
"""Quotes of one symbol that wait at once; when they are more, only the newest is served."""
_MAX_PAUSE = 5.0


def connect(url: UpstreamUrl) -> Upstream:
    """The upstream for a URL such as ``nats://host:4222``. Nothing is connected yet."""
    servers, config = addresses.parse(url.text, "--upstream"), url.group(NatsConfig)
    check(servers, config)
    return NatsUpstream(servers, config)


class NatsUpstream(Upstream):
    """The gateway's upstream; see the module. ``closed`` is true after ``close``."""

    def __init__(self, urls: Sequence[str], config: NatsConfig) -> None:
        self.name = addresses.short_name(list(urls))
        self.gateway = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(2)}"
        """This gateway's name in its answers to owners."""
        self.closed = False
        self.urls = tuple(urls)
        """Its NATS servers."""
        self._urls = list(urls)
        self._config = config
        self._owners = HeardOwners()
        self._orders: dict[Symbol, QuoteOrder] = {}
        self._read_lives: set[str] = set()
        """The lives of the subscriptions that feeds read."""
        self._lock = asyncio.Lock()
        self._connection: Connection | None = None
        self._users = 0
        self._attempt = 0
        self._not_before = 0.0
        self._last_used_at = -_RETRIES_WITHIN
        self._answers: set[asyncio.Task[None]] = set()
        self._counts = {
            "reconnects": 0,
            "gaps": 0,
            "invalid": 0,
            "rejected": 0,
            "slow": 0,
            "skipped": 0,
        }
        self._lost_at: float | None = None
        self._detail = _NOT_NEEDED
        self._link = Link(MAX_BATCH)

    # ------------------------------------------------------------ the upstream's interface

    async def run(self, symbol: Symbol, sink: Sink) -> None:
        async with self._connected() as connection:
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
        connection, counts = self._connection, self._counts
        faults = [] if connection is None else self._faults(connection)
        up = connection is not None and not connection.lost and not faults
        detail = self._detail if connection is None else "; ".join(faults)
        return UpstreamHealth(up, counts["reconnects"], counts["gaps"], counts["invalid"], detail)

    async def close(self) -> None:
        self.closed = True
        async with self._lock:
            await self._disconnect()

    def set_fault(self, fault: LinkFault) -> None:
        """Break this gateway's link in one way, for a drill; with NONE, repair it."""
        self._link.fault = fault
        if fault in (LinkFault.BROKER_AWAY, LinkFault.BROKER_FLAPS) and self._connection:
            self._connection.mark_lost()

    async def end_leaked(self) -> None:
        """End the subscriptions that nothing reads."""
        for each in self._subscriptions().values():
            if each.life not in self._read_lives:
                await each.end()

    # ------------------------------------------------------------ quotes

    async def _ask_owner(self, connection: Connection, symbol: Symbol) -> bytes:
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
            except TimeoutError:  # owners of other shares may be there
                continue
            if answer is not None:
                return answer
            await self._owners.wait(min(left, ANSWER_TIMEOUT))
        raise UpstreamError(f"no feeder owns the share of {symbol} on {self.name}")

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
            if not data:  # an owner asks whether anybody is subscribed
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
        if reply and (connection := self._connection) is not None:
            share = Share(heard.number, heard.count)
            # Also to an owner that is rejected: it learns from `share_epoch` why.
            wanted = [s for s in self._orders if share.owns(s)] if accepted else []
            self._answer(connection, reply, share, wanted)

    def _answer(
        self, connection: Connection, reply: str, share: Share, symbols: list[Symbol]
    ) -> None:
        wanted = control.Wanted(
            gateway=self.gateway,
            symbols=list(symbols),
            highest_epoch=self._owners.epochs.highest,
            share_epoch=self._owners.epochs.of(share),
        )

        async def send() -> None:
            with contextlib.suppress(UpstreamError):  # the loss is told to every feed
                for symbol in self._link.to_leak(self._orders):
                    await connection.subscribe(subjects.quotes(symbol))
                await connection.publish(reply, control.encode(wanted))

        task = asyncio.get_running_loop().create_task(send(), name="answer to an owner")
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    def cluster(self) -> ClusterStatus:
        """The state of this gateway's side of the cluster; from any thread."""
        now, connection, counts = time.monotonic(), self._connection, self._counts
        up = connection is not None and not connection.lost
        faults = self._faults(connection) if up and connection else [self._detail]
        return ClusterStatus(
            role="gateway",
            name=self.gateway,
            servers=self.name,
            connected=up,
            server=None if connection is None else connection.server,
            reconnects=counts["reconnects"],
            lost_s=None if self._lost_at is None else round(now - self._lost_at, 1),
            epochs_rejected=counts["rejected"],
            slow_drops=counts["slow"] + (0 if connection is None else connection.slow_drops),
            quotes_skipped=counts["skipped"],
            symbols_wanted=len(self._orders),
            subscriptions_unread=len(self._subscriptions().keys() - self._read_lives),
            needed=self._needed(now),
            owners=self._owners.current(),
            shares_without_owner=self._owners.without_owner() if up else 0,
            problem="; ".join(faults) if faults and self._needed(now) else None,
        )

    def view(self) -> ClusterView:
        """What it is subscribed to on NATS, to be compared with its feeds; from any thread."""
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
        reaping = Reaping()
        for symbol in request.feeds:
            reaping.refuse(symbol, NOT_HERE.format("gateway"))
        await reaping.subscriptions(self._subscriptions(), request.subscriptions, self._read_lives)
        if request.lease_revision is not None:
            reaping.refuse("lease", NOT_HERE.format("gateway"))
        return reaping.answer()

    def _subscriptions(self) -> dict[str, Subscription]:
        """All subscriptions to quotes on the connection by their lives, also forgotten ones."""
        connection = self._connection
        present = [] if connection is None else list(connection.subscriptions)
        return {each.life: each for each in present}

    def _faults(self, connection: Connection) -> list[str]:
        return [*([connection.denial] if connection.denial else []), *self._owners.faults()]

    def _needed(self, now: float) -> bool:
        """Whether feeds use the connection, or did a moment ago: they may be waiting to retry."""
        return self._users > 0 or now - self._last_used_at < _RETRIES_WITHIN

    # ------------------------------------------------------------ the shared connection

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[Connection]:
        """The shared connection, while at least one feed uses it."""
        self._users += 1
        try:
            async with self._lock:
                connection = self._connection
                if connection is None or connection.lost:
                    connection = await self._reconnect()
            yield connection
        finally:
            # Noted even if the connection failed: feeds that back off will want it again (``_needed``).
            self._users -= 1
            self._last_used_at = time.monotonic()
            if self._users == 0:
                # Again behind the lock: a feed may have come while another one was connecting or disconnecting.
                async with self._lock:
                    if self._users == 0:
                        await self._disconnect()

    async def _reconnect(self) -> Connection:
        """Open the connection, not before the backoff is over. Raises UpstreamError."""
        if self._connection is not None:
            await self._disconnect()
        loop = asyncio.get_running_loop()
        if self._link.broken:
            raise UpstreamError("the connection to NATS was lost (a drill cuts it)")
        if (pause := self._not_before - loop.time()) > 0:
            raise UpstreamError(f"{self._detail}; next attempt in {pause:.1f} s")
        try:
            connection = await connect_to(self._urls, self._config, f"qcfeed {self.gateway}")
            await connection.listen(subjects.OWNERS, self._on_announcement)
        except UpstreamError as error:
            wait = backoff.delay(self._attempt, random.random(), cap=_MAX_PAUSE)
            self._not_before, self._attempt = loop.time() + wait, self._attempt + 1
            self._detail = error.message
            raise
        self._urls.append(self._urls.pop(0))  # the next attempt begins with another server
        self._attempt, self._detail = 0, _NOT_NEEDED
        self._owners.begin()
        self._connection = connection
        return connection

    async def _disconnect(self) -> None:
        """Close the connection, and join what belongs to it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._counts["slow"] += connection.slow_drops
            if connection.lost:
                self._counts["reconnects"] += 1
                self._lost_at = time.monotonic()
                self._detail = connection.loss().message
            # A feed that is denied its subscription may have been the last user of the connection.
            self._detail = connection.denial or self._detail
            await connection.close()
        if self._answers:
            await asyncio.wait(self._answers)


def _newest(quotes: Sequence[EncodedQuote]) -> EncodedQuote:
    """The newest of ``quotes``, which stands for the others too."""
    last = quotes[-1]
    skipped = len(quotes) - 1 + sum(each.skipped for each in quotes)
    return EncodedQuote(last.text, conflated=skipped)


_NOT_NEEDED = "not needed yet"
_RETRIES_WITHIN = 40.0
"""Seconds after the end of a feed within which it may be retried: the longest backoff is 30 s."""
