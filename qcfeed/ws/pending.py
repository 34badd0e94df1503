"""A connection whose request head has not arrived completely.

It becomes a WebSocket connection, is handed over to the HTTP server, or is refused. All three are
asyncio protocols, and take over the same transport.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import cast

from qcfeed.access.client_address import SocketAddress, client_of, join_host_port
from qcfeed.access.client_limits import ClientUsage
from qcfeed.net import kernel_buffers
from qcfeed.net.tls_transport import HandshakeFailure
from qcfeed.net.transport import Transport
from qcfeed.ws.hosts import PendingHost
from qcfeed.ws.refusal import Refusal
from qcfeed.ws.request_head import Head, HeadReader

HEAD_TIMEOUT = 5.0
"""Seconds a client has to complete its request head, and to disconnect after a refusal."""

SILENT_AFTER = 1.0
"""Seconds after which a connection without a request counts as silent, and may be ended to make room."""

NOT_FOUND = Refusal(
    HTTPStatus.NOT_FOUND, "not_found", "this port serves only /quotes/{symbol} and /stream"
)
"""The answer to other paths when HTTP has a port of its own."""

TLS_REQUIRED = Refusal(
    HTTPStatus.BAD_REQUEST, "tls_required", "this port speaks TLS: use wss:// or https://"
)
"""The answer, in plain text, to a client that does not use TLS."""


class PendingConnection(asyncio.Protocol):
    """An accepted connection until its request head is complete. Its host makes the decisions."""

    __slots__ = (
        "_host",
        "_reader",
        "_refused",
        "address",
        "clients",
        "deadline",
        "serial",
        "transport",
        "verdict",
    )

    transport: Transport

    def __init__(self, host: PendingHost, serial: int, address: SocketAddress) -> None:
        self._host = host
        self._reader = HeadReader()
        self._refused = False
        self.clients: tuple[ClientUsage, ...] = ()
        """The clients that it counts towards: its address, then its API key; empty until they are known."""
        self.verdict: Refusal | None = None
        """The refusal that the client gets whatever it sends; None if its request decides."""
        self.serial = serial
        self.address = address
        """The client's address: that of the peer, or the one that a trusted proxy names."""
        self.deadline = host.now() + HEAD_TIMEOUT

    @property
    def peer(self) -> str:
        """The client's address and port, for display."""
        return join_host_port(*self.address[:2])

    @property
    def client(self) -> str:
        """The client that the address belongs to (client_address.py)."""
        return client_of(self.address[0])

    @property
    def is_silent(self) -> bool:
        """Whether the request head has been missing for longer than it takes to arrive."""
        accepted_at = self.deadline - HEAD_TIMEOUT
        if self._refused or self.transport.is_closing():
            return False
        if self._host.now() - accepted_at < SILENT_AFTER:
            return False
        # In a burst the request may have arrived, and wait for us to read it.
        return not kernel_buffers.receive_queue(self.transport.get_extra_info("socket"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("Transport", transport)
        self._host.on_accepted(self)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return  # discard further input
        if self.verdict is not None:
            self.refuse(self.verdict)
            return
        head = self._reader.feed(data)
        if isinstance(head, Refusal):
            self.refuse(head)
        elif head is not None and head.is_websocket_endpoint:
            self._decide(head)
        elif head is not None:
            self._serve_http(head)

    def handshake_completed(self) -> None:
        """Start the timeout of the request: the handshake has shown that the client is there."""
        self._host.postpone(self, self._host.now() + HEAD_TIMEOUT)

    def handshake_failed(self, failure: HandshakeFailure, why: str) -> bytes | None:
        """The TLS handshake failed. Returns an answer in plain text, or None."""
        self._refused = True
        self._reader.close()
        self.deadline = self._host.now() + HEAD_TIMEOUT
        plain = failure is HandshakeFailure.NOT_TLS
        self._host.on_handshake_failed(self, TLS_REQUIRED.code if plain else "tls_handshake", why)
        return TLS_REQUIRED.response() if plain else None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's signature
        self._finish()

    def _decide(self, head: Head) -> None:
        decision = self._host.admit(self, head)
        if isinstance(decision, Refusal):
            self.refuse(decision)
            return
        # Registered before ``_finish`` removes the pending one: otherwise a drain could count no socket in between.
        connection = self._host.accept_upgrade(self, decision)
        self._finish()
        self.transport.set_protocol(connection)
        connection.start(decision)
        # A client may send its first frames without waiting for the answer.
        if self._reader.rest:
            connection.data_received(self._reader.rest)

    def _serve_http(self, head: Head) -> None:
        refusal = self._host.admit_http(self, head)
        if refusal is None and self._host.http_protocol is None:
            refusal = NOT_FOUND
        if refusal is not None:
            self.refuse(refusal)
        elif self._host.http_protocol is not None:
            self._hand_over(self._host.http_protocol())

    def _hand_over(self, protocol: asyncio.Protocol) -> None:
        self._finish()
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        # All bytes from the start: the HTTP server parses the head again, with its own parser.
        protocol.data_received(self._reader.data)

    def refuse(self, refusal: Refusal) -> None:
        """Answer with an HTTP error instead of an upgrade."""
        self._refused = True
        self._reader.close()
        self.transport.write(refusal.response())
        # Closing a socket with unread input sends a reset, which can destroy the response before the
        # client reads it (RFC 9112 section 9.6). So only our half is closed.
        self.transport.write_eof()
        self.deadline = self._host.now() + HEAD_TIMEOUT
        self._host.on_refused(self, refusal.code)

    def expire(self) -> None:
        """The deadline has passed: end the connection, unless its handshake waits in our queue."""
        if self.transport.queued:
            self._host.postpone(self, self._host.now() + HEAD_TIMEOUT)
        else:
            self.abort()

    def abort(self) -> None:
        """Close the connection now, with a reset."""
        self.transport.reset()

    def _finish(self) -> None:
        if not self._refused:
            self._reader.close()
        self._host.on_finished(self)
