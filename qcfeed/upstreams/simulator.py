"""Simulated quotes: one seeded, mean-reverting random walk per symbol.

A symbol's prices depend only on the seed and the symbol, so two runs, or two services, produce the
same sequence. Only the timestamps are real.

    sim:?rate=10&seed=7          quotes per second per symbol, or `max`; the seed of the prices
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from qcfeed.errors import UnknownSymbolError
from qcfeed.model.messages import Tick
from qcfeed.model.symbol import Symbol
from qcfeed.upstreams.base import Sink, Upstream
from qcfeed.upstreams.timestamps import Timestamps
from qcfeed.upstreams.universe import LEVELS, TICKERS
from qcfeed.upstreams.url import UpstreamUrl

QUIET_SYMBOL = Symbol("ZVZZT")
"""NASDAQ's test symbol. The simulator knows it but never publishes a quote; it is not in TICKERS."""

_KNOWN = frozenset((*TICKERS, QUIET_SYMBOL))
_BATCH = 128
_LEAST_SLEEP = 0.001
_CATCH_UP = 0.25


class Walk:
    """One symbol's prices: whole cents, within a tenth of a fixed level.

    An Ehrenfest urn: the further the price is from the level, the less likely is a step away from it;
    at the edge it is impossible. So prices stay positive however long it runs. ``phase`` in [0, 1)
    spreads the symbols' ticks over the interval.
    """

    __slots__ = ("_bits", "_draw", "_level", "_mid", "_reach", "_step", "phase")

    def __init__(self, seed: int, symbol: str) -> None:
        rng = random.Random(f"{seed}:{symbol}")
        level = LEVELS.get(symbol) or 8.0 * 50.0 ** rng.random()
        self._level = self._mid = round(level * 100)
        self._reach = self._level // 10
        self._step = max(1, self._level // 20_000)
        self.phase = rng.random()
        self._draw = rng.random
        self._bits = rng.getrandbits

    def tick(self, ts: str) -> Tick:
        """The next tick, with timestamp ``ts``. Cost: below a microsecond."""
        drift = (self._mid - self._level) / self._reach
        self._mid = mid = self._mid + (
            self._step if self._draw() * 2.0 >= 1.0 + drift else -self._step
        )
        bits = self._bits(12)
        bid = (mid - 1 - (bits & 1)) / 100
        ask = (mid + (bits >> 1 & 1)) / 100
        return Tick(
            bid,
            100 + 100 * (bits >> 2 & 15),
            ask,
            100 + 100 * (bits >> 6 & 15),
            bid if bits & 0x800 else ask,
            ts,
        )


class Pace:
    """The schedule of ticks at a fixed rate: the n-th is due at ``start + n / rate``, without drift.

    After a long stall at most a quarter second's worth of ticks is caught up; the rest is skipped.
    """

    __slots__ = ("_done", "_most", "_rate", "_start")

    def __init__(self, rate: float, start: float) -> None:
        self._rate = rate
        self._start = start
        self._done = 0
        self._most = max(1, math.ceil(rate * _CATCH_UP))

    def due(self, now: float) -> range:
        """The numbers of the ticks due at ``now``; each is returned only once."""
        reached = math.floor((now - self._start) * self._rate) + 1
        first = max(self._done, reached - self._most)
        self._done = max(reached, self._done)
        return range(first, reached)

    def at(self, number: int) -> float:
        """When tick ``number`` is due."""
        return self._start + number / self._rate

    def next(self) -> float:
        """When the next tick is due."""
        return self.at(self._done)


class _SimulatorQuery(msgspec.Struct, forbid_unknown_fields=True):
    usage: ClassVar[str] = (
        "rate: quotes per second per symbol, from 0.001 to 1,000,000, or max; seed: a whole number"
    )
    rate: Annotated[float, Meta(ge=0.001, le=1_000_000)] | Literal["max"] = 1.0
    seed: int = 0


def connect(url: UpstreamUrl) -> Simulator:
    """The upstream for a ``sim:`` URL. Raises ConfigError."""
    url.reject_location("sim:?rate=10")
    query = url.query(_SimulatorQuery)
    rate = None if query.rate == "max" else query.rate
    return Simulator(rate=rate, seed=query.seed, clock=url.clock)


class Simulator(Upstream):
    """``sim:``: all of TICKERS, at ``rate`` quotes per second per symbol.

    A tick's timestamp is the time at which it was due, so its age at the subscriber is the total
    latency. Without a rate (``rate=max``) a feed publishes as fast as its subscribers accept quotes.
    When a feed reopens, its walk continues where it stopped; at most 893 walks are kept.
    """

    def __init__(
        self, *, rate: float | None = 1.0, seed: int = 0, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self.name = f"sim:?rate={'max' if rate is None else f'{rate:g}'}&seed={seed}"
        self._rate = rate
        self._seed = seed
        self._stamp = Timestamps(clock)
        self._walks: dict[Symbol, Walk] = {}

    def knows(self, symbol: Symbol) -> bool:
        return symbol in _KNOWN

    def symbols(self) -> Sequence[Symbol]:
        return TICKERS

    async def run(self, symbol: Symbol, sink: Sink) -> None:
        if not self.knows(symbol):
            raise UnknownSymbolError(
                f"the simulator has no {symbol}",
                hint="it has AAPL, MSFT, GOOGL, TSLA, AMZN and hundreds more",
            )
        sink.opened()
        if symbol == QUIET_SYMBOL:
            # Open and silent until it is cancelled.
            await asyncio.get_running_loop().create_future()
        walk = self._walks.get(symbol) or self._begin(symbol)
        if self._rate is None:
            await self._run_at_most(walk, sink)
        else:
            await self._run_at_rate(walk, self._rate, sink)

    def _begin(self, symbol: Symbol) -> Walk:
        walk = self._walks[symbol] = Walk(self._seed, symbol)
        return walk

    async def _run_at_most(self, walk: Walk, sink: Sink) -> None:
        while True:
            ts = self._stamp()
            sink.publish([walk.tick(ts) for _ in range(_BATCH)])
            await sink.ready()
            # Even if the sink is always ready, other tasks must get their turn.
            await asyncio.sleep(0)

    async def _run_at_rate(self, walk: Walk, rate: float, sink: Sink) -> None:
        loop = asyncio.get_running_loop()
        sink.publish([walk.tick(self._stamp())])
        # The phase keeps feeds that were opened together from ticking together.
        pace = Pace(rate, loop.time() + walk.phase / rate)
        while True:
            # At high rates several ticks are due together; sleeping less would only cost more wake-
            # ups.
            await asyncio.sleep(max(pace.next() - loop.time(), _LEAST_SLEEP))
            now = loop.time()
            if due := pace.due(now):
                ages = (now - pace.at(number) for number in due)
                sink.publish([walk.tick(self._stamp(age)) for age in ages])
