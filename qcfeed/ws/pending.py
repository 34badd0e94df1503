"""A connection whose request head is still coming, and what becomes of it.

It becomes a subscriber's connection, or HTTP's, or it is refused. Like these it is a protocol of
asyncio, on the transport that it was accepted on and hands on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol, cast

from qcfeed.net.acceptor import Address
from qcfeed.net.transport import Transport
from qcfeed.ws.connection import Connection
from qcfeed.ws.handshake import Accepted
from qcfeed.ws.refusal import Refusal
from qcfeed.ws.request_head import Head, HeadReader

HEAD_TIMEOUT = 5.0
"""Seconds a newcomer has to finish its request head, and one that was refused to go."""

NOT_HERE = Refusal(
    HTTPStatus.NOT_FOUND, "not_found", "this port has /quotes/{symbol} and /stream, no more"
)
"""For other addresses, where HTTP has a port of its own."""


class PendingHost(Protocol):
    """Who lets connections in; in the service, the gateway."""

    http_protocol: Callable[[], asyncio.Protocol] | None
    """Makes a protocol for a connection that is not a WebSocket's; None: there are none such."""
    now: Callable[[], float]
    """The loop's clock, in seconds."""

    def came(self, pending: PendingConnection) -> None:
        """It was accepted, and has until its deadline to say what it wants."""

    def left(self, pending: PendingConnection) -> None:
        """Its socket is gone, or somebody else's."""

    def admit(self, head: Head) -> Accepted | Refusal:
        """Whether this upgrade may go ahead."""

    def accept_upgrade(self, pending: PendingConnection, accepted: Accepted) -> Connection:
        """It may; make it a subscriber's."""

    def on_refused(self, pending: PendingConnection, reason: str) -> None:
        """It was told why, and has until its new deadline to go."""


class PendingConnection(asyncio.Protocol):
    """A newcomer; the host decides, this carries out."""

    __slots__ = ("_host", "_reader", "_refused", "address", "deadline", "serial", "transport")

    transport: Transport

    def __init__(self, host: PendingHost, serial: int, address: Address) -> None:
        self._host = host
        self._reader = HeadReader()
        self._refused = False
        self.serial = serial
        self.address = address
        self.deadline = host.now() + HEAD_TIMEOUT

    @property
    def peer(self) -> str:
        """Its address and port, as people are shown it."""
        return f"{self.address[0]}:{self.address[1]}"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("Transport", transport)
        self._host.came(self)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return  # what still comes is thrown away
        head = self._reader.feed(data)
        if isinstance(head, Refusal):
            self.refuse(head)
        elif head is not None and head.is_ours:
            self._judge(head)
        elif head is not None and self._host.http_protocol is not None:
            self._hand_over(self._host.http_protocol())
        elif head is not None:
            self.refuse(NOT_HERE)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's signature
        self._leave()

    def _judge(self, head: Head) -> None:
        verdict = self._host.admit(head)
        if isinstance(verdict, Refusal):
            self.refuse(verdict)
            return
        self._leave()
        connection = self._host.accept_upgrade(self, verdict)
        self.transport.set_protocol(connection)
        connection.start(verdict)
        if self._reader.rest:
            connection.data_received(self._reader.rest)

    def _hand_over(self, protocol: asyncio.Protocol) -> None:
        self._leave()
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        protocol.data_received(self._reader.data)

    def refuse(self, refusal: Refusal) -> None:
        """Answer with an HTTP error instead of an upgrade."""
        self._refused = True
        self._reader.close()
        self.transport.write(refusal.response())
        # A full close with bytes unread would be a reset, and that can destroy the answer on its
        # way (RFC 9112 section 9.6).
        self.transport.write_eof()
        self.deadline = self._host.now() + HEAD_TIMEOUT
        self._host.on_refused(self, refusal.code)

    def abort(self) -> None:
        """Drop it now."""
        self.transport.reset()

    def _leave(self) -> None:
        if not self._refused:
            self._reader.close()
        self._host.left(self)
