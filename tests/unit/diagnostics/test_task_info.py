from __future__ import annotations

import asyncio

import pytest

from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.site import Site
from qcfeed.diagnostics.task_info import Task, record_end


async def nothing() -> None: ...


class ReadMeanwhile(Site):
    """Whenever its count is about to rise, a reader scans and records what has ended, as one in
    another thread may: it revives the task by its weak reference."""

    __slots__ = ("_finished", "dying")

    @property  # type: ignore[override]
    def finished(self) -> int:
        task: Task | None = getattr(self, "dying", None)
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
    original = Task.__del__

    def dying(task: Task) -> None:
        if task.site is site:
            site.dying = task
        original(task)

    monkeypatch.setattr(Task, "__del__", dying)
    task = asyncio.create_task(nothing())
    assert isinstance(task, Task)
    site.spawned, task.site = 1, site
    await task
    await asyncio.sleep(0)
    del task
    assert (site.ended, site.live) == (1, 0)
