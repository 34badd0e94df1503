"""Code that the Python peers share: a schedule of quotes, and the readers by symbol."""

from __future__ import annotations

import argparse
import asyncio
import ssl
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from qcfeed.model import messages
from qcfeed.model.symbol import Symbol
from qcfeed.upstreams.simulator import Pace, Walk
from qcfeed.upstreams.timestamps import Timestamps

_IDLE = 0.005


class Source:
    """The simulator's quotes of some symbols as JSON text, at a rate per symbol, or as fast as possible."""

    def __init__(
        self, symbols: list[str], rate: float | None, readers: int, tls: str | None = None
    ) -> None:
        self.tls = tls
        """Directory of the certificate and key to serve with; None without TLS."""
        self._walks = {symbol: Walk(0, symbol) for symbol in symbols}
        self._seq = 0
        self._stamp = Timestamps()
        self.rate = rate
        self.readers = readers
        """Number of expected readers."""
        self.readers_per_symbol = max(1, readers // len(symbols))

    async def ages(self) -> AsyncIterator[float]:
        """Yield, per round of quotes, the seconds by which it is late; without a rate, one round per turn of the loop."""
        if self.rate is None:
            while True:
                await asyncio.sleep(0)
                yield 0.0
        pace = Pace(self.rate, time.monotonic())
        while True:
            await asyncio.sleep(max(pace.next() - time.monotonic(), 0.0))
            for number in pace.due(time.monotonic()):
                yield time.monotonic() - pace.at(number)
                # A server that is behind sends up to 250 rounds. It yields in between, or no new client connects.
                await asyncio.sleep(0)

    def quotes(self, age: float) -> list[tuple[str, bytes]]:
        """The next quote of every symbol, due ``age`` seconds ago."""
        self._seq += 1
        ts, seq = self._stamp(age), self._seq
        return [
            (symbol, messages.encode(messages.quote(Symbol(symbol), walk.tick(ts), "7f3a1", seq)))
            for symbol, walk in self._walks.items()
        ]


@dataclass
class Room:
    """Readers, and the latest quote, by symbol."""

    readers: defaultdict[str, set[Any]] = field(default_factory=lambda: defaultdict(set))
    latest: dict[str, bytes] = field(default_factory=dict)

    async def fill(
        self, source: Source, deliver: Callable[[set[Any], bytes], Awaitable[None] | None]
    ) -> None:
        """Call ``deliver`` with every quote that is due, and the readers of its symbol.

        Without a rate it waits for all readers: accepting 16,000 at full speed takes long.
        """
        self.latest.update(source.quotes(0.0))
        while source.rate is None and sum(map(len, self.readers.values())) < source.readers:  # noqa: ASYNC110 — a benchmark
            await asyncio.sleep(_IDLE)
        async for age in source.ages():
            for symbol, text in source.quotes(age):
                self.latest[symbol] = text
                delivered = deliver(self.readers[symbol], text)
                if delivered is not None:
                    await delivered


def arguments() -> Source:
    """The source and the number of readers from the command line: READERS, RATE or ``max``, SYMBOL,..."""
    parser = argparse.ArgumentParser()
    parser.add_argument("readers", type=int)
    parser.add_argument("rate", type=lambda text: None if text == "max" else float(text))
    parser.add_argument("symbols", type=lambda text: text.split(","))
    parser.add_argument("--tls", metavar="DIRECTORY")
    given = parser.parse_args()
    return Source(given.symbols, given.rate, given.readers, given.tls)


def server_context(directory: str) -> ssl.SSLContext:
    """The standard library's defaults, with the benchmark's certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(f"{directory}/cert.pem", f"{directory}/key.pem")
    return context


def ready(port: int) -> None:
    """Print that the server accepts connections."""
    print(f"ready {port}", flush=True)
