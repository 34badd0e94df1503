"""The WebSocket side of the service: who may come in, and who is there."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
import socket
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus

from qcfeed.config import Config
from qcfeed.feed.subscriber import Subscriber
from qcfeed.model.messages import CloseCode, GoingAway
from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy
from qcfeed.model.symbol import Symbol
from qcfeed.net import kernel_buffers, listen
from qcfeed.net.acceptor import Acceptor, Address
from qcfeed.server import connection_snapshots
from qcfeed.server.hub import Hub
from qcfeed.server.rate_limit import TokenBucket
from qcfeed.server.requests import Requests
from qcfeed.server.timeouts import Timeouts
from qcfeed.ws.compression import Deflater
from qcfeed.ws.connection import Connection, State
from qcfeed.ws.handshake import Accepted, judge
from qcfeed.ws.pending import PendingConnection
from qcfeed.ws.refusal import Refusal
from qcfeed.ws.request_head import Head

log = logging.getLogger("qcfeed.gateway")

SPARE_HEADS = 1_000
"""Connections above the limit that may still be told, politely, that they are too many."""
_RETRY_SPREAD_MS = 5_000


class Gateway:
    """Every connection of the service, from its accept until its socket is gone."""

    def __init__(
        self, config: Config, hub: Hub, http_protocol: Callable[[], asyncio.Protocol] | None
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._serials = itertools.count(1)
        self._acceptor: Acceptor | None = None
        self._rate = TokenBucket(config.subscribe_rate, config.subscribe_rate, self._loop.time())
        self._requests = Requests(self, self._rate)
        self._emptied: asyncio.Event = asyncio.Event()
        self.now = self._loop.time
        self.config = config
        self.policy = SlowConsumerPolicy(config.slow)
        self.hub = hub
        self.deflater = Deflater()
        self.http_protocol = http_protocol
        """Whom to hand a connection to that is not for a WebSocket; None for nobody."""
        self.draining = False
        self.pending: dict[PendingConnection, None] = {}
        """Those whose request is still to come, or who were refused; by their deadlines."""
        self.connections: set[Connection] = set()
        self.timeouts = Timeouts(config, self.pending)
        self.opened = 0
        """Upgrades accepted since the start."""
        self.closed: Counter[str] = Counter()
        """Connections that ended, by close code, or `eof` and `lost` where none was said."""
        self.refused: Counter[str] = Counter()
        """Upgrades and subscriptions refused, by reason."""

    @property
    def sockets(self) -> int:
        """How many there are, of subscribers and newcomers."""
        return len(self.connections) + len(self.pending)

    # ------------------------------------------------------------ listening

    async def start(self, bound: socket.socket) -> None:
        """Accept connections on ``bound`` from now on; it is ours to close. Raises StartError.

        What the kernel may keep for each, and for how long, is bounded: they have it from ``bound``.
        """
        kernel_buffers.bound_send_buffer(bound, self.config.send_buffer)
        kernel_buffers.bound_silence(bound, self.config.stall_timeout)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        acceptor = Acceptor(self._loop, bound, self._make)
        try:
            acceptor.start(listen.BACKLOG)
        except OSError as error:  # somebody else had bound the port, too, and listened first
            host, port = bound.getsockname()[:2]
            raise listen.explain(error, host, port, "--port") from error
        self._acceptor = acceptor
        self.timeouts.start()

    async def drain(self, timeout: float) -> None:
        """No newcomers; everybody is told to go and come back elsewhere, at spread times.

        Who has not gone by ``timeout`` seconds is dropped.
        """
        self.draining = True
        if self._acceptor is not None:
            self._acceptor.close()
            self._acceptor = None
        for connection in list(self.connections):
            if connection.state is State.OPEN:
                connection.send(GoingAway(random.randrange(_RETRY_SPREAD_MS)))
                connection.close(CloseCode.GOING_AWAY, "the service leaves")
        if self.sockets:
            self._emptied.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._emptied.wait(), timeout)
        for pending in list(self.pending):
            pending.abort()
        for connection in list(self.connections):
            connection.abort("drain")
        self.timeouts.stop()
        while self.sockets:  # a dropped socket reports itself gone in the next turn
            self._emptied.clear()
            await self._emptied.wait()

    def _make(self, address: Address) -> PendingConnection:
        return PendingConnection(self, next(self._serials), address)

    # ------------------------------------------------------------ connections come and go

    def came(self, pending: PendingConnection) -> None:
        """A socket was accepted."""
        self.pending[pending] = None
        if self.sockets > self.config.max_connections + SPARE_HEADS:
            self.count_refusal("connection_limit")
            pending.abort()
        elif self.draining:  # accepted in the turn in which the drain began
            pending.abort()

    def on_refused(self, pending: PendingConnection, reason: str) -> None:
        """It was answered, and is to go."""
        self.count_refusal(reason)
        self.pending[pending] = self.pending.pop(pending)  # its deadline is the last one now

    def left(self, pending: PendingConnection) -> None:
        """Its socket is gone, or somebody else's."""
        self.pending.pop(pending, None)
        self._note_empty()

    def accept_upgrade(self, pending: PendingConnection, accepted: Accepted) -> Connection:
        """It is a subscriber's from now on."""
        connection = Connection(self, pending.serial, pending.peer, pending.transport, accepted)
        self.connections.add(connection)
        self.timeouts.add(connection)
        self.opened += 1
        return connection

    def gone(self, connection: Connection) -> None:
        """Its socket is gone."""
        self.connections.discard(connection)
        self.timeouts.discard(connection)
        self._note_empty()

    def _note_empty(self) -> None:
        if not self.connections and not self.pending:
            self._emptied.set()

    def admit(self, head: Head) -> Accepted | Refusal:
        """Whether an upgrade may go ahead here and now."""
        verdict = judge(head)
        if isinstance(verdict, Refusal):
            return verdict
        refusal = self._crowded()
        if refusal is None and verdict.symbol is not None:
            refusal = self._unwelcome(verdict.symbol)
        return verdict if refusal is None else refusal

    def _crowded(self) -> Refusal | None:
        if self.draining:
            return _unavailable("draining", "the service leaves; try again shortly")
        if self.sockets > self.config.max_connections:
            limit = self.config.max_connections
            return _unavailable("connection_limit", f"there are {limit} connections already")
        return None

    def _unwelcome(self, symbol: Symbol) -> Refusal | None:
        if not self.hub.upstream.knows(symbol):
            return Refusal(
                HTTPStatus.NOT_FOUND, "unknown_symbol", f"there is no symbol {symbol} here"
            )
        if not self._rate.take(self.now()):
            return Refusal(
                HTTPStatus.TOO_MANY_REQUESTS,
                "subscribe_rate",
                f"more than {self.config.subscribe_rate:g} new subscriptions a second",
                {"Retry-After": "1"},
                retryable=True,
            )
        return None

    def caught_up(self, connection: Connection) -> None:
        """Whoever feeds it may go on."""
        self.hub.caught_up(connection)

    def count_refusal(self, reason: str) -> None:
        self.refused[reason] += 1

    def count_close(self, why: str) -> None:
        self.closed[why] += 1

    @property
    def disconnected_slow(self) -> int:
        """Connections ended for reading too slowly or not at all, since the start."""
        return self.closed[str(int(CloseCode.TOO_SLOW))]

    def lags(self) -> connection_snapshots.Lags:
        """How far those are behind who read too slowly just now. From any thread."""
        return connection_snapshots.lags(self.connections)

    def request(self, connection: Connection, text: str) -> None:
        """One text message of a client."""
        self._requests.answer(connection, text)

    def subscribe(self, connection: Connection, symbol: Symbol) -> Subscriber:
        """Subscribe ``connection`` to ``symbol``. Raises UnknownSymbolError."""
        subscriber = connection.held[symbol] = self.hub.subscribe(symbol, connection)
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """End one subscription. Ending it twice is ending it once."""
        self.hub.unsubscribe(subscriber)


def _unavailable(code: str, message: str) -> Refusal:
    return Refusal(
        HTTPStatus.SERVICE_UNAVAILABLE, code, message, {"Retry-After": "5"}, retryable=True
    )
