"""A WebSocket client that says exactly the bytes it is told to, right or wrong.

The handshake and frames are spelled out here (RFC 6455), so that a server which shares a mistake
with a library is still found out.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import socket
import struct
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from tests.support.patience import PATIENCE

TEXT, BINARY, CLOSE, PING, PONG, CONTINUATION = 0x1, 0x2, 0x8, 0x9, 0xA, 0x0
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response; header names are lower-cased."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of the server, as received."""

    opcode: int
    payload: bytes
    final: bool = True
    rsv: int = 0
    """The reserved bits, as a number from 0 to 7."""

    @property
    def code(self) -> int:
        """A close frame's code."""
        return int(struct.unpack("!H", self.payload[:2])[0])


def head(
    target: bytes | str = b"/quotes/AAPL",
    *,
    method: bytes = b"GET",
    version: bytes = b"HTTP/1.1",
    drop: tuple[bytes, ...] = (),
    **changed: bytes,
) -> bytes:
    """The head of a valid upgrade, with changed (``sec_websocket_key=b"x"``) or dropped headers."""
    headers = {
        b"host": b"localhost",
        b"upgrade": b"websocket",
        b"connection": b"Upgrade",
        b"sec-websocket-version": b"13",
        b"sec-websocket-key": KEY,
    }
    headers |= {name.replace("_", "-").encode(): value for name, value in changed.items()}
    raw = target.encode() if isinstance(target, str) else target
    lines = [method + b" " + raw + b" " + version]
    lines += [name + b": " + value for name, value in headers.items() if name not in drop]
    return b"\r\n".join([*lines, b"", b""])


def frame(opcode: int, payload: bytes = b"", *, final: bool = True, rsv: int = 0) -> bytes:
    """A masked client frame; ``rsv`` (0-7) other than 0 makes it invalid."""
    mask = b"\x37\xfa\x21\x3d"
    first = (0x80 if final else 0) | rsv << 4 | opcode
    size = len(payload)
    if size < 126:
        start = struct.pack("!BB", first, 0x80 | size)
    elif size < 0x10000:
        start = struct.pack("!BBH", first, 0x80 | 126, size)
    else:
        start = struct.pack("!BBQ", first, 0x80 | 127, size)
    masked = bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))
    return start + mask + masked


def close(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack("!H", code) + reason)


def request(action: str, *symbols: str, **more: str) -> bytes:
    """A text frame with a request."""
    body: dict[str, Any] = {"action": action, **more}
    if symbols:
        body["symbols"] = symbols
    return frame(TEXT, json.dumps(body).encode())


class RawClient:
    """One connection; end it with ``async with`` or ``leave``. All waits have a timeout."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.port: int = writer.get_extra_info("sockname")[1]

    @classmethod
    async def connect(
        cls, port: int, *, receive_buffer: int | None = None, source: str = "127.0.0.1"
    ) -> RawClient:
        """``receive_buffer``: size of the kernel's receive buffer in bytes. ``source``: its own address."""
        sock = socket.socket(proto=socket.IPPROTO_TCP)
        sock.setblocking(False)
        try:
            if receive_buffer is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            sock.bind((source, 0))
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        except BaseException:
            sock.close()
            raise
        # A small limit, so unread data stays in the kernel and not in our StreamReader.
        reader, writer = await asyncio.open_connection(sock=sock, limit=65_536)
        return cls(reader, writer)

    @classmethod
    async def upgraded(
        cls,
        port: int,
        target: str = "/quotes/AAPL",
        *,
        receive_buffer: int | None = None,
        source: str = "127.0.0.1",
    ) -> RawClient:
        """Connect and upgrade (RFC 6455); frames follow."""
        client = await cls.connect(port, receive_buffer=receive_buffer, source=source)
        client.send(head(target))
        answer = await client.response()
        assert answer.status == 101, answer
        token = base64.b64encode(hashlib.sha1(KEY + _GUID).digest()).decode()
        assert answer.headers["sec-websocket-accept"] == token
        return client

    async def __aenter__(self) -> RawClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.leave()

    # ------------------------------------------------------------ out

    def send(self, *pieces: bytes) -> None:
        self._writer.write(b"".join(pieces))

    async def flush(self) -> None:
        """Wait until the kernel has accepted most of what was sent."""
        async with asyncio.timeout(PATIENCE):
            await self._writer.drain()

    def finish(self) -> None:
        """Close our half: send nothing more, but keep reading."""
        self._writer.write_eof()

    async def leave(self) -> None:
        """End the connection (FIN) without a close frame, as a process that exits does."""
        self._writer.close()
        with contextlib.suppress(OSError):  # the server has reset the connection already
            await self._writer.wait_closed()

    def reset(self) -> None:
        """Reset the connection (RST), as a host that has lost its state."""
        with contextlib.suppress(OSError):  # the server has closed it already
            sock = self._writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._writer.transport.abort()

    def deafen(self) -> None:
        """Stop reading."""
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]

    def listen(self) -> None:
        """Read again after ``deafen``."""
        self._writer.transport.resume_reading()  # type: ignore[attr-defined]

    async def subscribe(self, *symbols: str) -> None:
        """At /stream: subscribe to ``symbols`` too, and wait for the answer."""
        self.send(request("subscribe", *symbols))
        said = await self.message("subscribed")
        assert set(said["symbols"]) >= set(symbols)

    # ------------------------------------------------------------ in

    async def response(self) -> Response:
        """Read an HTTP response; the body length is Content-Length."""
        async with asyncio.timeout(PATIENCE):
            raw = await self._reader.readuntil(b"\r\n\r\n")
            first, *lines = raw.decode("latin-1").split("\r\n")
            headers = {}
            for line in filter(None, lines):
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            body = await self._reader.readexactly(int(headers.get("content-length", 0)))
            return Response(int(first.split()[1]), headers, body)

    async def frame(self) -> Frame:
        async with asyncio.timeout(PATIENCE):
            first, second = await self._reader.readexactly(2)
            assert not second & 0x80, "a server's frame is masked"
            size = second & 0x7F
            if size == 126:
                (size,) = struct.unpack("!H", await self._reader.readexactly(2))
            elif size == 127:
                (size,) = struct.unpack("!Q", await self._reader.readexactly(8))
            payload = await self._reader.readexactly(size)
            return Frame(first & 0x0F, payload, bool(first & 0x80), first >> 4 & 7)

    async def message(self, *types: str) -> dict[str, Any]:
        """The next text message (of one of ``types``, if given); others are skipped."""
        async with asyncio.timeout(PATIENCE):
            while True:
                got = await self.frame()
                assert got.opcode != CLOSE, got
                if got.opcode == TEXT:
                    said: dict[str, Any] = json.loads(got.payload)
                    if not types or said["type"] in types:
                        return said

    async def so_far(self, *types: str) -> list[dict[str, Any]]:
        """All messages of ``types`` sent before the answer to a request made now."""
        self.send(request("ping"))
        said = []
        while (message := await self.message(*types, "pong"))["type"] != "pong":
            said.append(message)
        return said

    async def closing(self) -> Frame:
        """The server's close frame; everything else is skipped."""
        async with asyncio.timeout(PATIENCE):
            while (got := await self.frame()).opcode != CLOSE:
                pass
            return got

    async def ended(self) -> str:
        """How the server ends the connection: ``eof`` or ``reset``; everything else is skipped."""
        async with asyncio.timeout(PATIENCE):
            try:
                while await self._reader.read(65_536):
                    pass
            except ConnectionError:
                return "reset"
            return "eof"


async def collect(client: RawClient, seen: list[int]) -> None:
    """Read until cancelled; collects the sequence numbers of the quotes."""
    while True:
        seen.append((await client.message("quote"))["seq"])
