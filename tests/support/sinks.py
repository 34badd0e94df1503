"""A sink that keeps what an upstream publishes, and lets a test wait for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

from qcfeed.model.messages import Tick
from qcfeed.model.symbol import Symbol
from qcfeed.upstreams.base import Upstream
from tests.support.patience import PATIENCE


class KeepingSink:
    """Keeps ``ticks``, the size of each batch, and how often the feed was opened."""

    def __init__(self) -> None:
        self.ticks: list[Tick] = []
        self.batches: list[int] = []
        self.opens = 0
        self.readies = 0
        self._news = asyncio.Event()

    def opened(self) -> None:
        self.opens += 1
        self._news.set()

    def publish(self, ticks: Sequence[Tick]) -> None:
        assert ticks, "an empty batch was published"
        self.ticks.extend(ticks)
        self.batches.append(len(ticks))
        self._news.set()

    async def ready(self) -> None:
        self.readies += 1

    async def until(self, condition: Callable[[], bool], *, within: float = PATIENCE) -> None:
        """Wait until ``condition`` holds; checked whenever something is published."""
        async with asyncio.timeout(within):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def until_ticks(self, count: int) -> None:
        await self.until(lambda: len(self.ticks) >= count)


@contextlib.asynccontextmanager
async def running(
    upstream: Upstream, symbol: str, sink: KeepingSink | None = None
) -> AsyncIterator[tuple[KeepingSink, asyncio.Task[None]]]:
    """Run one feed; the task is cancelled and joined at the end."""
    sink = sink or KeepingSink()
    task = asyncio.create_task(upstream.run(Symbol(symbol), sink))
    try:
        yield sink, task
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def until(condition: Callable[[], bool], *, within: float = PATIENCE) -> None:
    """Wait until ``condition`` holds; raises TimeoutError with its source when it does not."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)
