"""The gone, asked of a real ledger in the test's own loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from qcfeed.control.handlers import ended_tasks
from qcfeed.control.live_tasks import LiveTasks
from qcfeed.control.routes import TASKS_ENDED, TASKS_FAILURES
from qcfeed.diagnostics import Ledger, label
from qcfeed.errors import UsageError
from qcfeed.model.ended_tasks import EndedQuery, FailuresQuery, TaskFailures, TasksEnded


class Desk:
    def __init__(self, ledger: Ledger) -> None:
        self._handle = {route.path: route.handle for route in ended_tasks.reads(LiveTasks(ledger))}

    def ended(self, **query: object) -> TasksEnded:
        return self._handle[TASKS_ENDED](EndedQuery(**query))

    def failures(self, **query: object) -> TaskFailures:
        return self._handle[TASKS_FAILURES](FailuresQuery(**query))


@pytest_asyncio.fixture
async def desk() -> AsyncIterator[Desk]:
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()
    loop.set_task_factory(None)
    ledger = Ledger()
    ledger.install(loop)
    yield Desk(ledger)
    ledger.uninstall()
    loop.set_task_factory(before)


async def failing() -> None:
    raise ValueError("on purpose")


async def over(*tasks: asyncio.Task[None]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_the_latest_ends_come_first_with_their_outcome_and_canceller(desk: Desk) -> None:
    with label(symbol="AAPL"):
        task = asyncio.create_task(asyncio.sleep(600), name="slow")
    await asyncio.sleep(0)
    task.cancel()
    await over(task)
    desk.ended()  # an end counts from when somebody looks, while the task is held
    await over(asyncio.create_task(failing(), name="bad"))
    answer = desk.ended(site="test_ended_tasks.py")
    assert [(t.name, t.outcome) for t in answer.tasks] == [("bad", "failed"), ("slow", "cancelled")]
    assert (answer.total, answer.kept) == (2, 2)
    slow = answer.tasks[1]
    assert slow.labels == {"symbol": "AAPL"}
    assert slow.cancels == 1
    assert slow.cancelled_at.startswith("tests/unit/control/handlers/test_ended_tasks.py:")
    assert 0 <= slow.lifetime_s < 60
    assert slow.ended_ago_s >= 0


async def test_one_outcome_one_site_and_a_limit(desk: Desk) -> None:
    for _ in range(3):
        await over(asyncio.create_task(failing()))
    await over(asyncio.create_task(asyncio.sleep(0)))
    assert desk.ended(site="test_ended_tasks.py", outcome="failed").total == 3
    answer = desk.ended(outcome="failed", limit=2)
    assert (len(answer.tasks), answer.kept) == (2, 3)
    assert desk.ended(site="nowhere.py").tasks == []
    with pytest.raises(UsageError, match="not an outcome of a task"):
        desk.ended(outcome="vanished")


async def test_failures_have_their_traceback_with_source(desk: Desk) -> None:
    for _ in range(2):
        await over(asyncio.create_task(failing()))
    (failure,) = desk.failures(site="test_ended_tasks.py").failures
    assert (failure.count, failure.raised[0].error) == (2, "ValueError: on purpose")
    assert failure.raised[0].stack[-1].source == 'raise ValueError("on purpose")'
    assert desk.failures(site="nowhere.py").kinds == 0
