"""An upstream whose behaviour a test defines: slow to end, failing, or refusing to end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from qcfeed.model.messages import Tick
from qcfeed.model.symbol import Symbol
from qcfeed.upstreams.base import Sink, UpstreamHealth

Life = Callable[[Sink], Awaitable[None]]

TICK = Tick(189.99, 300, 190.01, 100, 190.0, "2024-03-20T02:15:00.123456789Z")


async def steadily(sink: Sink) -> None:
    """A quote every 10 ms."""
    sink.opened()
    while True:
        sink.publish([TICK])
        await asyncio.sleep(0.01)


async def silently(sink: Sink) -> None:
    """No quotes, except those the test publishes."""
    await asyncio.get_running_loop().create_future()


class ScriptedUpstream:
    """Each run executes the ``life`` that is set when it starts; runs are counted per symbol."""

    name = "scripted:"

    def __init__(self, life: Life = steadily) -> None:
        self.life = life
        self.connected = True
        self.sinks: list[Sink] = []
        """One sink per run, in the order of their start."""
        self.alive: Counter[Symbol] = Counter()
        self.most_alive = 0
        """The largest number of runs of one symbol that were alive at once."""
        self.closed = False

    def knows(self, symbol: Symbol) -> bool:
        return True

    lists = knows

    def symbols(self) -> Sequence[Symbol]:
        return ()

    async def run(self, symbol: Symbol, sink: Sink) -> None:
        self.sinks.append(sink)
        self.alive[symbol] += 1
        self.most_alive = max(self.most_alive, self.alive[symbol])
        try:
            await self.life(sink)
        finally:
            self.alive[symbol] -= 1

    def health(self) -> UpstreamHealth:
        return UpstreamHealth(connected=self.connected)

    async def close(self) -> None:
        self.closed = True
