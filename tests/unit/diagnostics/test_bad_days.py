"""Programs that make it hard to look at them: the ledger and its readers still do."""

from __future__ import annotations

import asyncio
import collections.abc
import gc
import importlib
import logging
import time
import types
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from qcfeed.diagnostics import orphans, reaper, snapshot
from qcfeed.diagnostics.leakcheck import LeakError, Leaks
from qcfeed.diagnostics.ledger import Ledger, TaskRecord, owned_by
from qcfeed.diagnostics.loop_watch import LoopWatch
from qcfeed.diagnostics.waits import state

MODULE = """
import asyncio

async def forever():
    await asyncio.Event().wait()

def spawn():
    return asyncio.get_running_loop().create_task(forever())
"""
SPAWNS = 8
"""The line of MODULE that does."""


class Grumpy(asyncio.Task[Any]):
    """A task that will not say what it is."""

    def get_name(self) -> str:
        raise LookupError("no name")

    def __repr__(self) -> str:
        raise LookupError("no repr")

    __str__ = __repr__


class GrumpyCoroutine(collections.abc.Coroutine[Any, Any, None]):
    """A coroutine that is none of Python's own."""

    def __init__(self) -> None:
        self._waiting = asyncio.Event().wait().__await__()

    def __getattribute__(self, name: str) -> Any:
        if name in ("__qualname__", "__name__"):
            raise LookupError("no name")
        return super().__getattribute__(name)

    def __repr__(self) -> str:
        raise LookupError("no repr")

    def __await__(self) -> Any:
        return self._waiting

    def send(self, value: Any) -> Any:
        return self._waiting.send(value)

    def throw(self, *error: Any) -> Any:
        return self._waiting.throw(*error)

    def close(self) -> None:
        self._waiting.close()


class GrumpyOwner:
    def __str__(self) -> str:
        raise LookupError("no name")

    @property
    def closed(self) -> bool:
        return True


async def forever() -> None:
    await asyncio.Event().wait()


async def end(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])


def record_of(ledger: Ledger, task: asyncio.Task[Any]) -> TaskRecord:
    return next(record for record in ledger.records() if record.task is task)


def read_everything(ledger: Ledger, task: asyncio.Task[Any]) -> snapshot.LiveTask:
    """Ask every reader about ``task``; returns its row."""
    now = time.monotonic()
    record = record_of(ledger, task)
    counted = snapshot.by_location(ledger, now)
    assert sum(row.live for row in counted.rows) == counted.totals.live
    assert [o.record for o in orphans.find(ledger, now) if o.evidence] == [record]
    assert str(record.serial) in str(LeakError(Leaks([record], [])))
    assert state(task)
    return next(row for row in snapshot.live(ledger, now, 1000) if row.serial == record.serial)


@pytest_asyncio.fixture
async def grumpy_ledger() -> AsyncIterator[Ledger]:
    """A ledger behind a factory that makes such tasks of ``forever``."""
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()

    def factory(loop: asyncio.AbstractEventLoop, coro: Any, **kwargs: Any) -> asyncio.Task[Any]:
        # Not of all: asyncio.Runner itself cannot run a task whose repr raises.
        kind = Grumpy if coro.cr_code is forever.__code__ else asyncio.Task
        return kind(coro, loop=loop, **kwargs)

    loop.set_task_factory(factory)
    ledger = Ledger()
    ledger.install(loop)
    yield ledger
    ledger.uninstall()
    loop.set_task_factory(before)


async def test_a_task_whose_name_raises(grumpy_ledger: Ledger) -> None:
    with owned_by(GrumpyOwner()):
        task = asyncio.get_running_loop().create_task(forever())
    await asyncio.sleep(0)
    row = read_everything(grumpy_ledger, task)
    assert (row.name, row.coroutine, row.note) == ("?", "forever", "orphaned")
    reaping = await reaper.cancel([record_of(grumpy_ledger, task)])
    assert (reaping.reaped, reaping.survivors) == (1, [])


async def test_a_coroutine_whose_name_and_repr_raise(ledger: Ledger) -> None:
    with owned_by(GrumpyOwner()):
        task = asyncio.get_running_loop().create_task(GrumpyCoroutine())
    await asyncio.sleep(0)
    row = read_everything(ledger, task)
    assert row.coroutine == "?"
    assert row.location.startswith("tests/unit/diagnostics/test_bad_days.py:")
    await end(task)


async def test_a_coroutine_from_c(ledger: Ledger) -> None:
    """One compiled by Cython: aiohttp reads WebSockets by such."""
    compiled = pytest.importorskip("aiohttp._websocket.reader_c")
    protocol = types.SimpleNamespace(_reading_paused=False)
    queue = compiled.WebSocketDataQueue(protocol, 1024, loop=asyncio.get_running_loop())
    with owned_by(GrumpyOwner()):
        task = asyncio.create_task(queue.read())
    await asyncio.sleep(0)
    assert type(task.get_coro()).__module__ != "builtins"
    row = read_everything(ledger, task)
    assert row.coroutine == "WebSocketDataQueue.read"
    await end(task)


async def test_an_exception_from_reading_a_coroutine_does_not_reach_the_reader(
    ledger: Ledger,
) -> None:
    class Trap(GrumpyCoroutine):
        @property
        def cr_await(self) -> Any:
            raise ZeroDivisionError

    task = asyncio.get_running_loop().create_task(Trap())
    await asyncio.sleep(0)
    assert state(task) == "unknown"
    assert "1 leaked task(s)" in str(LeakError(Leaks([record_of(ledger, task)], [])))
    await end(task)


# ---------------------------------------------------------------- a closed loop


def test_a_loop_that_was_closed_with_tasks_in_it(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.new_event_loop()
    ledger, watch = Ledger(), LoopWatch()
    ledger.install(loop)
    watch.start(loop)
    tasks = [loop.create_task(forever())]
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    now = time.monotonic()
    assert snapshot.by_location(ledger, now).totals.live == 1
    assert [row.coroutine for row in snapshot.live(ledger, now, 10)] == ["forever"]
    assert orphans.find(ledger, now) == []
    assert watch.stalled_for(now + 3600) == 0  # it does not turn, and nobody waits for it to
    with watch.measure() as measured:
        pass
    assert measured.longest == 0
    ledger.uninstall()
    watch.stop()
    with caplog.at_level(logging.CRITICAL, "asyncio"):  # "destroyed but it is pending", as it is
        tasks.clear()
        gc.collect()
    assert snapshot.by_location(ledger, now).totals.destroyed == 1


# ---------------------------------------------------------------- where the code is not


async def test_a_location_in_a_deleted_file(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "gone_by_now.py"
    path.write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("gone_by_now")
    path.unlink()
    await spawn_and_look(ledger, module, f"gone_by_now.py:{SPAWNS}")


async def test_a_location_in_a_zip(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("zipped_up.py", MODULE)
    monkeypatch.syspath_prepend(tmp_path / "archive.zip")
    await spawn_and_look(ledger, importlib.import_module("zipped_up"), f"zipped_up.py:{SPAWNS}")


async def test_a_location_in_code_from_exec(ledger: Ledger) -> None:
    module = types.ModuleType("made_up")
    exec(compile(MODULE, "<made up>", "exec"), module.__dict__)
    await spawn_and_look(ledger, module, f"<made up>:{SPAWNS}")


async def test_a_location_in_code_without_lines(ledger: Ledger) -> None:
    module = types.ModuleType("stripped")
    exec(compile(MODULE, "stripped.py", "exec"), module.__dict__)
    module.spawn.__code__ = module.spawn.__code__.replace(co_linetable=b"")
    await spawn_and_look(ledger, module, "stripped.py:7")  # where the function begins


async def spawn_and_look(ledger: Ledger, module: Any, location: str) -> None:
    with owned_by(GrumpyOwner()):
        task = module.spawn()
    await asyncio.sleep(0)
    row = read_everything(ledger, task)
    assert row.location == location
    assert row.coroutine == "forever"
    shown = str(LeakError(Leaks([record_of(ledger, task)], [])))
    assert f"from {location} (spawn)" in shown
    await end(task)
