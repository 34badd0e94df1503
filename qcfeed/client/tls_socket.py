"""TLS on a socket that the loop reads and writes directly, for RawPeer."""

from __future__ import annotations

import asyncio
import socket
import ssl

_CHUNK = 65_536


class TlsSocket:
    """The TLS state of one connected socket. Nothing here has a timeout."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, host: str) -> None:
        self._socket = sock
        self._loop = asyncio.get_running_loop()
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    async def handshake(self) -> None:
        """Raises ssl.SSLError, and OSError as the loop does."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            else:
                await self._flush()
                return

    async def send(self, data: bytes) -> None:
        self._tls.write(data)
        await self._flush()

    async def receive(self) -> bytes:
        """Some bytes; none at the end of the connection."""
        while True:
            try:
                return self._tls.read(_CHUNK)
            except ssl.SSLWantReadError:
                await self._fill()
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                return b""

    async def _flush(self) -> None:
        if data := self._outgoing.read():
            await self._loop.sock_sendall(self._socket, data)

    async def _fill(self) -> None:
        if data := await self._loop.sock_recv(self._socket, _CHUNK):
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
