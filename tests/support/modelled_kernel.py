"""The whole service between an upstream and its sockets, on a kernel that a test moves by hand.

Hub, gateway, connections and transports are the service's own. Only what the kernel does is modelled:
how many bytes it takes before it is full, and when a peer reads them. So nothing depends on time or on
the machine, and a test says exactly who is slow, and when.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from qcfeed.config import Config
from qcfeed.model.symbol import Symbol
from qcfeed.net.poller import READ, WRITE, Pollable
from qcfeed.net.transport import Transport
from qcfeed.server.gateway import Gateway
from qcfeed.server.hub import Hub
from qcfeed.ws.connection import Connection
from qcfeed.ws.pending import PendingConnection
from tests.support import raw_websocket
from tests.support.scripted_upstream import TICK, ScriptedUpstream, silently

NEVER = 1e6
"""Seconds after which something happens that does not happen in a test by itself."""
_numbers = itertools.count(1_000)


class Wire:
    """A fake socket. It buffers up to ``room`` bytes that its peer has not read; None: unlimited."""

    def __init__(self, room: int | None = None) -> None:
        self.room = room
        self.unread = bytearray()
        """Bytes the kernel has accepted and the peer has not read yet."""
        self.incoming = b""
        self.ended = False
        self._number = next(_numbers)

    def fileno(self) -> int:
        return self._number

    def send(self, data: bytes, _flags: int = 0) -> int:
        free = len(data) if self.room is None else self.room - len(self.unread)
        if free <= 0 < len(data):
            raise BlockingIOError
        self.unread += data[:free]
        return min(free, len(data))

    def recv(self, _most: int) -> bytes:
        if not self.incoming:
            raise BlockingIOError
        data, self.incoming = self.incoming, b""
        return data

    def shutdown(self, _how: int) -> None:
        self.ended = True

    def setsockopt(self, *_option: object) -> None:
        """Ignored: there is no kernel."""

    def close(self) -> None:
        self.ended = True


class Readiness:
    """A fake poller, which records the events each transport waits for."""

    def __init__(self) -> None:
        self.waiting: dict[int, int] = {}

    def watch(self, fd: int, events: int, _watched: Pollable) -> None:
        self.waiting[fd] = events

    def unwatch(self, fd: int) -> None:
        self.waiting.pop(fd, None)

    def end_soon(self, watched: Pollable, error: Exception | None) -> None:
        asyncio.get_running_loop().call_soon(watched.end, error)


class Peer:
    """A client at the other end of a wire; it reads only on request."""

    def __init__(self, exchange: Exchange, target: str) -> None:
        self._readiness = exchange.readiness
        self._buffer = b""
        self.wire = Wire()
        self.messages: list[dict[str, Any]] = []
        """All text messages received so far."""
        self.close_code: int | None = None
        self.wire.incoming = raw_websocket.head(target)
        pending = PendingConnection(
            exchange.gateway, self.wire.fileno(), ("127.0.0.1", self.wire.fileno())
        )
        self.transport = Transport(exchange.readiness, self.wire, pending)  # type: ignore[arg-type]
        head, _, rest = bytes(self.wire.unread).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        self.wire.unread[:] = rest
        self.read()

    @property
    def is_full(self) -> bool:
        """Whether bytes written to it are still unsent."""
        return self.transport.get_write_buffer_size() > 0

    @property
    def is_up_to_date(self) -> bool:
        """Whether it has read everything written to it."""
        return not self.is_full and not self.wire.unread

    def quotes(self, since: int = 0) -> list[dict[str, Any]]:
        """The quotes among its messages, from message number ``since`` on."""
        return [each for each in self.messages[since:] if each["type"] == "quote"]

    def say(self, action: str, *symbols: Symbol, **more: str) -> None:
        self.wire.incoming += raw_websocket.request(action, *symbols, **more)
        self.transport.ready(READ)

    def read(self, most: int | None = None) -> None:
        """Read up to ``most`` bytes; None: everything, including what is sent as room becomes free."""
        left = most
        while self.wire.unread and left != 0:
            size = len(self.wire.unread) if left is None else min(left, len(self.wire.unread))
            self._take(size)
            left = None if left is None else left - size
            if self._readiness.waiting.get(self.wire.fileno(), 0) & WRITE:
                self.transport.ready(WRITE)

    def drain(self) -> None:
        """Read everything at once from now on."""
        self.wire.room = None
        if self._readiness.waiting.get(self.wire.fileno(), 0) & WRITE:
            self.transport.ready(WRITE)
        self.read()

    def _take(self, size: int) -> None:
        self._buffer += self.wire.unread[:size]
        del self.wire.unread[:size]
        frames, self._buffer = _whole_frames(self._buffer)
        for opcode, payload in frames:
            assert self.close_code is None, "a close frame is the last one (RFC 6455 section 5.5.1)"
            if opcode == raw_websocket.TEXT:
                self.messages.append(json.loads(payload))
            elif opcode == raw_websocket.CLOSE:
                (self.close_code,) = struct.unpack("!H", payload[:2])


def _whole_frames(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Opcode and payload of each complete, unmasked frame, and the remaining bytes."""
    found = []
    while len(data) >= 2:
        size, start = data[1], 2
        if size == 126:
            start = 4
            size = int.from_bytes(data[2:4], "big") if len(data) >= start else 0
        if len(data) < start + size:
            break
        found.append((data[0] & 0x0F, data[start : start + size]))
        data = data[start + size :]
    return found, data


class Exchange:
    """Hub and gateway of a service with these options; create and use it in a running loop."""

    def __init__(self, config: Config) -> None:
        self.upstream = ScriptedUpstream(silently)
        self.hub = Hub(config, self.upstream)
        self.gateway = Gateway(config, self.hub, None)
        self.readiness = Readiness()

    def connect(self, target: str = "/stream") -> Peer:
        return Peer(self, target)

    def connection_of(self, peer: Peer) -> Connection | None:
        """The service's connection to the peer; None if it is closed."""
        name = f"127.0.0.1:{peer.wire.fileno()}"
        return next((each for each in self.gateway.connections if each.peer == name), None)

    async def publish(self, counts: Mapping[Symbol, int]) -> None:
        """Publish a number of quotes per symbol in one turn of the loop, and flush them."""
        for symbol, count in counts.items():
            feed = self.hub.feeds.get(symbol)
            if feed is not None:
                await self._begun(symbol)
                feed.publish([TICK] * count)
        await turns()

    async def _begun(self, symbol: Symbol) -> None:
        while not self.upstream.alive[symbol]:  # noqa: ASYNC110 - a turn or two
            await asyncio.sleep(0)

    async def stop(self) -> None:
        """End every connection and feed, and wait until they are gone."""
        for connection in list(self.gateway.connections):
            connection.abort("test")
        await self.hub.stop()
        while self.gateway.sockets:  # noqa: ASYNC110 - a turn or two
            await asyncio.sleep(0)


def timeless(**options: Any) -> Config:
    """Options with which nothing depends on the time that passes."""
    return Config(
        subscribe_rate=0,
        linger=NEVER,
        stale_after=NEVER,
        very_stale_after=2 * NEVER,
        dead_after=3 * NEVER,
        **options,
    )


async def turns(count: int = 3) -> None:
    """Let the loop run scheduled callbacks."""
    for _ in range(count):
        await asyncio.sleep(0)


def symbols(count: int) -> Iterator[Symbol]:
    """Distinct symbols, named in a known order."""
    return (Symbol(f"S{number:03d}") for number in range(count))
