from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from qcfeed.diagnostics import task_groups
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.task_groups import CoroutineGroup, Grouping

HERE = "tests/unit/diagnostics/test_task_groups.py"


@asynccontextmanager
async def running(*coroutines: Any) -> AsyncIterator[list[asyncio.Task[Any]]]:
    tasks = [asyncio.create_task(each) for each in coroutines]
    await asyncio.sleep(0)
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def grouped(tasks: list[asyncio.Task[Any]]) -> list[CoroutineGroup]:
    grouping = Grouping()
    grouping.add(tasks)
    return grouping.groups()


async def on_queue(queue: asyncio.Queue[int]) -> int:
    return await queue.get()


async def on_future(future: asyncio.Future[None]) -> None:
    await future


async def on_either(first: bool) -> None:
    if first:
        await asyncio.sleep(3600)
    else:
        await asyncio.sleep(3600)


async def test_tasks_are_grouped_by_coroutine_and_by_what_they_await() -> None:
    queue, future = asyncio.Queue[int](), asyncio.get_running_loop().create_future()
    async with running(
        *[on_queue(queue) for _ in range(3)], *[on_future(future) for _ in range(2)]
    ) as tasks:
        first, second = grouped(tasks)
    assert (first.coroutine, first.waiting, first.count) == ("on_queue", "Queue.get", 3)
    assert first.location.startswith(f"{HERE}:")
    assert first.function == "on_queue"
    assert (second.coroutine, second.waiting, second.count) == ("on_future", "future", 2)


async def test_all_lines_of_a_function_at_which_tasks_wait_are_named() -> None:
    async with running(on_either(True), on_either(False)) as tasks:
        [group] = grouped(tasks)
    line = on_either.__code__.co_firstlineno
    assert group.location == f"{HERE}:{line + 2},{line + 4}"
    assert group.count == 2


async def at_any_line(gate: asyncio.Event, line: int) -> None:
    for number in range(line):
        await asyncio.sleep(0 * number)
    match line % 3:
        case 0:
            await gate.wait()
        case 1:
            await gate.wait()
        case _:
            await gate.wait()


async def test_the_lines_of_at_most_eight_tasks_are_looked_up() -> None:
    """A line costs memory that stays with the task; the first eight are enough."""
    gate = asyncio.Event()
    for others, lines in ((7, 2), (8, 1)):
        waits = [at_any_line(gate, 0) for _ in range(others)]
        async with running(*waits, at_any_line(gate, 1)) as tasks:
            for _ in range(5):
                await asyncio.sleep(0)
            [group] = grouped(tasks)
        assert group.location.count(",") == lines - 1
        assert group.count == others + 1


async def test_ready_and_running_tasks_are_told_apart_and_ended_ones_left_out() -> None:
    ready = asyncio.create_task(on_either(True))
    here = asyncio.current_task()
    assert here is not None
    ended = asyncio.create_task(asyncio.sleep(0))
    found = {group.waiting for group in grouped([ready, here])}
    assert found == {"ready", "running"}
    await ended
    assert grouped([ended]) == []
    ready.cancel()
    await asyncio.wait([ready])


class Hostile(asyncio.Task[Any]):
    def get_coro(self) -> Any:
        raise RuntimeError("never")


async def test_a_task_that_cannot_be_read_is_counted_as_unknown() -> None:
    task = Hostile(asyncio.sleep(3600))
    [group] = grouped([task])
    assert (group.coroutine, group.waiting, group.count) == ("?", "unknown", 1)
    task.cancel()
    await asyncio.wait([task])


async def test_further_groups_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_groups, "MAX_GROUPS", 1)
    future = asyncio.get_running_loop().create_future()
    async with running(on_either(True), on_future(future), on_queue(asyncio.Queue())) as tasks:
        first, second = sorted(grouped(tasks), key=lambda group: group.count)
    assert (first.coroutine, first.count) == ("on_either", 1)
    assert (second.coroutine, second.count) == ("other", 2)


async def test_only_tasks_from_before_the_ledger_are_earlier() -> None:
    async with running(*[on_either(True) for _ in range(3)]):
        ledger = Ledger()
        ledger.install(asyncio.get_running_loop())
        try:
            async with running(on_queue(asyncio.Queue())):
                found = {group.coroutine: group.count for group in task_groups.earlier(ledger)}
        finally:
            ledger.uninstall()
    assert found["on_either"] == 3
    assert "on_queue" not in found
