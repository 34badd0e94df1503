"""A layer between the upstream and the feeds, where a drill drops or corrupts ticks or cuts connections."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Sequence

from qcfeed.errors import UpstreamError
from qcfeed.model.encoded import EncodedQuote
from qcfeed.model.messages import Tick, as_tick, decode_quote
from qcfeed.model.symbol import Symbol
from qcfeed.upstreams.base import Sink, Upstream, UpstreamHealth

Alter = Callable[[Sequence[Tick]], Sequence[Tick]]


class TamperedUpstream:
    """Passes everything through, until a drill sets ``alter`` or calls ``limit_runs``."""

    def __init__(self, inner: Upstream) -> None:
        self._inner = inner
        self._loop = asyncio.get_running_loop()
        self.runs: set[asyncio.Timeout] = set()
        """The time limits of the runs that have not ended."""
        self._max_run: float | None = None
        self._lost = 0
        self.name = inner.name
        self.alter: Alter | None = None
        """Transforms ticks; None passes them through."""

    def limit_runs(self, seconds: float | None) -> None:
        """Let no run last longer than ``seconds`` seconds from now on; None removes the limit."""
        self._max_run = seconds
        ends = None if seconds is None else self._loop.time() + seconds
        for limit in self.runs:
            limit.reschedule(ends)

    def knows(self, symbol: Symbol) -> bool:
        return self._inner.knows(symbol)

    def lists(self, symbol: Symbol) -> bool:
        return self._inner.lists(symbol)

    def symbols(self) -> Sequence[Symbol]:
        return self._inner.symbols()

    async def run(self, symbol: Symbol, sink: Sink) -> None:
        limit = asyncio.timeout(self._max_run)
        try:
            async with limit:
                self.runs.add(limit)
                try:
                    await self._inner.run(symbol, _Altering(self, sink))
                finally:
                    self.runs.discard(limit)
        except TimeoutError as error:
            if not limit.expired():
                raise
            self._lost += 1
            raise UpstreamError("the connection was lost (a drill cuts it)") from error

    def health(self) -> UpstreamHealth:
        """The inner upstream's health; not connected while runs are cut."""
        health = self._inner.health()
        return dataclasses.replace(
            health,
            connected=health.connected and self._max_run is None,
            reconnects=health.reconnects + self._lost,
        )

    async def close(self) -> None:
        await self._inner.close()


class _Altering:
    """One feed's sink, which receives the altered ticks."""

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

    def relay(self, quotes: Sequence[EncodedQuote], epoch: str) -> None:
        """Pass encoded quotes on; while a drill alters ticks, decode those that it may alter."""
        if (alter := self._upstream.alter) is None:
            self._sink.relay(quotes, epoch)
        else:
            altered = alter([as_tick(decode_quote(each.text)) for each in quotes])
            if altered:
                self._sink.publish(altered)
