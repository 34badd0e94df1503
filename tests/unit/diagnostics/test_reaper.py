from __future__ import annotations

import asyncio
import contextlib
import gc
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
import pytest_asyncio
import uvloop

from qcfeed.diagnostics import orphans, reaper, snapshot, waits
from qcfeed.diagnostics.ledger import Ledger, TaskRecord, owned_by
from qcfeed.diagnostics.timers import LEFT_TO_ASYNCIO
from tests.unit.diagnostics.conftest import Subscriber

INCIDENT = 47_829


async def sleeper() -> None:
    await asyncio.sleep(3600)


async def fails_in_cleanup() -> None:
    try:
        await asyncio.sleep(3600)
    finally:
        raise ValueError("cleanup failed on purpose")


async def tidies_up_and_returns() -> str:
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        await asyncio.sleep(0.005)
    return "tidy"


async def refuses(enough: asyncio.Event) -> None:
    while not enough.is_set():
        with contextlib.suppress(asyncio.CancelledError):
            await enough.wait()


@pytest_asyncio.fixture
async def enough() -> AsyncIterator[asyncio.Event]:
    """Ends tasks that suppress their cancellation, even if the test has failed."""
    event = asyncio.Event()
    yield event
    event.set()
    await asyncio.sleep(0)


async def spawn(
    ledger: Ledger, *coroutines: Coroutine[Any, Any, Any]
) -> tuple[list[asyncio.Task[Any]], list[TaskRecord]]:
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    await asyncio.sleep(0)
    by_task = {record.task: record for record in ledger.records()}
    return tasks, [by_task[task] for task in tasks]


async def test_each_outcome_is_counted(ledger: Ledger, enough: asyncio.Event) -> None:
    tasks, records = await spawn(
        ledger,
        sleeper(),
        tidies_up_and_returns(),
        fails_in_cleanup(),
        refuses(enough),
        asyncio.sleep(0),
    )
    await asyncio.wait(tasks[4:])
    reaping = await reaper.cancel(records, timeout=1.0)
    assert (reaping.reaped, reaping.failed, reaping.already_gone) == (2, 1, 1)
    (survivor,) = reaping.survivors
    assert survivor.record.task is tasks[3]
    assert survivor.state == "Event.wait (1 waiting)"
    assert 1.0 <= reaping.elapsed_s < 60
    assert isinstance(tasks[2].exception(), ValueError)
    enough.set()
    await asyncio.wait(tasks)


async def test_an_exception_in_cleanup_is_still_reported_by_asyncio(ledger: Ledger) -> None:
    heard: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: heard.append(f"{context['message']}: {context['exception']}")
    )
    tasks, records = await spawn(ledger, fails_in_cleanup())
    tasks.clear()
    assert (await reaper.cancel(records)).failed == 1
    records.clear()
    await asyncio.sleep(0)
    gc.collect()
    assert heard == ["Task exception was never retrieved: cleanup failed on purpose"]


async def test_the_task_it_runs_in_is_not_cancelled(ledger: Ledger) -> None:
    async def reap_everything() -> reaper.Reaping:
        records = [record for record in ledger.records() if record.task in mine]
        return await reaper.cancel(records)

    mine: list[asyncio.Task[Any] | None] = []
    victim = asyncio.create_task(sleeper())
    reaping_task = asyncio.create_task(reap_everything())
    mine += [victim, reaping_task]
    reaping = await reaping_task
    assert reaping.reaped == 1
    assert [s.record.task for s in reaping.survivors] == [reaping_task]


async def test_a_record_whose_task_was_freed_is_already_gone(ledger: Ledger) -> None:
    tasks, records = await spawn(ledger, sleeper())
    tasks[0].cancel()
    await asyncio.wait(tasks)
    tasks.clear()
    await asyncio.sleep(0)
    assert records[0].task is None
    assert (await reaper.cancel(records)).already_gone == 1


async def test_only_the_given_tasks_are_cancelled_once_each(ledger: Ledger) -> None:
    times = 0

    async def counts() -> None:
        nonlocal times
        while times < 2:
            try:
                await asyncio.sleep(0.02)
            except asyncio.CancelledError:
                times += 1
            else:
                return

    bystander = asyncio.create_task(sleeper())
    _, records = await spawn(ledger, counts())
    assert (await reaper.cancel(records)).reaped == 1
    assert times == 1
    assert not bystander.done()
    bystander.cancel()
    await asyncio.wait([bystander])


async def test_many_survivors_are_described_a_few_in_each_turn(
    ledger: Ledger, enough: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks, records = await spawn(ledger, *(refuses(enough) for _ in range(450)))
    turn = 0
    described: Counter[int] = Counter()

    def counted(task: asyncio.Task[Any]) -> str:
        described[turn] += 1
        return waits.state(task)

    async def count_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(reaper, "state", counted)
    counting = asyncio.create_task(count_turns())
    reaping = await reaper.cancel(records, timeout=0)
    counting.cancel()
    assert len(reaping.survivors) == 450
    assert {survivor.state for survivor in reaping.survivors} == {"Event.wait (450 waiting)"}
    assert max(described.values()) <= 100
    enough.set()
    await asyncio.wait([*tasks, counting])


def cancelled_timers() -> list[asyncio.TimerHandle]:
    loop: Any = asyncio.get_running_loop()
    return [timer for timer in loop._scheduled if timer.cancelled()]


async def test_a_large_reaping_leaves_no_cancelled_timer(ledger: Ledger) -> None:
    loop: Any = asyncio.get_running_loop()
    kept = loop.call_later(3600, print)
    _, records = await spawn(ledger, *(sleeper() for _ in range(2_000)))
    assert (await reaper.cancel(records)).reaped == 2_000
    assert cancelled_timers() == []
    assert loop._timer_cancelled_count == 0
    assert kept in loop._scheduled
    kept.cancel()


async def test_a_cancelled_reaping_loses_no_timer(ledger: Ledger) -> None:
    loop: Any = asyncio.get_running_loop()
    tasks, records = await spawn(ledger, *(sleeper() for _ in range(2_000)))
    called = asyncio.Event()
    loop.call_later(0.001, called.set)
    kept = loop.call_later(3600, print)
    half_done = asyncio.Event()
    tasks[1_500].add_done_callback(lambda _: half_done.set())
    reaping = asyncio.create_task(reaper.cancel(records, batch=100))
    await half_done.wait()
    reaping.cancel()
    await asyncio.wait([reaping])
    assert reaping.cancelled()
    await called.wait()
    left = [task for task in tasks if not task.done()]
    assert 0 < len(left) < 500
    while kept not in loop._scheduled:  # noqa: ASYNC110 - it comes back, though nobody waits for it
        await asyncio.sleep(0)
    assert len(loop._scheduled) > len(left)
    kept.cancel()
    assert (await reaper.cancel(records[1_500:])).reaped == len(left)


async def test_two_reapings_at_once_reap_all_and_leave_asyncio_no_more_timers_than_one_does(
    ledger: Ledger,
) -> None:
    loop: Any = asyncio.get_running_loop()
    kept = loop.call_later(3600, print)
    _, records = await spawn(ledger, *(sleeper() for _ in range(4_000)))
    both = await asyncio.gather(reaper.cancel(records[::2]), reaper.cancel(records[1::2]))
    assert [each.reaped for each in both] == [2_000, 2_000]
    assert len(cancelled_timers()) <= LEFT_TO_ASYNCIO  # asyncio removes these by itself
    assert kept in loop._scheduled
    kept.cancel()


def test_uvloop_keeps_its_own_timers_while_its_tasks_are_reaped() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        ledger = Ledger()
        ledger.install(loop)
        _, records = await spawn(ledger, *(sleeper() for _ in range(2_000)))
        called = asyncio.Event()
        loop.call_later(0.001, called.set)
        assert (await reaper.cancel(records)).reaped == 2_000
        await called.wait()
        ledger.uninstall()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


class Turns:
    """How many tasks end within one turn of the loop, at most."""

    def __init__(self) -> None:
        self.ended = 0
        self.most = 0

    async def sleeper(self) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            self.ended += 1

    async def watch(self) -> None:
        while True:
            before = self.ended
            await asyncio.sleep(0)
            self.most = max(self.most, self.ended - before)


async def test_the_incident_is_reaped_with_one_survivor_and_one_failure(
    ledger: Ledger, subscriber: Subscriber, enough: asyncio.Event
) -> None:
    loop = asyncio.get_running_loop()
    heard: list[Any] = []
    loop.set_exception_handler(lambda _, context: heard.append(context["message"]))
    turns = Turns()
    bystander = asyncio.create_task(turns.watch())
    with owned_by(subscriber):
        for _ in range(INCIDENT - 2):
            loop.create_task(turns.sleeper())
        loop.create_task(refuses(enough))
        loop.create_task(fails_in_cleanup())
    await asyncio.sleep(0)
    subscriber.closed = True
    found = await asyncio.to_thread(orphans.refs, ledger, 0.0)
    assert len(found) == INCIDENT
    reaping = await reaper.cancel(found, timeout=3.0)
    assert (reaping.reaped, reaping.failed, reaping.already_gone) == (INCIDENT - 2, 1, 0)
    assert [s.state for s in reaping.survivors] == ["Event.wait (1 waiting)"]
    assert 0 < turns.most <= 500  # how long a turn takes is for the benchmark to say
    assert not bystander.done()
    totals = snapshot.by_location(ledger, 0.0).totals
    assert (totals.cancelled, totals.failed, totals.orphaned) == (INCIDENT - 2, 1, 1)
    found.clear()
    enough.set()
    bystander.cancel()
    await asyncio.wait([bystander])
    await asyncio.sleep(0)
    assert heard == ["Task exception was never retrieved"]
