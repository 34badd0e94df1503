"""Between the upstream and the feeds: where a drill takes quotes away, spoils them or cuts the line."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Sequence

from qcfeed.errors import UpstreamError
from qcfeed.model.messages import Tick
from qcfeed.model.symbol import Symbol
from qcfeed.upstreams.base import Sink, Upstream, UpstreamHealth

Alter = Callable[[Sequence[Tick]], Sequence[Tick]]


class TamperedUpstream:
    """An upstream that passes everything on, until a drill sets ``alter`` or cuts its runs short."""

    def __init__(self, inner: Upstream) -> None:
        self._inner = inner
        self._loop = asyncio.get_running_loop()
        self._runs: set[asyncio.Timeout] = set()
        self._life: float | None = None
        self._lost = 0
        self.name = inner.name
        self.alter: Alter | None = None
        """What becomes of ticks; None for nothing."""

    def cut(self, life: float | None) -> None:
        """From now on no run lasts longer than ``life`` seconds; None: as long as it likes."""
        self._life = life
        ends = None if life is None else self._loop.time() + life
        for limit in self._runs:
            limit.reschedule(ends)

    def knows(self, symbol: Symbol) -> bool:
        return self._inner.knows(symbol)

    def symbols(self) -> Sequence[Symbol]:
        return self._inner.symbols()

    async def run(self, symbol: Symbol, sink: Sink) -> None:
        limit = asyncio.timeout(self._life)
        try:
            async with limit:
                self._runs.add(limit)
                try:
                    await self._inner.run(symbol, _Altering(self, sink))
                finally:
                    self._runs.discard(limit)
        except TimeoutError as error:
            if not limit.expired():
                raise
            self._lost += 1
            raise UpstreamError("the connection was lost (a drill cuts it)") from error

    def health(self) -> UpstreamHealth:
        """A line that is cut as soon as it stands is not connected."""
        health = self._inner.health()
        return dataclasses.replace(
            health,
            connected=health.connected and self._life is None,
            reconnects=health.reconnects + self._lost,
        )

    async def close(self) -> None:
        await self._inner.close()


class _Altering:
    """One feed's sink, behind what the drill does to its ticks."""

    def __init__(self, upstream: TamperedUpstream, sink: Sink) -> None:
        self._upstream = upstream
        self._sink = sink
        self.opened = sink.opened
        self.ready = sink.ready

    def publish(self, ticks: Sequence[Tick]) -> None:
        alter = self._upstream.alter
        altered = ticks if alter is None else alter(ticks)
        if altered:
            self._sink.publish(altered)
