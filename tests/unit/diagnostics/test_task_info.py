from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from qcfeed.diagnostics.ended_task import TaskOutcome
from qcfeed.diagnostics.labels import label
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.site import Site
from qcfeed.diagnostics.task_info import LedgerTask, info_of, record_end, task_of, to_record


async def nothing() -> None: ...


class ReadMeanwhile(Site):
    """Whenever its count is about to rise, a reader scans and records what has ended, as one in
    another thread may: it revives the task by its weak reference."""

    __slots__ = ("_finished", "dying")

    @property  # type: ignore[override]
    def finished(self) -> int:
        task: LedgerTask | None = getattr(self, "dying", None)
        if task is not None:
            self.dying = None
            record_end(task, task)
        return getattr(self, "_finished", 0)

    @finished.setter
    def finished(self, number: int) -> None:
        self._finished = number


async def test_an_end_is_counted_once_while_a_reader_scans(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = ReadMeanwhile(ledger, None, 0)
    original = LedgerTask.__del__

    def dying(task: LedgerTask) -> None:
        if task.site is site:
            site.dying = task
        original(task)

    monkeypatch.setattr(LedgerTask, "__del__", dying)
    task = asyncio.create_task(nothing())
    assert isinstance(task, LedgerTask)
    site.spawned, task.site = 1, site
    await task
    await asyncio.sleep(0)
    del task
    assert (site.ended, site.live) == (1, 0)


async def forever() -> None:
    """Ends by its third cancellation."""
    for _ in range(3):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()


async def turns(task: asyncio.Task[None]) -> None:
    """Let the loop run for long enough that the task could have ended, and make sure that it ends."""
    for _ in range(10):
        await asyncio.sleep(0)
    if not task.done():
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
        raise AssertionError("it has not ended by its third cancellation")


async def test_a_task_tells_how_often_it_was_cancelled_and_by_which_task_last(
    ledger: Ledger,
) -> None:
    task = asyncio.create_task(forever())
    await asyncio.sleep(0)
    info = info_of(task)
    assert info is not None
    assert not hasattr(info, "cancels"), "it was not cancelled"

    async def cancels() -> None:
        task.cancel()

    for times in (1, 2):
        by = asyncio.create_task(cancels())
        await by
        await asyncio.sleep(0)
        caller = info_of(by)
        assert caller is not None
        assert info.cancels == (times, caller.serial, cancels.__code__, info.cancels.lasti)
    asyncio.get_running_loop().call_soon(task.cancel)
    await turns(task)
    assert (info.cancels.times, info.cancels.by) == (3, None), "a callback has no serial"
    before = info.cancels
    assert not task.cancel(), "it has ended"
    assert info.cancels == before


async def test_an_ended_task_is_told_with_its_name_labels_and_times(ledger: Ledger) -> None:
    with label(symbol="AAPL"):
        task = asyncio.create_task(forever(), name="feed 7")
    info = info_of(task)
    assert info is not None
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    created_at, site, serial = info.created_at, info.site, info.serial
    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0)
    ledger.settle()
    (ended,) = site.recent_ended
    assert (ended.serial, ended.name, ended.coroutine) == (serial, "feed 7", "forever")
    assert ended.created_at == created_at <= ended.ended_at <= time.monotonic()
    assert (ended.outcome, dict(ended.labels)) == (TaskOutcome.FINISHED, {"symbol": "AAPL"})
    assert ended.cancels is not None
    assert ended.cancels.times == 3


async def test_a_record_has_what_its_task_has(ledger: Ledger) -> None:
    parent = info_of(asyncio.current_task())

    async def spawns() -> asyncio.Task[None]:
        return asyncio.create_task(forever())

    with label(symbol="AAPL"):
        spawner = asyncio.create_task(spawns())
        task = await spawner
    info, by = info_of(task), info_of(spawner)
    assert info is not None
    assert by is not None
    record = to_record(info)
    assert to_record(record) is record
    assert (record.serial, record.created_at, record.site) == (
        info.serial,
        info.created_at,
        info.site,
    )
    assert (record.parent, record.open) == (by.serial, True)
    assert (record.task, record.owner, dict(record.labels)) == (task, None, {"symbol": "AAPL"})
    assert task_of(info) is task_of(record) is task
    assert by.parent == (None if parent is None else parent.serial)
    await asyncio.sleep(0)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    assert to_record(info).cancels == info.cancels
