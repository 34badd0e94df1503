"""The task that holds a lock is found, in every way in which `async with` may hold it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from qcfeed.diagnostics import lock_holders
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.lock_holders import find_holders, held_by


async def sleep_inside(lock: Any) -> None:
    async with lock:
        await asyncio.sleep(3600)


class Pool:
    def __init__(self, lock: Any) -> None:
        self.lock = lock

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[int]:
        async with self.lock:
            yield 1

    async def rows(self) -> AsyncIterator[int]:
        async with self.connection() as connection:
            yield connection


async def sleep_with_a_connection(lock: Any) -> None:
    async with Pool(lock).connection():
        await asyncio.sleep(3600)


async def sleep_at_a_row(lock: Any) -> None:
    async for _ in Pool(lock).rows():
        await asyncio.sleep(3600)


async def enter_twice(lock: Any) -> None:
    """A task that waits for itself."""
    async with lock, lock:
        pass


@pytest.mark.parametrize(
    "holds", [sleep_inside, sleep_with_a_connection, sleep_at_a_row, enter_twice]
)
@pytest.mark.parametrize("kind", [asyncio.Lock, asyncio.Semaphore, asyncio.BoundedSemaphore])
async def test_the_holder_is_found_and_no_waiter(
    ledger: Ledger, holds: Callable[[Any], Awaitable[None]], kind: type[Any]
) -> None:
    lock = kind()
    async with contextlib.AsyncExitStack() as stage:
        holder, *waiters = [await started(stage, holds(lock)) for _ in range(3)]
        assert held_by(holder) == [lock]
        assert [held_by(waiter) for waiter in waiters] == [[], []]
        found = find_holders(ledger)
        assert [ref() for ref in found.of(lock)] == [holder]
        assert found.searched == found.live == 4  # with that of the test


async def test_every_holder_of_a_semaphore_is_found(ledger: Ledger) -> None:
    semaphore = asyncio.Semaphore(2)
    async with contextlib.AsyncExitStack() as stage:
        one, two, _ = [await started(stage, sleep_inside(semaphore)) for _ in range(3)]
        assert {ref() for ref in find_holders(ledger).of(semaphore)} == {one, two}


async def test_a_condition_is_held_by_who_holds_its_lock(ledger: Ledger) -> None:
    condition = asyncio.Condition()

    async def wait() -> None:
        async with condition:
            await condition.wait()

    async with contextlib.AsyncExitStack() as stage:
        waiter = await started(stage, wait())
        holder = await started(stage, sleep_inside(condition))
        assert held_by(waiter) == []
        assert held_by(holder) == [condition._lock]  # type: ignore[attr-defined]


async def test_a_variable_is_no_hold(ledger: Ledger) -> None:
    lock = asyncio.Lock()

    async def knows(lock: asyncio.Lock) -> None:
        await asyncio.sleep(3600)
        lock.release()

    async def acquires(lock: asyncio.Lock) -> None:
        await lock.acquire()
        await asyncio.sleep(3600)

    async with contextlib.AsyncExitStack() as stage:
        for case in (knows, acquires):
            await started(stage, case(lock))
        assert find_holders(ledger).by_lock == {}


async def test_the_search_ends_and_says_so(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_holders, "MAX_TASKS", 0)
    lock = asyncio.Lock()
    async with contextlib.AsyncExitStack() as stage:
        await started(stage, sleep_inside(lock))
        found = find_holders(ledger)
        assert (found.of(lock), found.searched, found.live) == ([], 0, 2)  # with that of the test


async def test_a_task_that_cannot_be_read_holds_nothing() -> None:
    assert held_by(None) == []
    assert held_by(object()) == []  # type: ignore[arg-type]


async def started(
    stage: contextlib.AsyncExitStack, coroutine: Awaitable[None]
) -> asyncio.Task[None]:
    """A task that has run until its first wait; it ends with the stage."""
    task = asyncio.ensure_future(coroutine)
    assert isinstance(task, asyncio.Task)

    async def end() -> None:
        task.cancel()
        await asyncio.wait([task])

    stage.push_async_callback(end)
    await asyncio.sleep(0)
    return task
