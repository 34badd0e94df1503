"""Runs one feed of an upstream, with a sink that lets a test wait for what is published."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from qcfeed.model.symbol import Symbol
from qcfeed.upstreams.base import Upstream
from qcfeed.upstreams.conformance import KeepingSink
from tests.support.patience import PATIENCE


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
