"""What the Python peers have in common: quotes when they are due, and who reads them."""

from __future__ import annotations

import argparse
import asyncio
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
    """The simulator's quotes of some symbols as JSON text, at a rate a symbol, or as fast as asked."""

    def __init__(self, symbols: list[str], rate: float | None, readers: int) -> None:
        self._walks = {symbol: Walk(0, symbol) for symbol in symbols}
        self._seq = 0
        self._stamp = Timestamps()
        self.rate = rate
        self.readers = readers
        """How many are to come."""
        self.readers_a_symbol = max(1, readers // len(symbols))

    async def ages(self) -> AsyncIterator[float]:
        """Seconds by which each round of quotes is late; at no rate, one a turn of the loop."""
        if self.rate is None:
            while True:
                await asyncio.sleep(0)
                yield 0.0
        pace = Pace(self.rate, time.monotonic())
        while True:
            await asyncio.sleep(max(pace.next() - time.monotonic(), 0.0))
            for number in pace.due(time.monotonic()):
                yield time.monotonic() - pace.at(number)
                # Who is behind has 250 rounds to make up; without a turn between them no newcomer gets in.
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
    """Readers and latest quote by symbol."""

    readers: defaultdict[str, set[Any]] = field(default_factory=lambda: defaultdict(set))
    latest: dict[str, bytes] = field(default_factory=dict)

    async def fill(
        self, source: Source, deliver: Callable[[set[Any], bytes], Awaitable[None] | None]
    ) -> None:
        """Hand over every quote that is due to ``deliver``, with those who read its symbol.

        At no rate not before all are there: 16,000 take long to be let in beside full speed.
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
    """What to send, and to how many, from the command line: READERS, RATE or ``max``, SYMBOL,..."""
    parser = argparse.ArgumentParser()
    parser.add_argument("readers", type=int)
    parser.add_argument("rate", type=lambda text: None if text == "max" else float(text))
    parser.add_argument("symbols", type=lambda text: text.split(","))
    given = parser.parse_args()
    return Source(given.symbols, given.rate, given.readers)


def ready(port: int) -> None:
    """Say that connections are taken."""
    print(f"ready {port}", flush=True)
