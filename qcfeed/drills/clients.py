"""The clients of a drill: real sockets to the service's own port, run in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import struct
import threading
from collections.abc import Callable, Sequence

from qcfeed.drills.base import DrillEnvironment
from qcfeed.model.messages import CloseCode
from qcfeed.model.symbol import Symbol

_UPGRADE = (
    b"GET /stream HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ZHJpbGxkcmlsbGRyaWxsZA==\r\n"
)
_SHORT = 125
"""Largest payload whose length fits into one byte; RFC 6455 forbids a longer form for these."""
_KICKED = str(int(CloseCode.KICKED))
_PATIENCE = 5.0
"""Seconds for a connection to open, and at the end for the service to notice that it is closed."""


class Client:
    """One upgraded WebSocket connection. Raises OSError if the service does not accept it."""

    def __init__(
        self,
        address: tuple[str, int],
        *,
        receive_buffer: int | None = None,
        token: str | None = None,
    ) -> None:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            if receive_buffer is not None:  # before connecting, which announces the window
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            self.socket.settimeout(_PATIENCE)
            self.socket.connect(address)
            credentials = "" if token is None else f"Authorization: Bearer {token}\r\n"
            self.socket.sendall(_UPGRADE + credentials.encode() + b"\r\n")
            self._upgraded()
        except OSError:
            self.reset()
            raise
        self.port = int(self.socket.getsockname()[1])

    def request(self, action: str, symbols: Sequence[Symbol]) -> None:
        """Send a request as a masked text frame, with a mask of zeros (RFC 6455 section 5.2)."""
        names = ",".join(f'"{symbol}"' for symbol in symbols)
        text = f'{{"action":"{action}","symbols":[{names}]}}'.encode()
        size = len(text)
        head = (
            struct.pack("!BB", 0x81, 0x80 | size)
            if size <= _SHORT
            else struct.pack("!BBH", 0x81, 0x80 | 126, size)
        )
        self.socket.sendall(head + bytes(4) + text)

    def pong(self) -> None:
        """Send a pong, unsolicited or not (RFC 6455 section 5.5.3)."""
        self.socket.sendall(b"\x8a\x80" + bytes(4))

    def read(self, most: int) -> int:
        """Read up to ``most`` bytes without waiting; returns how many."""
        try:
            return len(self.socket.recv(most, socket.MSG_DONTWAIT))
        except BlockingIOError:
            return 0

    @property
    def ended(self) -> bool:
        """Whether the service has closed the connection; checked without reading from it."""
        # poll(2), because select(2) cannot watch descriptors above 1,023.
        watched = select.poll()
        watched.register(self.socket, select.POLLRDHUP)
        return bool(watched.poll(0))

    def reset(self) -> None:
        """Close with a TCP reset, which leaves nothing in the kernel."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _upgraded(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = self.socket.recv(1)  # byte by byte: nothing behind the head may be read
            if not piece:
                raise ConnectionError("the service closed instead of upgrading")
            head += piece
        if b" 101 " not in head.partition(b"\r\n")[0]:
            raise ConnectionError(head.partition(b"\r\n")[0].decode(errors="replace"))


class FaultyClients:
    """A drill whose fault is the behaviour of its clients; ``run_clients`` runs in a thread of its own."""

    def __init__(self, environment: DrillEnvironment, number: float) -> None:
        self._environment = environment
        self.number = int(number)
        self.address = environment.address
        self.universe = (
            environment.hub.upstream.symbols() or sorted(environment.hub.feeds) or [Symbol("AAPL")]
        )
        self.stopping = threading.Event()
        authenticator = environment.gateway.authenticator
        self._token = None if authenticator is None else authenticator.lend()
        self._kicks = environment.gateway.closed[_KICKED]
        self.clients: list[Client] = []
        self._ports: set[int] = set()
        self._thread = threading.Thread(target=self._run, name="qcfeed-drill", daemon=True)

    def start(self) -> None:
        self._thread.start()

    async def stop(self) -> None:
        self.stopping.set()
        await asyncio.to_thread(self._thread.join)
        deadline = self._environment.loop.time() + _PATIENCE
        while self._any_connected() and self._environment.loop.time() < deadline:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.02)

    def run_clients(self) -> None:
        """What the clients do, until ``stopping`` is set."""
        raise NotImplementedError

    def add_client(self, symbols: Sequence[Symbol], *, receive_buffer: int | None = None) -> Client:
        """Connect one more client and subscribe it to ``symbols``. Raises OSError."""
        client = Client(self.address, receive_buffer=receive_buffer, token=self._token)
        self._ports.add(client.port)
        self.clients.append(client)
        client.request("subscribe", symbols)
        return client

    def reconnect(self, symbols: Callable[[int], Sequence[Symbol]], **how: int) -> None:
        """Reconnect clients whose connection was closed, except those closed by ``subscribers kick``.

        ``symbols`` maps a client's number to its symbols. A refused client tries again on the next call.
        """
        for client in [each for each in self.clients if each.ended]:
            self.remove(client)
        kicked = self._environment.gateway.closed[_KICKED] - self._kicks
        with contextlib.suppress(OSError):
            for _ in range(self.number - kicked - len(self.clients)):
                self.add_client(symbols(len(self._ports)), **how)

    def remove(self, client: Client) -> None:
        """Disconnect a client, without a close frame."""
        client.reset()
        self.clients.remove(client)

    def _run(self) -> None:
        try:
            self.run_clients()
        finally:
            for client in list(self.clients):
                self.remove(client)

    def _any_connected(self) -> bool:
        """Whether the service still has a connection from one of our clients."""
        peers = {
            int(each.peer.rpartition(":")[2]) for each in self._environment.gateway.connections
        }
        return not self._ports.isdisjoint(peers)
