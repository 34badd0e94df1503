"""The whole service between an upstream and its sockets, on a kernel that a test moves by hand.

Hub, gateway, connections and transports are the service's own. Only what the kernel does is modelled:
how many bytes it takes before it is full, and when a peer reads them. So nothing depends on time or on
the machine, and a test says exactly who is slow, and when.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
import struct
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

from qcfeed.config import Config
from qcfeed.model.symbol import Symbol
from qcfeed.net.poller import READ, WRITE, Pollable
from qcfeed.net.transport import Transport
from qcfeed.server.gateway import Gateway
from qcfeed.server.hub import Hub
from qcfeed.ws.connection import WebSocketConnection
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
        self.at_end: OSError | None = None
        """What reading fails with once nothing is incoming; None: it blocks."""
        self.has_left = False
        """Whether the peer has ended its half."""
        self.ended = False
        self.was_reset = False
        self.sends = 0
        """Calls of ``send`` that the kernel accepted."""
        self._number = next(_numbers)

    def fileno(self) -> int:
        return self._number

    def send(self, data: bytes, _flags: int = 0) -> int:
        free = len(data) if self.room is None else self.room - len(self.unread)
        if free <= 0 < len(data):
            raise BlockingIOError
        self.unread += data[:free]
        self.sends += 1
        return min(free, len(data))

    def recv(self, _most: int) -> bytes:
        if not self.incoming and not self.has_left:
            raise self.at_end or BlockingIOError
        data, self.incoming = self.incoming, b""
        return data

    def shutdown(self, _how: int) -> None:
        self.ended = True

    def setsockopt(self, _level: int, option: int, _value: object) -> None:
        """Of all options only the one for a reset counts."""
        self.was_reset |= option == socket.SO_LINGER

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

    def __init__(
        self, exchange: Exchange, target: str, then: bytes = b"", **headers: bytes
    ) -> None:
        """``then``: frames that it sends together with its request."""
        self._readiness = exchange.readiness
        self._buffer = b""
        self.wire = Wire()
        self.messages: list[dict[str, Any]] = []
        """All text messages received so far."""
        self.compressed = 0
        """How many of them were compressed."""
        self.close_code: int | None = None
        self.close_reason = ""
        self.pongs: list[bytes] = []
        """The payloads of all pongs received so far."""
        self.wire.incoming = raw_websocket.head(target, **headers) + then
        self.transport = exchange.accept(self.wire)
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

    def say(self, action: str, *symbols: str, **more: str) -> None:
        self.send(raw_websocket.request(action, *symbols, **more))

    def send(self, frames: bytes) -> None:
        """Send these bytes, which are read as far as the service reads now."""
        self.wire.incoming += frames
        self.transport.ready(READ)

    def leave(self, error: OSError | None = None) -> None:
        """End the connection; ``error``: what the kernel reports instead of an end."""
        self.wire.at_end, self.wire.has_left = error, error is None
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
        for first, payload in frames:
            opcode = first & 0x0F
            assert self.close_code is None, "a close frame is the last one (RFC 6455 section 5.5.1)"
            if first & 0x40:
                self.compressed += 1
                self.messages.append(json.loads(_inflated(payload)))
            elif opcode == raw_websocket.TEXT:
                self.messages.append(json.loads(payload))
            elif opcode == raw_websocket.CLOSE:
                (self.close_code,) = struct.unpack("!H", payload[:2])
                self.close_reason = payload[2:].decode()
            elif opcode == raw_websocket.PONG:
                self.pongs.append(payload)


class Visitor:
    """A client whose request has not been accepted: it has sent nothing yet, or is refused."""

    def __init__(self, exchange: Exchange, data: bytes, host: str) -> None:
        self.wire = Wire()
        self.wire.incoming = data
        self.transport = exchange.accept(self.wire, host)

    def send(self, data: bytes) -> None:
        self.wire.incoming += data
        self.transport.ready(READ)

    @property
    def response(self) -> raw_websocket.Response | None:
        """The answer that it has got; None if there is none."""
        head, _, body = bytes(self.wire.unread).partition(b"\r\n\r\n")
        if not head:
            return None
        status, *lines = head.decode().split("\r\n")
        pairs = (line.partition(": ") for line in lines)
        headers = {name.lower(): value for name, _, value in pairs}
        return raw_websocket.Response(int(status.split()[1]), headers, body)


def _whole_frames(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """First byte and payload of each complete, unmasked frame, and the remaining bytes."""
    found = []
    while len(data) >= 2:
        size, start = data[1], 2
        if size == 126:
            start = 4
            size = int.from_bytes(data[2:4], "big") if len(data) >= start else 0
        if len(data) < start + size:
            break
        found.append((data[0], data[start : start + size]))
        data = data[start + size :]
    return found, data


def _inflated(payload: bytes) -> bytes:
    """A compressed message (RFC 7692 section 7.2.2)."""
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(payload + b"\x00\x00\xff\xff")


class _Gateway(Gateway):
    """How much processor time requests take depends on the machine, so here it is not limited."""

    def busy_for(self) -> float:
        return 0.0


class Exchange:
    """Hub and gateway of a service with these options; create and use it in a running loop."""

    def __init__(self, config: Config) -> None:
        self.upstream = ScriptedUpstream(silently)
        self.hub = Hub(config, self.upstream)
        self.gateway: Gateway = _Gateway(config, self.hub, None)
        self.readiness = Readiness()

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, config: Config) -> AsyncIterator[Exchange]:
        """An exchange for the time of a block."""
        exchange = cls(config)
        try:
            yield exchange
        finally:
            await exchange.stop()

    def connect(self, target: str = "/stream", then: bytes = b"", **headers: bytes) -> Peer:
        return Peer(self, target, then, **headers)

    def visit(self, data: bytes = b"", host: str = "127.0.0.1") -> Visitor:
        """Somebody connects from ``host``, and sends ``data``."""
        return Visitor(self, data, host)

    def accept(self, wire: Wire, host: str = "127.0.0.1") -> Transport:
        """The service accepts a connection of ``host``, and reads what is incoming."""
        pending = PendingConnection(self.gateway, wire.fileno(), (host, wire.fileno()))
        return Transport(self.readiness, wire, pending)  # type: ignore[arg-type]

    def connection_of(self, peer: Peer) -> WebSocketConnection | None:
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
        await until(lambda: self.upstream.alive[symbol] > 0)

    async def stop(self) -> None:
        """End every connection and feed, and wait until they are gone."""
        for connection in list(self.gateway.connections):
            connection.abort("test")
        for pending in list(self.gateway.pending):
            pending.abort()
        stopping = asyncio.create_task(self.hub.stop())
        await until(stopping.done)
        await until(lambda: self.gateway.sockets == 0)


def timeless(**options: Any) -> Config:
    """Options with which nothing depends on the time that passes, but for those given."""
    never: dict[str, Any] = {
        "subscribe_rate": 0,
        "linger": NEVER,
        "stale_after": NEVER,
        "very_stale_after": 2 * NEVER,
        "dead_after": 3 * NEVER,
    }
    return Config(**never | options)


async def until(reached: Callable[[], bool]) -> None:
    """Let the loop run until ``reached``, which takes a few turns, and at most a thousand."""
    for _ in range(1_000):
        if reached():
            return
        await asyncio.sleep(0)
    raise AssertionError("it does not come")


async def turns(count: int = 3) -> None:
    """Let the loop run scheduled callbacks."""
    for _ in range(count):
        await asyncio.sleep(0)


def symbols(count: int) -> Iterator[Symbol]:
    """Distinct symbols, named in a known order."""
    return (Symbol(f"S{number:03d}") for number in range(count))
