"""nats-server with its WebSocket listener, and a publisher that sends the quotes to it.

    python -m benchmarks.fanout.servers.nats NATS_SERVER READERS RATE|max SYMBOL,SYMBOL,...

Without a rate, the publisher reads its own quotes back and limits the number in flight: enough for the
server to coalesce, and no more than it buffers for its clients. Both processes count as the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.fanout.servers.source import Source, arguments, ready

_CONFIGURATION = """
listen: "127.0.0.1:-1"
websocket { listen: "127.0.0.1:-1", %s }
"""
_PLAIN = "no_tls: true"
_TLS = 'tls { cert_file: "%s/cert.pem", key_file: "%s/key.pem" }'
_UNDER_WAY = 400_000
"""Deliveries in flight over all readers: 60 MB of quotes. More or fewer made nats-server slower."""


class Publisher(asyncio.Protocol):
    """A publisher's part of the NATS protocol: CONNECT, PUB, and counting its own messages."""

    def __init__(self, source: Source, most: int) -> None:
        self._source = source
        self._most = most
        self._under_way = 0
        self._tail = b""
        self._room = asyncio.Event()
        self._room.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(b'CONNECT {"verbose":false,"pedantic":false}\r\n')
        if self._source.rate is None:
            transport.write(b"SUB quotes.> 1\r\n")

    def data_received(self, data: bytes) -> None:
        data = self._tail + data
        self._under_way -= data.count(b"MSG ")
        self._tail = data[-3:]
        if b"PING\r\n" in data:
            self._transport.write(b"PONG\r\n")
        if self._under_way < self._most:
            self._room.set()

    async def publish(self) -> None:
        """Publish every quote when it is due, or as fast as the quotes come back."""
        async for age in self._source.ages():
            quotes = self._source.quotes(age)
            lines = [
                b"PUB quotes.%b %d\r\n%b\r\n" % (symbol.encode(), len(text), text)
                for symbol, text in quotes
            ]
            self._transport.write(b"".join(lines))
            if self._source.rate is None:
                self._under_way += len(quotes)
                if self._under_way >= self._most:
                    self._room.clear()
                    await self._room.wait()


@contextlib.contextmanager
def serving(program: str, tls: str | None) -> Iterator[dict[str, int]]:
    """Run nats-server until the block ends; yields its ports by protocol. ``tls``: see Source."""
    with tempfile.TemporaryDirectory(prefix="qcfeed-nats-") as directory:
        configuration = Path(directory, "nats.conf")
        listener = _PLAIN if tls is None else _TLS % (tls, tls)
        configuration.write_text(_CONFIGURATION % listener + f'ports_file_dir: "{directory}"\n')
        server = subprocess.Popen([program, "-c", str(configuration)])
        try:
            yield _ports(Path(directory, f"nats-server_{server.pid}.ports"))
        finally:
            server.terminate()
            server.wait()


def _ports(file: Path) -> dict[str, int]:
    until = time.monotonic() + 10
    while not file.exists() and time.monotonic() < until:
        time.sleep(0.01)
    listening = json.loads(file.read_text())
    return {name: int(urls[0].rpartition(":")[2]) for name, urls in listening.items() if urls}


async def publish(source: Source, ports: dict[str, int], most: int) -> None:
    """Publish quotes while the server runs; without a rate, at most ``under_way`` in flight."""
    _, publisher = await asyncio.get_running_loop().create_connection(
        lambda: Publisher(source, most), "127.0.0.1", ports["nats"]
    )
    ready(ports["websocket"])
    await publisher.publish()


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    program, source = sys.argv.pop(1), arguments()
    with serving(program, source.tls) as ports:
        asyncio.run(publish(source, ports, max(64, _UNDER_WAY // source.readers_per_symbol)))


if __name__ == "__main__":
    main()
