"""Faults are planted: tasks that hold data, a list that grows in a handler, a cache of a module."""

from __future__ import annotations

import asyncio
import mmap
import re
import sys
from collections import deque
from typing import Any

import pytest

from qcfeed.diagnostics import memory_report
from qcfeed.diagnostics.heap_walk import HeapWalk
from qcfeed.diagnostics.held_memory import held_by
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.memory_report import MemoryReport, Store, WalkLimits
from qcfeed.diagnostics.object_paths import path_of, type_name
from qcfeed.diagnostics.object_sizes import MAX_ITEMS, ObjectSizes, items, referents
from qcfeed.diagnostics.task_memory import LocationMemory
from tests.support.patience import PATIENCE

KB = 1_000
CACHE: dict[int, bytes] = {}
UNHURRIED = WalkLimits(seconds=PATIENCE)
"""However busy the machine is."""
EVERYTHING = WalkLimits(objects=5_000_000, seconds=PATIENCE, largest=10_000, types=10_000)
"""Whatever else this process has. Slow: other tests leave a million objects."""


def nothing() -> None: ...


class Handler:
    """Its list grows with each call."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    async def wait(self, held: int) -> None:
        data = [bytes(KB) for _ in range(held)]
        await asyncio.sleep(3_600)
        assert data


async def look(ledger: Ledger, stores: Any = None, bounds: WalkLimits = UNHURRIED) -> MemoryReport:
    return await asyncio.to_thread(memory_report.take, ledger, stores, bounds)


async def started(handler: Handler, tasks: int, held: int) -> list[asyncio.Task[None]]:
    found = []
    for _ in range(tasks):
        found.append(asyncio.create_task(handler.wait(held)))  # noqa: PERF401 - of this function
    await asyncio.sleep(0)
    return found


async def cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def of(report: MemoryReport, function: str) -> LocationMemory:
    (row,) = (row for row in report.tasks if row.function == function)
    return row


@pytest.mark.parametrize("held", [10, 400])
async def test_tasks_are_named_with_what_each_holds(ledger: Ledger, held: int) -> None:
    tasks = await started(Handler(), 50, held)
    row = of(await look(ledger), "started")
    assert (row.live, row.sampled) == (50, 50)
    assert row.location.startswith("tests/unit/diagnostics/test_memory_report.py:")
    assert held * KB < row.each < held * KB + 0.15 * held * KB + 6 * KB
    await cancel(tasks)


async def test_tasks_from_before_the_ledger_are_named_by_coroutine() -> None:
    tasks = await started(Handler(), 20, 100)
    ledger = Ledger()
    ledger.install(asyncio.get_running_loop())
    try:
        report = await look(ledger)
    finally:
        ledger.uninstall()
    (row,) = [row for row in report.tasks if row.function == "Handler.wait"]
    assert (row.location, row.live, row.sampled) == ("untracked", 20, 20)
    assert row.each > 100 * KB
    await cancel(tasks)


async def test_tasks_that_hold_nothing_hold_their_frames_and_timers_only(ledger: Ledger) -> None:
    tasks = await started(Handler(), 20, 0)
    row = of(await look(ledger), "started")
    assert 400 < row.each < 6 * KB
    await cancel(tasks)


async def test_a_sample_stands_for_all_tasks_of_its_location(ledger: Ledger) -> None:
    tasks = await started(Handler(), 2_000, 1)
    row = of(await look(ledger), "started")
    assert row.live == 2_000
    assert row.sampled < 1_000
    assert row.bytes == pytest.approx(2_000 * row.each)
    assert row.each > KB
    await cancel(tasks)


async def test_what_tasks_share_is_not_theirs_and_counts_once(ledger: Ledger) -> None:
    handler = Handler()
    handler.seen = [{"n": n, "text": str(n) * 50} for n in range(20_000)]
    tasks = await started(handler, 30, 0)
    report = await look(ledger, bounds=EVERYTHING)
    assert of(report, "started").each < 6 * KB
    (found,) = (each for each in report.largest if each.items == len(handler.seen))
    # 232 bytes of a dict, 32 of a number, up to 300 of a text, and 8 in the list.
    assert 20_000 * 300 < found.bytes < 20_000 * 700
    assert found.type == "list"
    assert re.match(r"(self|handler)\.seen \(a variable of .+, a task of .+\)$", found.path)
    await cancel(tasks)


async def test_a_growing_cache_of_a_module_is_named_by_its_module(ledger: Ledger) -> None:
    CACHE.update({n: bytes(2 * KB) for n in range(3_000)})
    try:
        report = await look(ledger, bounds=EVERYTHING)
    finally:
        CACHE.clear()
    (found,) = (each for each in report.largest if each.items == 3_000)
    assert found.path == f"{__name__}.CACHE"
    assert found.bytes == pytest.approx(3_000 * 2_100, rel=0.1)
    assert dict(report.types)["bytes"] >= 3_000 * 2 * KB


async def test_a_cache_in_a_closure_is_named_by_its_function(ledger: Ledger) -> None:
    def remembering() -> Any:
        kept = [bytes(4 * KB) for _ in range(1_000)]
        return lambda: kept

    sys.modules[__name__].__dict__["remember"] = remembering()
    try:
        report = await look(ledger, bounds=EVERYTHING)
    finally:
        del sys.modules[__name__].__dict__["remember"]
    (found,) = (each for each in report.largest if each.items == 1_000)
    assert found.path == f"{__name__}.remember variable kept"


async def test_mapped_memory_counts_as_large_as_it_is(ledger: Ledger) -> None:
    sys.modules[__name__].__dict__["MAPS"] = [mmap.mmap(-1, 1 << 20) for _ in range(3)]
    try:
        report = await look(ledger, bounds=EVERYTHING)
        assert dict(report.types)["mmap.mmap"] == 3 << 20
        assert f"{__name__}.MAPS" in [each.path for each in report.largest]
    finally:
        for each in sys.modules[__name__].__dict__.pop("MAPS"):
            each.close()


async def test_a_store_counts_what_it_leads_to_and_the_rest_counts_it_no_more(
    ledger: Ledger,
) -> None:
    handler = Handler()
    handler.seen = [{"text": bytes(KB)} for _ in range(20_000)]
    tasks = await started(handler, 1, 0)
    without = await look(ledger, bounds=EVERYTHING)
    report = await look(ledger, lambda _: [Store("seen", [handler.seen], items=20_000)], EVERYTHING)
    (store,) = report.stores
    assert store.bytes == pytest.approx(20_000 * 1_270, rel=0.1)
    counted_no_more = dict(without.types)["bytes"] - dict(report.types).get("bytes", 0)
    assert counted_no_more == pytest.approx(20_000 * 1_033, rel=0.1)
    await cancel(tasks)


def test_nothing_of_the_program_runs() -> None:
    class Hostile:
        def __sizeof__(self) -> int:
            raise AssertionError

        def __len__(self) -> int:
            raise AssertionError

        def __getattribute__(self, name: str) -> Any:
            raise AssertionError

    sizes = ObjectSizes()
    assert sizes.of(Hostile()) > 0
    walk = HeapWalk(sizes, nothing)
    size, types = walk.visit([[Hostile()], {"a": Hostile()}])
    assert size > 0
    assert any(kind.__name__ == "Hostile" for kind in types)
    assert held_by([Hostile()], sizes=sizes).bytes > 0


@pytest.mark.parametrize(
    "thing", [b"x" * 999, "ä" * 99, 1 << 99, [1] * 20, {"a": 1}, {1, 2}, (1, 2), deque([1]), None]
)
def test_the_size_of_an_object_is_that_of_getsizeof(thing: Any) -> None:
    assert ObjectSizes().of(thing) == sys.getsizeof(thing)


@pytest.mark.parametrize("kind", [list, tuple, set, frozenset, deque])
def test_of_a_long_container_some_items_stand_for_all(kind: Any) -> None:
    found = referents(kind(range(100_000)))
    assert len(found.things) < MAX_ITEMS
    assert len(found.things) * found.scale == 100_000
    assert items(kind(range(100_000))) == 100_000


def test_of_a_long_dict_keys_and_values_stand_for_all() -> None:
    found = referents({n: str(n) for n in range(50_000)})
    assert len(found.things) * found.scale == 100_000
    assert {type(each) for each in found.things} == {int, str}


def test_a_short_container_has_all_its_items() -> None:
    assert referents([1, 2, 3]).things == [3, 2, 1] or referents([1, 2, 3]).things == [1, 2, 3]
    assert referents([1, 2, 3]).scale == 1
    assert items(object()) is None


def test_what_is_referred_to_from_elsewhere_is_not_held() -> None:
    shared = [bytes(10 * KB)]
    alone, both = [[bytes(10 * KB)]], [shared, [bytes(10 * KB)]]
    sizes = ObjectSizes()
    assert 10 * KB < held_by(alone, sizes=sizes).bytes < 11 * KB
    assert 10 * KB < held_by(both, sizes=sizes).bytes < 11 * KB
    del shared
    assert 20 * KB < held_by(both, sizes=sizes).bytes < 21 * KB


def test_a_walk_ends_when_it_has_visited_enough_and_says_so() -> None:
    everything = [[n] for n in range(200)]
    walk = HeapWalk(ObjectSizes(), nothing, most=50)
    walk.visit([everything])
    assert len(walk.things) == 50
    assert not walk.complete


def test_a_walk_ends_in_time_and_says_so() -> None:
    walk = HeapWalk(ObjectSizes(), nothing, seconds=-1)
    walk.visit([[[n] for n in range(200)]])
    assert not walk.complete


def test_an_object_counts_for_the_root_that_leads_to_it_first() -> None:
    shared = [bytes(KB)]
    walk = HeapWalk(ObjectSizes(), nothing)
    first, _ = walk.visit([[shared]])
    second, _ = walk.visit([[shared]])
    assert first > KB > second


def test_only_where_memory_accumulates_is_named() -> None:
    small, large = [bytes(10)], [bytes(KB) for _ in range(200)]
    root = {"small": small, "around": [large]}
    walk = HeapWalk(ObjectSizes(), nothing)
    walk.visit([root])
    [(node, size)] = walk.accumulations(100 * KB)
    assert walk.things[node] is large
    assert size > 200 * KB
    assert path_of(walk, node, {}) == "dict['around'][]"


def test_names_of_types_have_their_module() -> None:
    assert type_name(list) == "list"
    assert type_name(Handler) == f"{__name__}.Handler"
