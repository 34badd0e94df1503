from __future__ import annotations

import asyncio
import contextlib
import importlib
import sys
import threading
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from qcfeed.diagnostics import stacks
from tests.support.patience import PATIENCE

SOURCE = """
async def wait(future):
    await future  # here
"""


@contextlib.asynccontextmanager
async def waiting(coroutine: Any) -> AsyncIterator[asyncio.Task[Any]]:
    task = asyncio.create_task(coroutine)
    await asyncio.sleep(0)
    yield task
    task.cancel()
    await asyncio.wait([task])


async def pump() -> AsyncIterator[int]:
    await asyncio.Event().wait()
    yield 1


async def reader() -> None:
    async for _ in pump():
        pass


async def test_a_waiting_task_outermost_first_through_generators() -> None:
    async with waiting(reader()) as task:
        told = stacks.task_stack(task)
    assert [frame.function for frame in told] == ["reader", "pump", "Event.wait"]
    assert told[0].file == "tests/unit/diagnostics/test_stacks.py"
    assert told[0].source == "async for _ in pump():"
    assert str(told[1]) == f"{told[1].file}:{told[1].line} pump"
    assert told[1].source == "await asyncio.Event().wait()"


def look(task: asyncio.Task[Any]) -> list[stacks.StackFrame]:
    return stacks.task_stack(task)


async def test_a_running_task_has_its_calls_too() -> None:
    this = asyncio.current_task()
    assert this is not None
    functions = [frame.function for frame in look(this)]
    assert functions[0] == "test_a_running_task_has_its_calls_too"
    assert functions[1:3] == ["look", "task_stack"]


class Opaque(asyncio.Task[None]):
    def get_coro(self) -> Any:
        raise RuntimeError("coroutine")


async def test_a_task_that_cannot_be_read_has_no_frames() -> None:
    task = Opaque(reader(), loop=asyncio.get_running_loop())
    await asyncio.sleep(0)
    assert stacks.task_stack(task) == []
    task.cancel()
    await asyncio.wait([task])


# ---------------------------------------------------------------- sources


@pytest.fixture
def importing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], ModuleType]]:
    """Imports ``gone_feed`` from a directory or archive."""

    def load(path: Path) -> ModuleType:
        monkeypatch.syspath_prepend(path)
        return importlib.import_module("gone_feed")

    yield load
    sys.modules.pop("gone_feed", None)


async def innermost(wait: Callable[[Any], Any]) -> stacks.StackFrame:
    async with waiting(wait(asyncio.get_running_loop().create_future())) as task:
        return stacks.task_stack(task)[-1]


async def test_a_line_of_a_zip_is_read(
    tmp_path: Path, importing: Callable[[Path], ModuleType]
) -> None:
    archive = tmp_path / "feeds.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("gone_feed.py", SOURCE)
    frame = await innermost(importing(archive).wait)
    assert str(frame) == "gone_feed.py:3 wait"
    assert frame.source == "await future  # here"


async def test_a_deleted_file_has_a_place_and_no_source(
    tmp_path: Path, importing: Callable[[Path], ModuleType]
) -> None:
    file = tmp_path / "gone_feed.py"
    file.write_text(SOURCE)
    module = importing(tmp_path)
    assert (await innermost(module.wait)).source == "await future  # here"
    file.unlink()
    frame = await innermost(module.wait)
    assert (str(frame), frame.source) == ("gone_feed.py:3 wait", None)


async def test_code_from_exec_has_a_place_and_no_source() -> None:
    names: dict[str, Any] = {}
    exec(SOURCE, names)
    frame = await innermost(names["wait"])
    assert (str(frame), frame.source) == ("<string>:3 wait", None)


# ---------------------------------------------------------------- threads


@contextlib.contextmanager
def held_in(call: Callable[[Callable[[], object]], object], name: str) -> Iterator[int]:
    """A thread that is in ``call`` until the end of the block."""
    here, release = threading.Event(), threading.Event()

    def hold() -> None:
        here.set()
        release.wait(PATIENCE)

    thread = threading.Thread(target=call, args=(hold,), name=name, daemon=True)
    thread.start()
    assert here.wait(PATIENCE)
    assert thread.ident is not None
    try:
        yield thread.ident
    finally:
        release.set()
        thread.join(PATIENCE)


def computes(hold: Callable[[], object]) -> None:
    hold()


def recurses(hold: Callable[[], object], depth: int = 2 * stacks.DEPTH) -> None:
    if depth:
        recurses(hold, depth - 1)
    else:
        hold()


def blocks_a_loop(hold: Callable[[], object]) -> None:
    async def outer() -> None:
        await inner()

    async def inner() -> None:
        hold()

    asyncio.run(outer())


def by_ident(ident: int) -> stacks.CapturedStack:
    (found,) = [thread for thread in stacks.threads() if thread.ident == ident]
    return found


def test_every_thread_with_the_main_one_first() -> None:
    with held_in(computes, "worker") as ident:
        first, *_ = stacks.threads()
        worker = by_ident(ident)
    assert first.name == "MainThread"
    assert first.stack[-1].function == "threads"
    assert (worker.name, worker.daemon, worker.running_task, worker.dropped_frames) == (
        "worker",
        True,
        None,
        0,
    )
    functions = [frame.function for frame in worker.stack]
    assert functions.index("computes") < functions.index("held_in.<locals>.hold")
    assert worker.stack[functions.index("computes")].source == "hold()"


def test_a_deep_stack_keeps_the_innermost_calls_and_counts_the_others() -> None:
    with held_in(recurses, "deep") as ident:
        deep = by_ident(ident)
    assert len(deep.stack) == stacks.DEPTH
    assert deep.dropped_frames > stacks.DEPTH
    assert deep.stack[0].function == "recurses"
    assert "held_in.<locals>.hold" in [frame.function for frame in deep.stack]


def test_the_task_that_runs_in_a_thread_and_where_it_is_stuck() -> None:
    with held_in(blocks_a_loop, "loop") as ident:
        thread = by_ident(ident)
        assert thread.running_task is not None
        told = [frame.function for frame in stacks.task_stack(thread.running_task)]
    assert [name.rpartition(".")[2] for name in told[:3]] == ["outer", "inner", "hold"]


async def test_a_task_that_cannot_be_read_does_not_hide_the_threads() -> None:
    async def looks() -> list[stacks.CapturedStack]:
        return stacks.threads()

    task = Opaque(looks(), loop=asyncio.get_running_loop())  # type: ignore[arg-type]
    await asyncio.wait([task])
    assert task.result()[0].name == "MainThread"  # type: ignore[func-returns-value,index]
