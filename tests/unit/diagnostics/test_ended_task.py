from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import time
import weakref
from typing import Any

import pytest

from qcfeed.diagnostics import calls, labels
from qcfeed.diagnostics.ended_task import TaskOutcome
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.site import FINISHED_BUDGET, RECENT_ENDED, Site

HERE = "tests/unit/diagnostics/test_ended_task.py"


async def nothing() -> None: ...


async def forever() -> None:
    await asyncio.Event().wait()


async def failing(text: str = "on purpose") -> None:
    raise ValueError(text)


def site_of(ledger: Ledger, function: str) -> Site:
    ledger.settle()
    return next(s for s in ledger.sites() if s.function.endswith(function) and s.spawned)


async def over(*tasks: asyncio.Task[Any]) -> None:
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()


# ---------------------------------------------------------------- the last of a location


async def test_how_a_task_ended_its_name_age_and_labels_are_remembered(ledger: Ledger) -> None:
    with labels.label(symbol="AAPL"):
        task = asyncio.create_task(nothing(), name="quick")
    await over(task)
    serial = ledger.record_of(task).serial  # type: ignore[union-attr]
    (told,) = site_of(ledger, "are_remembered").recently_ended()
    assert (told.serial, told.name, told.outcome) == (serial, "quick", TaskOutcome.FINISHED)
    assert dict(told.labels) == {"symbol": "AAPL"}
    assert told.created_at <= told.ended_at <= time.monotonic()
    assert told.cancels is None


@pytest.mark.allow_task_leaks  # it destroys a pending task
async def test_ended_tasks_have_their_outcome_newest_first(ledger: Ledger) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)

    def spawn(coroutine: Any) -> asyncio.Task[Any]:
        return loop.create_task(coroutine)

    await over(spawn(nothing()))
    ledger.settle()
    task = spawn(forever())
    await asyncio.sleep(0)
    task.cancel()
    await over(task)
    ledger.settle()
    await over(spawn(failing()))
    ledger.settle()
    gone = weakref.ref(spawn(forever()))
    await asyncio.sleep(0)
    gc.collect()
    assert gone() is None
    told = [each.outcome for each in site_of(ledger, "spawn").recently_ended()]
    assert told == [
        TaskOutcome.DESTROYED,
        TaskOutcome.FAILED,
        TaskOutcome.CANCELLED,
        TaskOutcome.FINISHED,
    ]


async def test_a_burst_of_finished_tasks_does_not_evict_failed_ones(ledger: Ledger) -> None:
    def spawn(coroutine: Any) -> asyncio.Task[Any]:
        return asyncio.create_task(coroutine)

    await over(spawn(failing()))
    for _ in range(10 * RECENT_ENDED):
        await spawn(nothing())
    site = site_of(ledger, "spawn")
    told = [each.outcome for each in site.recent_ended]
    assert told.count(TaskOutcome.FAILED) == 1
    assert told.count(TaskOutcome.FINISHED) == FINISHED_BUDGET
    assert site.finished == 10 * RECENT_ENDED
    site.recently_ended()  # somebody has looked: it remembers anew
    await spawn(nothing())
    await asyncio.sleep(0)
    assert [e.outcome for e in site_of(ledger, "spawn").recent_ended].count(
        TaskOutcome.FINISHED
    ) == FINISHED_BUDGET + 1


async def test_no_more_than_the_last_are_kept(ledger: Ledger) -> None:
    def spawn() -> asyncio.Task[Any]:
        return asyncio.create_task(failing())

    for _ in range(RECENT_ENDED + 5):
        await over(spawn())
        ledger.settle()
    serials = [each.serial for each in site_of(ledger, "spawn").recently_ended()]
    assert len(serials) == RECENT_ENDED
    assert serials == sorted(serials, reverse=True)


async def test_ended_tasks_are_not_kept_alive(ledger: Ledger) -> None:
    class Held:
        pass

    held = [Held()]

    async def fails(kept: Any) -> None:  # in the frame of its traceback
        raise ValueError

    gone = weakref.ref(held[0])
    await over(asyncio.create_task(fails(held.pop())))
    ledger.settle()
    gc.collect()
    assert gone() is None
    assert len(ledger.failures.groups()) == 1


# ---------------------------------------------------------------- who cancelled


async def test_the_canceller_is_recorded_by_task_and_line(ledger: Ledger) -> None:
    victim = asyncio.create_task(forever())

    async def executioner() -> int:
        victim.cancel()
        return sys._getframe().f_lineno - 1

    by = asyncio.create_task(executioner())
    serial = ledger.record_of(by).serial  # type: ignore[union-attr]
    here = await by
    await over(victim)
    ledger.settle()
    told = next(e for s in ledger.sites() for e in s.recently_ended() if e.cancels)
    assert told.cancels is not None
    assert (told.cancels.times, told.cancels.by) == (1, serial)
    assert calls.of_cancel(told.cancels).startswith(
        f"{HERE}:{here} (test_the_canceller_is_recorded"
    )


async def test_a_timeout_and_a_group_are_named_as_such(ledger: Ledger) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.001):
            await asyncio.create_task(forever(), name="timed out")
    with contextlib.suppress(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(forever(), name="of the group")
            group.create_task(failing())
    ledger.settle()
    told = {e.name: e for s in ledger.sites() for e in s.recently_ended() if e.cancels}
    timed, grouped = told["timed out"].cancels, told["of the group"].cancels
    assert timed is not None and grouped is not None  # noqa: PT018
    assert timed.by is None, "a callback"
    assert "Timeout._on_timeout" in calls.of_cancel(timed)
    assert "TaskGroup" in calls.of_cancel(grouped)


async def test_every_cancellation_of_a_task_is_counted(ledger: Ledger) -> None:
    async def refuses() -> None:
        for _ in range(3):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)

    task = asyncio.create_task(refuses())
    await asyncio.sleep(0)
    for times in (1, 2, 3):
        assert task.cancel() is True
        await asyncio.sleep(0)
        assert task.cancels.times == times  # type: ignore[attr-defined]
    await over(task)
    assert task.cancel() is False, "it has ended"
    assert task.cancels.times == 3  # type: ignore[attr-defined]


async def test_a_note_that_fails_takes_the_ledger_out_and_not_the_program(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise LookupError("on purpose")

    monkeypatch.setattr("qcfeed.diagnostics.task_info._note_cancel", broken)
    task = asyncio.create_task(forever())
    await asyncio.sleep(0)
    assert task.cancel() is True
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (ledger.failure, ledger.installed) == ("LookupError: on purpose", False)


async def test_cancelling_a_long_chain_of_tasks_works_as_without_a_ledger(ledger: Ledger) -> None:
    async def link(number: int) -> None:
        await (asyncio.create_task(link(number - 1)) if number else asyncio.sleep(3600))

    task = asyncio.create_task(link(200))
    for _ in range(202):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ledger.failure is None
