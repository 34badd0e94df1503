from __future__ import annotations

import asyncio
import gc
import sys
from typing import Any

import pytest

from qcfeed.diagnostics import registry
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.registry import UntrackedCounter

has_set = registry.asyncio_refs() is not None
only_own = pytest.mark.skipif(has_set, reason="asyncio keeps a set of tasks up to Python 3.13")


async def forever() -> None:
    await asyncio.Event().wait()


async def end(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)  # the loop lets go of what it ran last


async def test_asyncios_set_is_used_only_where_asyncio_fills_it() -> None:
    task = asyncio.create_task(forever())
    refs = registry.asyncio_refs()
    assert refs is None or any(ref() is task for ref in list(refs))
    await end(task)


async def test_the_fast_getter_returns_the_running_task() -> None:
    current = registry.current_task_getter()
    assert current(asyncio.get_running_loop()) is asyncio.current_task()


async def test_the_registry_drops_the_reference_to_a_freed_task(ledger: Ledger) -> None:
    task = asyncio.create_task(forever())
    assert ledger.holds(task)
    await end(task)
    number = len(ledger.refs())
    del task
    gc.collect()
    assert len(ledger.refs()) < number


@only_own
async def test_untracked_tasks_are_listed_again_only_when_their_number_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Beyond EXACT_BELOW tasks: by the references to the class, which each plain task holds."""
    listed: list[int] = []
    original = registry.untracked

    def counting(*given: Any) -> list[registry.TaskRef]:
        found = original(*given)
        listed.append(len(found))
        return found

    monkeypatch.setattr(registry, "untracked", counting)
    monkeypatch.setattr(registry, "MAX_SHARE", float("inf"))  # at once, whatever the last one cost
    monkeypatch.setattr(registry, "EXACT_BELOW", 0)
    loop, untracked = asyncio.get_running_loop(), UntrackedCounter()

    def count() -> int:
        return untracked.count(loop, 1, lambda _: False)

    before = count()
    assert count() == before
    assert len(listed) == 1
    tasks = [asyncio.Task(forever(), loop=loop) for _ in range(100)]
    assert count() == before + 100
    assert len(listed) == 2
    await end(*tasks)
    tasks.clear()
    gc.collect()
    assert count() == before
    assert len(listed) == 3


@only_own
async def test_an_expensive_listing_waits_and_an_estimate_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "MAX_SHARE", 1e-12)  # not again for ages
    monkeypatch.setattr(registry, "EXACT_BELOW", 0)
    loop, untracked = asyncio.get_running_loop(), UntrackedCounter()
    before = untracked.count(loop, 1, lambda _: False)
    tasks = [asyncio.Task(forever(), loop=loop) for _ in range(100)]
    assert before + 100 <= untracked.count(loop, 1, lambda _: False) <= before + 110
    await end(*tasks)


def test_a_name_that_the_compiled_half_does_not_have_is_not_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asyncio.tasks, "_made_up", {}, raising=False)
    assert registry.asyncio_collection("_made_up") is None
    monkeypatch.setattr(sys.modules["_asyncio"], "_made_up", {}, raising=False)
    assert registry.asyncio_collection("_made_up") == {}
