"""The two places of a task: the line that creates it, and the application's line."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import pytest
import uvloop

from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.site import Site
from qcfeed.diagnostics.source_lines import source_line

HERE = "tests/unit/diagnostics/test_spawn_places.py"
LIBRARY = """
import asyncio

def spawn(coroutine):
    return asyncio.create_task(coroutine)

def spawn_later(loop, coroutine):
    loop.call_soon(spawn, coroutine)
"""
HELPERS = """
import asyncio

def spawn(coroutine):
    return asyncio.create_task(coroutine)

class Tasks:
    def start(self, coroutine):
        return spawn(coroutine)
"""


async def forever() -> None:
    await asyncio.Event().wait()


def line() -> int:
    return sys._getframe(1).f_lineno


@pytest.fixture
def importing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModuleType]:
    """Imports a module from a file, in a directory of installed packages or outside."""

    def write_and_import(name: str, text: str, directory: str = "site-packages") -> ModuleType:
        home = tmp_path / directory
        home.mkdir(exist_ok=True)
        (home / f"{name}.py").write_text(text)
        monkeypatch.syspath_prepend(str(home))
        monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module(name)

    return write_and_import


@pytest.fixture
def library(importing: Callable[..., ModuleType]) -> ModuleType:
    return importing("spawning_library", LIBRARY)


@contextmanager
def recording(**options: Any) -> Iterator[Ledger]:
    ledger = Ledger(**options)
    ledger.install(asyncio.get_running_loop())
    try:
        yield ledger
    finally:
        ledger.uninstall()


def spawned(ledger: Ledger) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for site in ledger.sites():
        counted[site.location] += site.spawned
    return dict(+counted)


async def end(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_a_task_of_a_library_has_the_line_of_its_caller_too(library: ModuleType) -> None:
    with recording() as ledger:
        tasks = [library.spawn(forever()) for _ in range(3)]
        first = line() - 1
        tasks.append(library.spawn(forever()))
        assert spawned(ledger) == {
            f"spawning_library.py:5 < {HERE}:{first}": 3,
            f"spawning_library.py:5 < {HERE}:{first + 2}": 1,
        }
    await end(*tasks)


async def test_the_source_is_that_of_the_application(library: ModuleType) -> None:
    with recording() as ledger:
        task = library.spawn(forever())  # the line to read
        [site] = [site for site in ledger.sites() if site.spawned]
    assert source_line(site.location) == "task = library.spawn(forever())  # the line to read"
    assert site.function == "spawn"
    await end(task)


async def test_no_line_of_the_application_leads_to_a_callback_of_a_library(
    library: ModuleType,
) -> None:
    loop = asyncio.get_running_loop()
    with recording() as ledger:
        library.spawn_later(loop, forever())
        await asyncio.sleep(0)
        assert spawned(ledger) == {"spawning_library.py:5": 1}
        [record] = ledger.records()
    task = record.task
    assert task is not None
    await end(task)


def run_on_uvloop_itself(main: Callable[[], Any]) -> None:
    loop = uvloop.new_event_loop()
    loop.run_until_complete(main())
    loop.close()


@pytest.mark.parametrize(
    "run", [asyncio.run, uvloop.run, run_on_uvloop_itself], ids=["asyncio", "uvloop", "by hand"]
)
def test_what_runs_the_loop_is_no_caller(library: ModuleType, run: Callable[[Any], None]) -> None:
    """uvloop has no Python frame between a callback and the code that runs the loop."""

    async def main() -> None:
        with recording() as ledger:
            library.spawn_later(asyncio.get_running_loop(), asyncio.sleep(0))
            await asyncio.sleep(0.001)
            assert spawned(ledger) == {"spawning_library.py:5": 1}

    run(main if run is run_on_uvloop_itself else main())  # type: ignore[arg-type]


async def test_a_wrapper_leaves_only_the_line_that_calls_it() -> None:
    with recording() as ledger:
        async with anyio.create_task_group() as group:
            group.start_soon(forever)
            here = line() - 1
            assert spawned(ledger) == {f"{HERE}:{here}": 1}
            group.cancel_scope.cancel()


async def test_a_library_s_task_group_of_a_wrapper(importing: Callable[..., ModuleType]) -> None:
    library = importing("grouping_library", "def start(group, work): group.start_soon(work)")
    with recording() as ledger:
        async with anyio.create_task_group() as group:
            library.start(group, forever)
            here = line() - 1
            assert spawned(ledger) == {f"grouping_library.py:1 < {HERE}:{here}": 1}
            group.cancel_scope.cancel()


@pytest.mark.parametrize(
    "through", [["spawn_helpers.spawn", "spawn_helpers.Tasks.start"], ["spawn_helpers"]]
)
async def test_helpers_of_the_application_can_be_named(
    importing: Callable[..., ModuleType], through: list[str]
) -> None:
    helpers = importing("spawn_helpers", HELPERS, "src")
    with recording() as ledger:
        task = helpers.spawn(forever())
        assert spawned(ledger) == {"spawn_helpers.py:5": 1}
    with recording(through=through) as ledger:
        tasks = [task, helpers.spawn(forever()), helpers.Tasks().start(forever())]
        here = line() - 1
        assert spawned(ledger) == {f"{HERE}:{here}": 2}
    await end(*tasks)


async def test_a_helper_is_named_in_full(importing: Callable[..., ModuleType]) -> None:
    helpers = importing("spawn_helpers", HELPERS, "src")
    with recording(through=["spawn", "spawn_helpers.spa", "other.spawn"]) as ledger:
        task = helpers.spawn(forever())
        assert spawned(ledger) == {"spawn_helpers.py:5": 1}
    await end(task)


async def test_the_number_of_callers_is_bounded_too(
    library: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qcfeed.diagnostics.ledger.MAX_SITES", 2)
    with recording() as ledger:
        tasks = []
        for n in range(5):
            scope: dict[str, Any] = {"library": library, "forever": forever}
            exec(f"def go_{n}(): return library.spawn(forever())", scope)
            tasks.append(scope[f"go_{n}"]())
        assert [site.spawned for site in ledger.sites()] == [1, 1, 3]
        assert isinstance(ledger.other, Site)
        assert ledger.other.location == "other"
    await end(*tasks)


async def test_a_wrapper_does_not_show_the_ledger_s_probes(
    importing: Callable[..., ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As tracers do: they replace ``asyncio.create_task`` by a function of theirs."""
    monkeypatch.setattr("qcfeed.diagnostics.code_origin.WRAPPERS", {"tracer.py"})
    tracer = importing(
        "tracer", "import asyncio\ncreate = asyncio.create_task\ndef traced(c): return create(c)"
    )
    monkeypatch.setattr(asyncio, "create_task", tracer.traced)
    with recording() as ledger:
        await ledger.check.probe()
        task = asyncio.create_task(forever())
        here = line() - 1
        assert spawned(ledger) == {f"{HERE}:{here}": 1}
        assert ledger.check.site.ended == 1
        assert ledger.incomplete() == []
    await end(task)
