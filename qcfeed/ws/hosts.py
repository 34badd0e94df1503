"""Interfaces of the host that owns connections and makes their decisions; in the service, the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from qcfeed.config import Config
from qcfeed.feed.subscriber import Subscriber
from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy
from qcfeed.model.symbol import Symbol
from qcfeed.ws.compression import Deflater
from qcfeed.ws.handshake import Accepted
from qcfeed.ws.refusal import Refusal
from qcfeed.ws.request_head import Head

if TYPE_CHECKING:
    from qcfeed.ws.connection import WebSocketConnection
    from qcfeed.ws.pending import PendingConnection


class PendingHost(Protocol):
    """Decides about pending connections."""

    http_protocol: Callable[[], asyncio.Protocol] | None
    """Creates a protocol for a plain HTTP connection; None if HTTP has a port of its own."""
    now: Callable[[], float]
    """The loop's clock, in seconds."""

    def on_accepted(self, pending: PendingConnection) -> None:
        """A socket was accepted. Its request head must be complete by ``pending.deadline``."""

    def on_finished(self, pending: PendingConnection) -> None:
        """The connection was closed, or another protocol has taken it over."""

    def admit(self, pending: PendingConnection, head: Head) -> Accepted | Refusal:
        """Decide whether the upgrade is accepted."""

    def admit_http(self, pending: PendingConnection, head: Head) -> Refusal | None:
        """Decide whether a plain HTTP request is handed over; a refusal says why not."""

    def accept_upgrade(self, pending: PendingConnection, accepted: Accepted) -> WebSocketConnection:
        """Create the WebSocket connection for an accepted upgrade."""

    def on_refused(self, pending: PendingConnection, reason: str) -> None:
        """The refusal was sent. The client must disconnect by the new ``pending.deadline``."""

    def postpone(self, pending: PendingConnection, deadline: float) -> None:
        """Give the connection until ``deadline``, later than any other."""

    def on_handshake_failed(self, pending: PendingConnection, reason: str, why: str) -> None:
        """The TLS handshake failed; like ``on_refused``. ``why``: for the log."""


class ConnectionHost(Protocol):
    """Owns the open connections."""

    config: Config
    policy: SlowConsumerPolicy
    """The slow-consumer policy of connections that choose none."""
    deflater: Deflater
    """Compresses for all connections that negotiated it."""
    now: Callable[[], float]
    """The loop's clock, in seconds."""

    def on_closed(self, connection: WebSocketConnection) -> None:
        """The connection's socket is closed."""

    def subscribe(self, connection: WebSocketConnection, symbol: Symbol) -> Subscriber:
        """Subscribe ``connection`` to ``symbol``. Raises UnknownSymbolError."""

    def unsubscribe(self, connection: WebSocketConnection, subscriber: Subscriber) -> None:
        """``subscriber`` is no longer one of the connection's: end it, unless it has ended already."""

    def on_request(self, connection: WebSocketConnection, text: str) -> None:
        """The client sent a text message."""

    def busy_for(self) -> float:
        """Seconds for which requests should wait, because they have used their share of the time; or 0."""

    def on_frame(self, connection: WebSocketConnection) -> None:
        """The client sent a ping, a pong or a fragment."""

    def on_caught_up(self, connection: WebSocketConnection) -> None:
        """The connection was sent its backlog, or as much of it as the kernel accepted."""

    def count_close(self, why: str) -> None:
        """The connection ends. ``why``: the close code, or ``eof``, ``lost`` or another reason."""
