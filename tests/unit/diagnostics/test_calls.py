from __future__ import annotations

import asyncio
import traceback

import pytest

from qcfeed.diagnostics import Ledger, calls


async def outer() -> None:
    await inner()


async def inner() -> None:
    await asyncio.sleep(3600)


def spawn() -> asyncio.Task[None]:
    return asyncio.create_task(outer())


async def end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("chained", [False, True])
@pytest.mark.parametrize("keep", [1, 2, 32])
async def test_spawn_stacks_are_kept_if_enabled(keep: int, chained: bool) -> None:
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()
    loop.set_task_factory(
        (lambda loop, coro, **kw: asyncio.Task(coro, loop=loop, **kw)) if chained else None
    )
    ledger = Ledger(spawn_stacks=keep)
    ledger.install(loop)
    try:
        task = spawn()
        record = ledger.record_of(task)
        assert record is not None
        stack = calls.of_spawn(record)
        assert record.site.function == "spawn", "the location is the caller's all the same"
        expected = ["test_spawn_stacks_are_kept_if_enabled", "spawn"]
        if keep <= 2:
            assert [call.function for call in stack] == expected[-keep:]
        else:
            assert [call.function for call in stack][-2:] == expected
            assert len(stack) <= keep
            assert not [call for call in stack if call.function == "Handle._run"]
        assert stack[-1].source == "return asyncio.create_task(outer())"
        assert f"{stack[-1].file}:{stack[-1].line}" == record.site.location
        await end(task)
    finally:
        ledger.uninstall()
        loop.set_task_factory(before)


async def test_without_spawn_stacks_nothing_is_kept(ledger: Ledger) -> None:
    task = spawn()
    record = ledger.record_of(task)
    assert record is not None
    assert calls.of_spawn(record) == []
    await end(task)


async def test_asyncios_source_traceback_has_no_frames_of_the_ledger() -> None:
    loop = asyncio.get_running_loop()
    before, debug = loop.get_task_factory(), loop.get_debug()
    loop.set_task_factory(None)
    loop.set_debug(True)
    ledger = Ledger(spawn_stacks=4)
    ledger.install(loop)
    try:
        task = spawn()
        source: traceback.StackSummary = task._source_traceback  # type: ignore[attr-defined]
        assert source[-1].name == "create_task"
        assert source[-2].name == "spawn"
        await end(task)
    finally:
        ledger.uninstall()
        loop.set_debug(debug)
        loop.set_task_factory(before)
