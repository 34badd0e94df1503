from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcfeed.diagnostics import awaiters, reaper

Waits = Callable[[asyncio.Task[None]], Awaitable[Any]]


async def sleeper() -> None:
    await asyncio.sleep(3600)


async def end(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _await(task: asyncio.Task[None]) -> None:
    await task


async def _timeout(task: asyncio.Task[None]) -> None:
    async with asyncio.timeout(60):
        await task


@pytest.mark.parametrize(
    ("waits", "how"),
    [
        (_await, "await"),
        (_timeout, "await"),
        (lambda task: asyncio.gather(task, asyncio.sleep(60)), "gather"),
        (lambda task: asyncio.gather(asyncio.gather(task)), "gather"),
        (asyncio.shield, "shield"),
        (lambda task: asyncio.wait([task]), "wait"),
        (lambda task: asyncio.wait_for(task, 60), ("wait_for", "await")),  # await from 3.12 on
        (lambda task: asyncio.wait_for(asyncio.shield(task), 60), "shield"),
    ],
)
async def test_awaiters_and_how_they_wait(waits: Waits, how: str | tuple[str, ...]) -> None:
    async def waiter() -> None:
        await waits(awaited)

    awaited = asyncio.create_task(sleeper())
    waiting = asyncio.create_task(waiter())
    await asyncio.sleep(0)
    assert awaiters.of(waiting) == []
    (found,) = awaiters.of(awaited)
    assert found.task is waiting
    assert found.how in how
    assert awaiters.is_shielded(awaited) is (found.how == "shield")
    del found
    await end(waiting, awaited)


async def test_a_task_group_waits_for_its_tasks() -> None:
    inner: list[asyncio.Task[None]] = []

    async def group() -> None:
        async with asyncio.TaskGroup() as tasks:
            inner.append(tasks.create_task(sleeper()))

    outer = asyncio.create_task(group())
    await asyncio.sleep(0)
    assert awaiters.of(inner[0]) == [(outer, "group")]
    await end(outer)


async def test_a_task_that_waits_twice_is_one_awaiter() -> None:
    awaited = asyncio.create_task(sleeper())

    async def twice() -> None:
        await asyncio.gather(awaited, asyncio.shield(awaited))

    waiting = asyncio.create_task(twice())
    await asyncio.sleep(0)
    assert [found.task for found in awaiters.of(awaited)] == [waiting]
    await end(waiting, awaited)


@pytest.mark.parametrize("how", ["shield", "gather", "wait"])
async def test_awaiters_of_an_awaiter_are_not_awaiters(how: str) -> None:
    """asyncio's callbacks refer to the task that called, from Python 3.14 on: it is no waiter of its
    own, and whoever awaits it awaits something else."""
    awaited = asyncio.create_task(sleeper())
    middle = asyncio.create_task(WAYS[how](awaited))
    outermost = asyncio.create_task(_await(middle))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [found.task for found in awaiters.of(awaited)] == [middle]
    assert [found.task for found in awaiters.of(middle)] == [outermost]
    await end(outermost, middle, awaited)


async def _shield(task: asyncio.Task[None]) -> None:
    await asyncio.shield(task)


async def _gather(task: asyncio.Task[None]) -> None:
    await asyncio.gather(task)


async def _wait(task: asyncio.Task[None]) -> None:
    await asyncio.wait([task])


WAYS = {"shield": _shield, "gather": _gather, "wait": _wait}


def test_the_main_task_is_recognised() -> None:
    async def main() -> tuple[bool, bool]:
        other = asyncio.create_task(sleeper())
        this = asyncio.current_task()
        assert this is not None
        answer = awaiters.is_main(this), awaiters.is_main(other)
        await end(other)
        return answer

    assert asyncio.run(main()) == (True, False)


async def test_two_tasks_that_wait_for_each_other() -> None:
    tasks: list[asyncio.Task[None]] = []

    async def wait_for(other: int) -> None:
        await tasks[other]

    tasks += [asyncio.create_task(wait_for(1)), asyncio.create_task(wait_for(0))]
    await asyncio.sleep(0)
    assert [awaiters.of(task) for task in tasks] == [
        [(tasks[1], "await")],
        [(tasks[0], "await")],
    ]
    reaper.cancel_task(tasks[0])  # Task.cancel() would go round the ring until it raises
    await asyncio.wait(tasks)


@given(st.sets(st.tuples(st.integers(0, 8), st.integers(0, 8))))
def test_cycles_are_found_and_are_cycles(pairs: set[tuple[int, int]]) -> None:
    rings = awaiters.cycles(sorted(pairs))
    for ring in rings:
        assert ring[0] == min(ring)
        assert all(pair in pairs for pair in zip(ring, [*ring[1:], ring[0]], strict=True))
    assert bool(rings) is not _is_acyclic(pairs)


def _is_acyclic(pairs: set[tuple[int, int]]) -> bool:
    """A simple reference: remove tasks that wait for no other, again and again."""
    left = set(pairs)
    while left:
        waiting = {waiting for waiting, _ in left}
        rest = {pair for pair in left if pair[1] in waiting}
        if rest == left:
            return False
        left = rest
    return True


def test_a_long_chain_is_no_cycle_and_no_recursion() -> None:
    chain = [(n, n + 1) for n in range(20_000)]
    assert awaiters.cycles(chain) == []
    assert len(awaiters.cycles([*chain, (20_000, 0)])[0]) == 20_001
