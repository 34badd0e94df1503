from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest

from qcfeed.diagnostics import waits
from qcfeed.diagnostics.spawn import Ledger


async def sleeper() -> None:
    await asyncio.sleep(3600)


async def getter() -> None:
    await asyncio.Queue[int]().get()


async def outer() -> None:
    await sleeper()


async def on_a_future() -> None:
    await asyncio.get_running_loop().create_future()


async def generator() -> AsyncIterator[int]:
    await asyncio.sleep(3600)
    yield 1


async def reader() -> None:
    async for _ in generator():
        pass


async def observed(coroutine: Coroutine[Any, Any, None]) -> str:
    task = asyncio.create_task(coroutine)
    await asyncio.sleep(0)
    seen = waits.state(task)
    task.cancel()
    await asyncio.wait([task])
    assert waits.state(task) == "ended"
    return seen


@pytest.mark.parametrize(
    ("coroutine", "expected"),
    [
        (sleeper, "sleeping"),
        (outer, "sleeping"),
        (getter, "waiting: Queue.get"),
        (on_a_future, "waiting at tests/unit/diagnostics/test_waits.py:26 (on_a_future)"),
    ],
)
async def test_states(ledger: Ledger, coroutine: Any, expected: str) -> None:
    assert await observed(coroutine()) == expected


async def test_running_ready_and_gone(ledger: Ledger) -> None:
    this = asyncio.current_task()
    assert waits.state(this) == "running"
    ready = asyncio.create_task(sleeper())
    assert waits.state(ready) == "ready"
    ready.cancel()
    await asyncio.wait([ready])
    assert waits.state(None) == "gone"


async def test_an_async_generator_is_named_by_its_reader(ledger: Ledger) -> None:
    # The chain of awaits ends at the generator's own awaitable, which shows no frame.
    assert (await observed(reader())).startswith("waiting at ")
