"""What each tool runs inside the program: it starts in the program's loop before it, and ends after it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

Inside = AbstractAsyncContextManager[None]


@contextlib.asynccontextmanager
async def _nothing(_: str) -> AsyncIterator[None]:
    yield


@contextlib.asynccontextmanager
async def _count(_: str) -> AsyncIterator[None]:
    """Print how many tasks the program has left, at its end."""
    others = asyncio.all_tasks()
    yield
    gc.collect()  # a task that nothing holds is no leak
    print("tasks", len(asyncio.all_tasks() - others), flush=True)


@contextlib.asynccontextmanager
async def _qcfeed(instance: str) -> AsyncIterator[None]:
    from qcfeed import attach

    async with attach(instance):
        yield


INSIDE: dict[str, Callable[[str], Inside]] = {
    "nothing": _nothing,
    "count": _count,
    "qcfeed": _qcfeed,
}
