from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from qcfeed.diagnostics import scan, turns
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.scan import LiveTaskScan, Oldest, info_of_ref, oldest
from qcfeed.diagnostics.task_info import LedgerTask, TaskRecord, info_of, task_of, to_record


async def nothing() -> None: ...


async def forever() -> None:
    await asyncio.Event().wait()


async def ended(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def read(ledger: Ledger) -> set[asyncio.Task[Any] | None]:
    return {task_of(known) for _, some in LiveTaskScan(ledger) for known in some}


def chained() -> Ledger:
    loop = asyncio.get_running_loop()
    loop.set_task_factory(lambda loop, coro, **kw: asyncio.Task(coro, loop=loop, **kw))
    ledger = Ledger()
    ledger.install(loop)
    return ledger


async def test_a_scan_gives_every_live_task_once_with_its_reference(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "SLICE", 3)
    tasks = [asyncio.create_task(forever()) for _ in range(20)]
    pairs = [
        (ref(), known.serial)
        for refs, some in LiveTaskScan(ledger)
        for ref, known in zip(refs, some, strict=True)
    ]
    assert len(pairs) == len(set(pairs)) >= 20
    assert set(tasks) <= {task for task, _ in pairs}
    assert dict(pairs)[tasks[3]] == ledger.record_of(tasks[3]).serial  # type: ignore[union-attr]
    await ended(*tasks)
    assert not read(ledger) & set(tasks)


def long_and_young() -> list[int]:
    """Lengths of the long lists that the next young garbage collection goes through, each in one step."""
    return [
        len(each) for each in gc.get_objects(generation=0) if type(each) is list and len(each) > 700
    ]


async def test_a_scan_creates_no_new_list_of_all_tasks(ledger: Ledger) -> None:
    tasks = [asyncio.create_task(forever()) for _ in range(1_000)]
    gc.collect()
    new = ledger.refs()
    assert len(new) in long_and_young()
    del new
    gc.collect()
    looking = iter(LiveTaskScan(ledger))
    next(looking)
    assert long_and_young() == []
    looking.close()
    await ended(*tasks)


@pytest.mark.allow_task_leaks  # it sets its own task factory
async def test_tasks_of_another_factory_come_as_records() -> None:
    ledger = chained()
    task, over = asyncio.create_task(forever()), asyncio.create_task(nothing())
    await over
    scan_ = LiveTaskScan(ledger)
    (known,) = (each for _, some in scan_ for each in some)
    assert scan_.live == 1
    assert isinstance(known, TaskRecord)
    assert (known.task, known.labels, known.owner) == (task, {}, None)
    await ended(task)
    assert read(ledger) == set()
    assert sum(site.live for site in ledger.sites()) == 0
    ledger.uninstall()


async def test_the_end_of_a_held_task_is_recorded_once(ledger: Ledger) -> None:
    task = asyncio.create_task(nothing())
    await task
    site = info_of(task).site  # type: ignore[union-attr]
    assert (site.live, site.finished) == (1, 0), "nobody has looked"
    ledger.settle()
    ledger.settle()
    assert (site.live, site.finished) == (0, 1)
    del task
    gc.collect()
    assert (site.live, site.finished) == (0, 1), "being freed does not book it again"


async def test_a_task_that_is_being_recorded_is_not_counted(ledger: Ledger) -> None:
    before = sum(1 for _, some in LiveTaskScan(ledger) for _ in some)
    half = LedgerTask(forever(), loop=asyncio.get_running_loop())  # created, and not recorded yet
    reading_ = LiveTaskScan(ledger)
    assert sum(len(some) for _, some in reading_) == before
    untracked = reading_.untracked
    await ended(half)
    del half
    reading_ = LiveTaskScan(ledger)
    for _ in reading_:
        pass
    assert reading_.untracked == untracked


async def test_a_slice_holds_no_task_while_the_loop_runs(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "SLICE", 1)
    monkeypatch.setattr(turns, "READER_TURN_S", 0.0)
    held: list[Any] = []
    lists: list[list[Any]] = []
    monkeypatch.setattr(turns.time, "sleep", lambda _: held.append([*map(len, lists)]))
    tasks = [asyncio.create_task(forever()) for _ in range(5)]

    def look() -> None:
        for _, some in LiveTaskScan(ledger):
            lists.append(some)

    await asyncio.to_thread(look)
    assert len(held) > 5
    assert all(set(lengths) <= {0} for lengths in held)
    await ended(*tasks)


async def test_pages_of_the_oldest_tasks(ledger: Ledger) -> None:
    tasks = [asyncio.create_task(forever()) for _ in range(50)]
    refs = [ref for refs, _ in LiveTaskScan(ledger) for ref in refs if ref() in tasks]
    refs.reverse()
    assert [each.task for each in oldest(ledger, refs, 4)] == tasks[:4]
    assert [each.task for each in oldest(ledger, refs, 4, 47)] == tasks[47:]
    assert oldest(ledger, refs, 0) == []
    assert oldest(ledger, [], 10) == []
    await ended(*tasks)
    assert oldest(ledger, [weakref.ref(asyncio.current_task())], 0) == []  # type: ignore[arg-type]


async def test_records_are_made_only_for_the_oldest_so_far(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    monkeypatch.setattr(scan, "to_record", lambda each: made.append(each.serial) or to_record(each))
    tasks = [asyncio.create_task(forever()) for _ in range(200)]
    found = Oldest(5)
    for task in tasks:  # the oldest come first
        found.add([info_of(task)])  # type: ignore[list-item]
    assert [each.task for each in found.records()] == tasks[:5]
    assert len(made) == 11
    await ended(*tasks)


async def test_a_freed_task_has_no_info(ledger: Ledger) -> None:
    task = asyncio.create_task(nothing())
    ref = weakref.ref(task)
    assert info_of_ref(ref) is task
    kept = ledger.record_of(task)
    await task
    del task
    await asyncio.sleep(0)
    gc.collect()
    assert info_of_ref(ref) is None
    assert kept is not None and kept() is None and kept.serial > 0  # noqa: PT018


async def test_a_record_keeps_the_fields_of_a_task(ledger: Ledger) -> None:
    task = asyncio.create_task(forever())
    await asyncio.sleep(0)
    task.cancel("why")
    known = info_of(task, ledger)
    kept = ledger.record_of(task)
    assert known is task
    assert kept is not None
    for fact in ("serial", "created_at", "context", "parent", "site", "cancels"):
        assert getattr(kept, fact) is getattr(known, fact)
    assert kept == ledger.find(kept.serial)
    await ended(task)
    assert ledger.find_all({kept.serial, 10**9}) == {}
