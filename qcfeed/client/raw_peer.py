"""A WebSocket client on a plain socket, which can stop reading and disconnect without closing.

aiohttp's client always reads, answers pings and closes properly; clients in an incident do not. wsproto
handles frames and the handshake; this file does the I/O.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import select
import socket
import ssl
import struct
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Ping,
    Pong,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.utilities import ProtocolError

from qcfeed.client import refusals
from qcfeed.client.endpoint import Endpoint, explain
from qcfeed.client.refusals import RetryableError
from qcfeed.client.tls_socket import TlsSocket
from qcfeed.errors import UnreachableError
from qcfeed.model import messages
from qcfeed.model.json_errors import JSON_ERRORS
from qcfeed.model.messages import MAX_MESSAGE, Quote

_EventT = TypeVar("_EventT", bound=Event)

_CHUNK = 8_192  # some thousand frames at most, so that timeouts expire in time
_MAX_BODY = 65_536
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: close() sends RST and frees the buffers
_PROBE_AFTER = 1  # seconds of silence
_TRANSIENT = frozenset({errno.EADDRNOTAVAIL, errno.ECONNRESET, errno.EPIPE, errno.ETIMEDOUT})


@dataclass(frozen=True, slots=True)
class ResolvedAddress:
    """A server's address, resolved once for thousands of connections."""

    family: socket.AddressFamily
    address: Any


async def locate(endpoint: Endpoint) -> ResolvedAddress:
    """The first address of ``endpoint`` that accepts a connection. Raises UnreachableError."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise _unreachable(endpoint, error) from error
    failure = OSError("no address")
    # Tried, not assumed: `localhost` may resolve to ::1 first, where nobody listens.
    for family, _, _, _, address in found:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            try:
                await loop.sock_connect(probe, address)
            except OSError as error:
                failure = error
            else:
                return ResolvedAddress(family, address)
    raise _unreachable(endpoint, failure)


def _unreachable(endpoint: Endpoint, error: OSError) -> UnreachableError:
    return UnreachableError(
        f"cannot reach {endpoint}: {explain(error)}",
        hint="start the service with `qcfeed serve`, or give its URL: `qcfeed repro ws://HOST:PORT`",
    )


class RawPeer:
    """One connection. Methods that read raise RetryableError when the server closes it.

    Nothing here has a timeout: use ``asyncio.timeout``. Always end with ``close``, ``drop`` or
    ``reset``.
    """

    def __init__(self, url: str, raw: socket.socket) -> None:
        self._url = url
        self._socket = raw
        self._tls: TlsSocket | None = None
        self._loop = asyncio.get_running_loop()
        self._ws = WSConnection(ConnectionType.CLIENT)
        self._events: deque[Event] = deque()

    @classmethod
    async def connect(
        cls,
        endpoint: Endpoint,
        address: ResolvedAddress,
        path: str,
        *,
        receive_buffer: int | None = None,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> RawPeer:
        """Connect and upgrade. ``receive_buffer``: size of the kernel's receive buffer in bytes.
        ``token``: the API key or token to present. ``tls``: the context for a wss:// endpoint.

        Raises RetryableError if a retry may succeed, otherwise a QcfeedError with the server's message.
        """
        raw = socket.socket(address.family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        raw.setblocking(False)
        peer = cls(f"{endpoint}{path}", raw)
        try:
            if receive_buffer is not None:  # before the connect, which announces the window
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            await peer._connect(endpoint, address, tls)
            await peer._upgrade(endpoint, path, token)
        except OSError as error:
            raw.close()
            if error.errno in _TRANSIENT:
                raise RetryableError(explain(error)) from error
            raise _unreachable(endpoint, error) from error
        except BaseException:
            raw.close()
            raise
        return peer

    async def _connect(
        self, endpoint: Endpoint, address: ResolvedAddress, tls: ssl.SSLContext | None
    ) -> None:
        await self._loop.sock_connect(self._socket, address.address)
        if tls is not None:
            self._tls = TlsSocket(self._socket, tls, endpoint.host)
            await self._tls.handshake()

    async def _upgrade(self, endpoint: Endpoint, path: str, token: str | None) -> None:
        headers = [] if token is None else [(b"Authorization", f"Bearer {token}".encode())]
        await self._send(Request(host=endpoint.authority, target=path, extra_headers=headers))
        answer = await self._next(AcceptConnection, RejectConnection)
        if isinstance(answer, RejectConnection):
            received = {name.lower(): value for name, value in answer.headers}
            raise refusals.from_http(
                self._url,
                answer.status_code,
                await self._body(),
                received.get(b"retry-after", b"").decode("ascii", "replace"),
            )

    async def _body(self) -> bytes:
        body = bytearray()
        while True:
            part = await self._next(RejectData)
            body += part.data
            if part.body_finished or len(body) > _MAX_BODY:
                return bytes(body)

    async def quote(self) -> Quote:
        """The next quote. Raises a QcfeedError if the server sends an error instead."""
        text = ""
        while True:
            part = await self._next(TextMessage)
            text += part.data
            if len(text) > MAX_MESSAGE:
                raise UnreachableError(f"{self._url} sent a message of over {MAX_MESSAGE:,} bytes")
            if part.message_finished:
                message = self._decode(text)
                if isinstance(message, Quote):
                    return message
                if isinstance(message, messages.Error):
                    raise refusals.from_error(message)
                text = ""

    def _decode(self, text: str) -> messages.ServerMessage:
        try:
            return messages.decode(text)
        except JSON_ERRORS as error:
            raise UnreachableError(f"{self._url} sent an unknown message: {text[:80]!r}") from error

    async def ping(self) -> None:
        """Send a ping and wait for the pong."""
        await self._send(Ping())
        await self._next(Pong)

    async def close(self) -> None:
        """Do the closing handshake, then wait for the server to close the TCP connection."""
        try:
            await self._send(CloseConnection(code=1000))
            await self._next(CloseConnection)
            with contextlib.suppress(ConnectionResetError):  # a reset closes it too
                while await self._read():
                    pass
        finally:
            self._socket.close()

    def drop(self) -> None:
        """Close the connection (FIN) without a closing handshake, as when a process is killed."""
        with contextlib.suppress(OSError):  # the server has closed it already
            self._socket.shutdown(socket.SHUT_WR)
        self._socket.close()

    def reset(self) -> None:
        """Reset the connection (RST), as a host or NAT does that has lost its state."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._socket.close()

    def probe(self) -> None:
        """Enable TCP keep-alive probes, which find out whether the connection still exists.

        A server whose kernel gave up on our closed window (TCP_USER_TIMEOUT) sends nothing. It answers a
        keep-alive probe (RFC 9293 section 3.8.4), which no application sees, with RST.
        """
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBE_AFTER)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_AFTER)

    def fileno(self) -> int:
        return self._socket.fileno()

    async def _send(self, event: Event) -> None:
        try:
            data = self._ws.send(event)
            if self._tls is None:
                await self._loop.sock_sendall(self._socket, data)
            else:
                await self._tls.send(data)
        except ConnectionError as error:
            raise refusals.from_close(None, "") from error

    async def _next(self, *kinds: type[_EventT]) -> _EventT:
        """The next event of one of ``kinds``; others are skipped."""
        while True:
            while self._events:
                event = self._events.popleft()
                if isinstance(event, kinds):
                    return event
                if isinstance(event, CloseConnection):
                    raise refusals.from_close(event.code, event.reason or "")
            self._events.extend(await self._receive())

    async def _read(self) -> bytes:
        # ``sock_recv`` does not wait while data is there: a flood would keep every timeout from expiring.
        await asyncio.sleep(0)
        if self._tls is not None:
            return await self._tls.receive()
        return await self._loop.sock_recv(self._socket, _CHUNK)

    async def _receive(self) -> Iterable[Event]:
        try:
            data = await self._read()
        except ConnectionError as error:
            raise refusals.from_close(None, "") from error
        if not data:
            raise refusals.from_close(None, "")
        try:
            self._ws.receive_data(data)
        except ProtocolError as error:
            raise UnreachableError(
                f"{self._url} does not speak WebSocket: {error}",
                hint="is this the port for quotes? see `qcfeed status`",
            ) from error
        return self._ws.events()


class AbandonedPeers:
    """Peers that nobody reads from; asks the kernel which of them the server has dropped.

    A FIN or RST is detected without reading (POLLRDHUP, POLLHUP and POLLERR in poll(2)). A server that
    only closes normally is *not* detected: its FIN cannot be sent while our window is full, and it
    still holds the socket's buffers.
    """

    def __init__(self) -> None:
        self._poll = select.poll()
        self._peers: dict[int, RawPeer] = {}

    def __len__(self) -> int:
        return len(self._peers)

    def add(self, peer: RawPeer) -> None:
        peer.probe()
        self._peers[peer.fileno()] = peer
        self._poll.register(peer.fileno(), select.POLLRDHUP)

    def release_ended(self) -> int:
        """Close the peers that the server has dropped; returns how many. Cost: one poll(2)."""
        ended = self._poll.poll(0)
        for descriptor, _ in ended:
            self._poll.unregister(descriptor)
            self._peers.pop(descriptor).reset()
        return len(ended)

    def reset(self) -> None:
        """Reset all remaining peers."""
        for descriptor, peer in self._peers.items():
            self._poll.unregister(descriptor)
            peer.reset()
        self._peers.clear()
