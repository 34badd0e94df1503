"""The gateway: owns every connection, and counts how each ends. admission.py decides which are accepted."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
import socket
from collections import Counter
from http import HTTPStatus

from qcfeed.access.client_address import SocketAddress, unmapped
from qcfeed.access.request_throttle import FRAME_COST
from qcfeed.config import Config
from qcfeed.feed.subscriber import Subscriber
from qcfeed.model.messages import CloseCode, GoingAway
from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy
from qcfeed.model.symbol import Symbol
from qcfeed.net import descriptors, kernel_buffers, listen
from qcfeed.net.acceptor import Acceptor, NewTransport
from qcfeed.net.http_connections import HttpConnections
from qcfeed.net.proxy_headers import ProxyHeaders
from qcfeed.net.transport import Transport
from qcfeed.server import clients, connection_snapshots
from qcfeed.server.admission import Admission
from qcfeed.server.authentication import Authenticator
from qcfeed.server.capacity import REFUSAL_SLOTS, Capacity, fit
from qcfeed.server.hub import Hub
from qcfeed.server.request_limits import RequestLimits
from qcfeed.server.requests import Requests
from qcfeed.server.sessions import Sessions
from qcfeed.server.timeouts import Timeouts
from qcfeed.ws.compression import Deflater
from qcfeed.ws.connection import ConnectionState, WebSocketConnection
from qcfeed.ws.handshake import Accepted, check_upgrade
from qcfeed.ws.pending import PendingConnection
from qcfeed.ws.refusal import Refusal
from qcfeed.ws.request_head import Head

log = logging.getLogger("qcfeed.gateway")

_RETRY_SPREAD_MS = 5_000
"""At a drain each client gets a random time up to this, within the timeout, after which to reconnect."""
_RETRY_SHARE = 0.8
"""Clients reconnect within this part of the drain's timeout, because connecting takes time too."""


class Gateway:
    """Owns every connection of the service, from the accept until its socket is closed."""

    connection_class = WebSocketConnection
    """What an upgrade becomes. tests/conformance has one that sends everything back."""

    def __init__(
        self,
        config: Config,
        hub: Hub,
        http: HttpConnections | None,
        authenticator: Authenticator | None = None,
    ) -> None:
        """``http``: serves plain HTTP requests; None if they have a port of their own."""
        self._loop = asyncio.get_running_loop()
        self._serials = itertools.count(1)
        self._acceptor: Acceptor | None = None
        self.authenticate_with(authenticator)
        self._no_connections: asyncio.Event = asyncio.Event()
        self.now = self._loop.time
        self.config = config
        self.admission = Admission(config, hub, lambda: self.now())
        self.clients = self.admission.clients
        """The usage of each client: the admission charges it, the gateway reports which connections end."""
        self._limits = RequestLimits(config, lambda: self.now(), self.count_refusal)
        self._requests = Requests(self, self._limits)
        self.policy = SlowConsumerPolicy(config.slow)
        self.hub = hub
        self.deflater = Deflater()
        self._http = http
        self.capacity = Capacity(config.max_connections, REFUSAL_SLOTS)
        """Follows the limit of open files once the gateway listens."""
        self.http_protocol = None if http is None else http.take_over
        """Creates the protocol for a plain HTTP connection; None if HTTP has a port of its own."""
        self.draining = False
        self.pending: dict[PendingConnection, None] = {}
        """Connections without a complete request, and refused ones, ordered by their deadlines."""
        self.connections: set[WebSocketConnection] = set()
        self.timeouts = Timeouts(config, self.pending, lambda each: self.sessions.check(each))
        self.opened = 0
        """Upgrades accepted since the start."""
        self.closed: Counter[str] = Counter()
        """Connections that ended, by close code; `eof`, `lost` and others for those without one."""
        self.refused: Counter[str] = Counter()
        """Upgrades and subscriptions refused, by reason."""

    def authenticate_with(
        self, authenticator: Authenticator | None, *, demanded: bool = True
    ) -> None:
        """Authenticate clients from now on. ``demanded``: also those that present no token."""
        self.authenticator = authenticator
        """None in a service without authentication."""
        self.sessions = Sessions(self, authenticator, demanded=demanded)

    @property
    def access_problems(self) -> list[str]:
        """Why files or URLs with keys of clients are not used as they are now."""
        return [] if self.authenticator is None else self.authenticator.problems

    @property
    def sockets(self) -> int:
        """The number of open sockets, pending connections included."""
        return len(self.connections) + len(self.pending)

    @property
    def files(self) -> int:
        """The number of open sockets with those of plain HTTP connections, which need a file each, too."""
        # Written out: this runs for every new connection.
        files = len(self.connections) + len(self.pending)
        if self._http is not None:
            files += len(self._http)
        if self._acceptor is not None and self._acceptor.proxy_headers is not None:
            files += len(self._acceptor.proxy_headers)
        return files

    # ------------------------------------------------------------ listening

    async def start(self, bound: socket.socket, new_transport: NewTransport = Transport) -> None:
        """Accept connections on ``bound``, which the gateway owns from now on. Raises StartError.

        Accepted sockets inherit the options set here on ``bound``.
        """
        kernel_buffers.limit_send_buffer(bound, self.config.send_buffer)
        kernel_buffers.limit_unacknowledged_time(bound, self.config.stall_timeout)
        # Nagle's algorithm would hold a quote back until the one before is acknowledged.
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        acceptor = Acceptor(
            self._loop,
            bound,
            self._new_pending,
            name="connections on the quotes port",
            new_transport=new_transport,
        )
        if self.config.proxy_protocol:
            acceptor.proxy_headers = ProxyHeaders(
                acceptor.begin, self.admission.checks.proxies.trusts, self.count_refusal
            )
        self.admission.checks.bind(bound.getsockname()[0])
        try:
            acceptor.start(listen.BACKLOG)
        except OSError as error:  # another process had bound the same port and listened first
            host, port = bound.getsockname()[:2]
            raise listen.listen_error(error, host, port, "--port") from error
        self._acceptor = acceptor
        # Only now: everything that the service opens before its first connection is open.
        if (in_use := descriptors.in_use()) is not None:
            self.capacity = fit(self.config.max_connections, descriptors.limit(), in_use)
        self.timeouts.start()
        if self._http is not None:
            self._http.on_ended = self._note_empty

    async def drain(self, timeout: float) -> None:
        """Accept no more connections and close all, telling each client when to reconnect.

        Connections still open after ``timeout`` seconds are aborted.
        """
        # Set before anything is closed: a client that reconnects at once must be refused.
        self.draining = True
        if self._acceptor is not None:
            self._acceptor.close()
            if self._acceptor.proxy_headers is not None:
                self._acceptor.proxy_headers.close()
            self._acceptor = None
        spread = max(1, min(_RETRY_SPREAD_MS, int(timeout * 1_000 * _RETRY_SHARE)))
        for connection in list(self.connections):
            if connection.state is ConnectionState.OPEN:
                connection.send(GoingAway(random.randrange(spread)))
                connection.close(CloseCode.GOING_AWAY, "the service is shutting down")
        if self.files:
            self._no_connections.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._no_connections.wait(), timeout)
        for pending in list(self.pending):
            pending.abort()
        for connection in list(self.connections):
            connection.abort("drain")
        if self._http is not None:
            await self._http.close()
        # Only now: until here they abort peers that do not answer the close frame.
        self.timeouts.stop()
        while self.sockets:  # an aborted connection calls ``on_closed`` in the next turn
            self._no_connections.clear()
            await self._no_connections.wait()

    def _new_pending(self, address: SocketAddress) -> PendingConnection:
        return PendingConnection(self, next(self._serials), unmapped(address))

    # ------------------------------------------------------------ connections

    def on_accepted(self, pending: PendingConnection) -> None:
        """A socket was accepted."""
        self.pending[pending] = None
        if self.files > sum(self.capacity) and not self._make_room(pending):
            self.count_refusal("connection_limit")
            pending.abort()
        elif self.draining:  # accepted in the turn in which the drain started
            pending.abort()
        # The client behind a proxy is known with the request head.
        elif not (
            (proxies := self.admission.checks.proxies) and proxies.trusts(pending.address[0])
        ):
            self._enter(pending)

    def _make_room(self, newcomer: PendingConnection) -> bool:
        """End the oldest connection that has sent no request; False if there is none.

        So silent connections cannot lock out clients that send a request.
        """
        silent = (each for each in self.pending if each.is_silent and each is not newcomer)
        oldest = next(silent, None)
        if oldest is None:
            return False
        self.count_refusal("evicted")
        oldest.abort()
        return True

    def _enter(self, pending: PendingConnection) -> None:
        """Count the connection of a client; above its limits it gets an answer, or a reset at once."""
        excess = self.clients.enter(pending, pending.client)
        if excess is None:
            return
        if self.clients.is_flooding(pending):
            self.count_refusal(excess.code)
            pending.abort()
        else:
            pending.verdict = clients.refusal(excess)

    def on_refused(self, pending: PendingConnection, reason: str) -> None:
        """The refusal was sent."""
        self.count_refusal(reason)
        # Move it to the end: its new deadline is the latest, and the dict is ordered by deadline.
        self.pending[pending] = self.pending.pop(pending)

    def postpone(self, pending: PendingConnection, deadline: float) -> None:
        """Give the connection until ``deadline``, later than any other."""
        pending.deadline = deadline
        self.pending[pending] = self.pending.pop(pending)

    def on_handshake_failed(self, pending: PendingConnection, reason: str, why: str) -> None:
        """The TLS handshake failed."""
        self.on_refused(pending, reason)
        log.warning("TLS handshake with %s failed: %s", pending.peer, why)

    def on_finished(self, pending: PendingConnection) -> None:
        """The connection was closed, or another protocol has taken it over."""
        self.pending.pop(pending, None)
        self.clients.leave(pending)
        self._note_empty()

    def accept_upgrade(self, pending: PendingConnection, accepted: Accepted) -> WebSocketConnection:
        """Create and register the WebSocket connection."""
        connection = self.connection_class(self, pending, accepted)
        self.clients.take_over(pending, connection)
        self.connections.add(connection)
        self.timeouts.add(connection)
        self.opened += 1
        return connection

    def on_closed(self, connection: WebSocketConnection) -> None:
        """The connection's socket is closed."""
        self.connections.discard(connection)
        self.clients.leave(connection)
        self.timeouts.discard(connection)
        self._note_empty()

    def _note_empty(self) -> None:
        if not self.files:
            self._no_connections.set()

    def admit_http(self, pending: PendingConnection, head: Head) -> Refusal | None:
        """Decide whether a plain HTTP request is handed over; a refusal says why not."""
        return self.admission.admit_http(pending, head)

    def admit(self, pending: PendingConnection, head: Head) -> Accepted | Refusal:
        """Decide whether the upgrade is accepted."""
        decision = check_upgrade(head)
        if isinstance(decision, Refusal):
            return decision
        # After the request itself: a bad request gets the same answer on a full service.
        refusal = self.admission.check_source(pending, head) or self._check_capacity(pending)
        return refusal or self.admission.admit(pending, head, decision, self.sessions)

    def _check_capacity(self, pending: PendingConnection) -> Refusal | None:
        if self.draining:
            return _unavailable("draining", "the service is shutting down; try again shortly")
        limit = self.capacity.connections
        # In this order: ``_make_room`` ends another connection, which it must not do for one that is refused anyway.
        if len(self.connections) >= limit or (self.files > limit and not self._make_room(pending)):
            return _unavailable("connection_limit", f"the limit of {limit} connections is reached")
        return None

    def on_caught_up(self, connection: WebSocketConnection) -> None:
        """The connection was sent its backlog; upstreams that waited for it may go on."""
        self.hub.caught_up(connection)

    def count_refusal(self, reason: str, count: int = 1) -> None:
        self.refused[reason] += count

    def count_close(self, why: str) -> None:
        self.closed[why] += 1

    @property
    def disconnected_slow(self) -> int:
        """Connections closed because they read too slowly or not at all, since the start."""
        return self.closed[str(int(CloseCode.TOO_SLOW))]

    def lag_totals(self) -> connection_snapshots.LagTotals:
        """The lag of all connections that are stalled now. Callable from any thread."""
        return connection_snapshots.lag_totals(self.connections)

    def on_frame(self, connection: WebSocketConnection) -> None:
        """Charge a ping, a pong or a fragment."""
        self._limits.timed(self._limits.admit, connection, FRAME_COST)

    def on_request(self, connection: WebSocketConnection, text: str) -> None:
        """Answer one text message of a client."""
        self._limits.timed(self._requests.answer, connection, text)

    def busy_for(self) -> float:
        """Seconds for which requests should wait, because they have used their share of the time; or 0."""
        return self._limits.busy_for()

    def subscribe(self, connection: WebSocketConnection, symbol: Symbol) -> Subscriber:
        """Subscribe ``connection`` to ``symbol``. Raises UnknownSymbolError."""
        subscriber = connection.subscribers[symbol] = self.hub.subscribe(symbol, connection)
        self.clients.subscribed(connection, symbol)
        return subscriber

    def unsubscribe(self, connection: WebSocketConnection, subscriber: Subscriber) -> None:
        """``subscriber`` is no longer one of the connection's: end it, unless it has ended already."""
        self.clients.unsubscribed(connection, subscriber)
        self.hub.unsubscribe(subscriber)


def _unavailable(code: str, message: str) -> Refusal:
    return Refusal(
        HTTPStatus.SERVICE_UNAVAILABLE, code, message, {"Retry-After": "5"}, retryable=True
    )
