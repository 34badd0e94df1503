"""Tasks are counted by the object that they wait for, and its holder is named."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import anyio
import pytest
import pytest_asyncio

from qcfeed.diagnostics import by_object as module
from qcfeed.diagnostics import waits
from qcfeed.diagnostics.by_object import ObjectRow, ObjectSnapshot, by_object
from qcfeed.diagnostics.filters import Filter
from qcfeed.diagnostics.ledger import Ledger

HERE = "tests/unit/diagnostics/test_by_object.py"


class Program:
    """Tasks of a test. They end with it."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.tasks: list[asyncio.Task[Any]] = []

    async def run(self, *coroutines: Coroutine[Any, Any, Any]) -> list[asyncio.Task[Any]]:
        """Tasks of these coroutines, once all of them wait."""
        started = [asyncio.create_task(each) for each in coroutines]
        self.tasks += started
        await until(lambda: all(waits.kind(task) not in ("ready", "running") for task in started))
        return started

    def look(self, which: Filter | None = None, **options: Any) -> ObjectSnapshot:
        """The test's own task is left out."""
        found = by_object(self.ledger, which or Filter(), time.monotonic(), **options)
        found.rows = [row for row in found.rows if row.object.kind != "running"]
        return found

    def only(self) -> ObjectRow:
        (row,) = self.look().rows
        return row


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until a condition holds, which the test's own timeout limits."""
    while not condition():  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0)


@pytest_asyncio.fixture
async def program(ledger: Ledger) -> AsyncIterator[Program]:
    program = Program(ledger)
    yield program
    for task in program.tasks:
        task.cancel()
    await asyncio.gather(*program.tasks, return_exceptions=True)


class Pool:
    """Something that tasks share."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.other = asyncio.Lock()
        self.ready = asyncio.Event()
        self.free = asyncio.Semaphore(2)


async def sleep_long() -> None:
    await asyncio.sleep(3600)


async def get_ready(pool: Pool) -> None:
    await pool.ready.wait()


async def work(lock: Any, then: Callable[[], Awaitable[Any]]) -> None:
    async with lock:
        await then()


async def nothing() -> None:
    """What a task does once it has the lock."""


async def waits_for_one() -> None:
    await asyncio.create_task(sleep_long())


# ---------------------------------------------------------------- counting


async def test_many_wait_for_one_event_that_one_task_may_set(program: Program) -> None:
    pool = Pool()

    async def main(pool: Pool) -> None:
        await sleep_long()
        pool.ready.set()

    await program.run(main(pool))
    await program.run(*(get_ready(pool) for _ in range(50)))
    event, timer = program.look().rows
    assert (event.tasks, event.objects, event.waiters) == (50, 1, 50)
    assert (event.object.kind, event.object.name) == ("Event", "Pool.ready")
    assert event.object.at.startswith(f"{HERE}:")
    assert [location.rpartition(":")[0] for location in event.locations] == [HERE]
    test, holder = event.object.holders  # the test itself has the pool in a variable too
    assert (test.how, holder.how) == ("refers to it", "refers to it")
    assert event.holder.startswith(f"known to {test.label} created at {test.location} and others: ")
    assert holder.coroutine.endswith("main")
    assert holder.label == f"task {holder.serial} ({holder.coroutine})"
    assert holder.waits.startswith("sleeping ")
    assert (timer.tasks, timer.objects, timer.object.kind) == (1, 1, "timer")


async def test_own_objects_of_one_function_are_one_row(program: Program) -> None:
    await program.run(*(sleep_long() for _ in range(3)))
    await program.run(*(get_ready(Pool()) for _ in range(5)))
    events, timers = program.look().rows
    assert (events.tasks, events.objects, events.waiters) == (5, 5, None)
    assert (events.object.kind, events.object.number) == ("Event", None)
    assert (timers.tasks, timers.objects, timers.object.kind) == (3, 3, "timer")
    assert timers.holder == ""
    await program.run(*(waits_for_one() for _ in range(7)))
    await asyncio.sleep(0)
    (tasks,) = (row for row in program.look().rows if row.object.kind == "task")
    assert (tasks.tasks, tasks.objects, tasks.object.kind) == (7, 7, "task")
    assert tasks.holder.startswith("for example task ")


async def test_every_task_is_in_one_row(program: Program) -> None:
    pool = Pool()
    inner = await program.run(sleep_long())
    await program.run(
        get_ready(pool), get_ready(pool), work(pool.lock, sleep_long), get_ready(Pool())
    )
    program.tasks.append(asyncio.create_task(sleep_long()))  # it has not run yet
    await program.run(asyncio.wait_for(asyncio.shield(inner[0]), 3600))
    program.tasks.append(asyncio.create_task(sleep_long()))
    found = by_object(program.ledger, Filter(), time.monotonic())
    assert sum(row.tasks for row in found.rows) == found.live == found.sampled
    assert {row.object.kind for row in found.rows} >= {"Event", "timer", "task", "running", "ready"}
    without = [row for row in found.rows if row.object.kind in ("running", "ready")]
    assert [(row.tasks, row.objects) for row in without] == [(1, 0), (1, 0)]


async def test_a_sample_is_scaled_and_the_objects_own_count_is_exact(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = Pool()
    await program.run(*(get_ready(pool) for _ in range(300)))
    await program.run(*(sleep_long() for _ in range(200)))
    monkeypatch.setattr(module, "SAMPLE", 100)
    found = program.look()
    assert found.live == 501
    assert found.sampled <= 101
    event, timers = found.rows
    assert (event.tasks, event.waiters) == (300, 300)
    # Estimated: 4.5 standard deviations, which one in 100,000 runs exceeds.
    assert 100 < timers.tasks == timers.objects < 300
    exact = program.look(exact=True)
    assert exact.sampled == exact.live == 501
    assert [row.tasks for row in exact.rows] == [300, 200]


async def test_a_filter_and_a_limit(program: Program) -> None:
    pool = Pool()
    await program.run(*(get_ready(pool) for _ in range(3)))
    await program.run(*(sleep_long() for _ in range(2)))
    found = program.look(Filter(waiting_on="sleep"))
    assert [(row.object.kind, row.tasks) for row in found.rows] == [("timer", 2)]
    assert found.live == 2
    found = program.look(limit=1)
    assert [row.object.kind for row in found.rows] == ["Event"]
    assert found.total == 3  # with the test's own task


async def test_an_untracked_task_may_be_the_holder(program: Program) -> None:
    pool = Pool()
    loop = asyncio.get_running_loop()
    untracked = asyncio.Task(work(pool.lock, sleep_long), loop=loop, name="early")
    await asyncio.sleep(0)
    program.tasks.append(untracked)
    await program.run(*(work(pool.lock, nothing) for _ in range(3)))
    found = program.look()
    assert found.untracked == 1
    (row,) = found.rows
    (holder,) = row.object.holders
    assert (holder.how, holder.serial, holder.label) == ("holds", None, "task early")


async def test_tasks_from_before_the_ledger_are_counted_and_may_be_holders(
    program: Program,
) -> None:
    pool = Pool()
    await program.run(work(pool.lock, sleep_long))
    await program.run(*(work(pool.lock, nothing) for _ in range(4)))
    later = Ledger()
    later.install(asyncio.get_running_loop())
    await program.run(*(work(pool.lock, nothing) for _ in range(3)))
    found = by_object(later, Filter(), time.monotonic())
    filtered = by_object(later, Filter(site=HERE), time.monotonic())
    later.uninstall()
    lock = found.rows[0]
    assert (lock.tasks, lock.waiters, lock.object.kind) == (7, 7, "Lock")
    assert set(lock.locations) > {"before the ledger"}
    (holder,) = lock.object.holders
    assert (holder.how, holder.serial, holder.location) == ("holds", None, "")
    assert (found.live, found.untracked) == (9, 0)  # with the test's own task
    assert [(row.tasks, row.object.kind) for row in filtered.rows] == [(3, "Lock")]


# ---------------------------------------------------------------- holders


async def test_a_lock_is_held_by_a_task_that_waits_for_ever(program: Program) -> None:
    pool, never = Pool(), asyncio.get_running_loop().create_future()
    (stuck,) = await program.run(work(pool.lock, lambda: never))
    waiting = await program.run(*(work(pool.lock, nothing) for _ in range(20)))
    lock, _ = program.look().rows
    assert (lock.tasks, str(lock.object)) == (20, f"Lock {lock.object.number}")
    assert lock.object.state == "locked, 20 waiting"
    (holder,) = lock.object.holders
    assert (holder.how, holder.serial) == ("holds", waits.wait_rules.serial(stuck))
    assert holder.location.startswith(f"{HERE}:")
    assert holder.waits.startswith(f"future at {HERE}:")
    assert not lock.path.deadlock
    assert lock.holder == f"held by {holder.label} created at {holder.location}: {holder.waits}"
    assert len(waiting) == 20


async def test_two_tasks_that_hold_each_others_lock_are_a_deadlock(program: Program) -> None:
    pool = Pool()
    go = asyncio.Event()

    async def one_then_the_other(one: asyncio.Lock, other: asyncio.Lock) -> None:
        async with one:
            await go.wait()
            async with other:
                pass

    pair = await program.run(
        one_then_the_other(pool.lock, pool.other), one_then_the_other(pool.other, pool.lock)
    )
    go.set()
    await until(lambda: all(waits.kind(task) == "Lock.acquire" for task in pair))
    await program.run(*(work(pool.lock, nothing) for _ in range(10)))
    many, alone = program.look().rows
    assert (many.tasks, alone.tasks) == (11, 1)
    assert many.path.deadlock
    assert alone.path.deadlock
    (first,) = many.object.holders
    (behind,) = many.path.holders
    assert {first.serial, behind.serial} == {waits.wait_rules.serial(task) for task in pair}
    assert first.waits_for == alone.object.label
    assert behind.waits_for == many.object.label
    assert many.holder == (
        f"held by {first.label} created at {first.location}: {first.waits};"
        f" deadlock with {behind.label}"
    )


async def with_timeout(lock: asyncio.Lock) -> None:
    async with asyncio.timeout(3600), lock, lock:
        pass


async def with_wait_for(lock: asyncio.Lock) -> None:
    await asyncio.wait_for(work(lock, lambda: work(lock, nothing)), 3600)


async def with_anyio(lock: asyncio.Lock) -> None:
    with anyio.fail_after(3600):
        await work(lock, lambda: work(lock, nothing))


@pytest.mark.parametrize("enter_twice", [with_timeout, with_wait_for, with_anyio])
async def test_a_timeout_ends_what_would_be_a_deadlock(
    program: Program, enter_twice: Callable[[asyncio.Lock], Coroutine[Any, Any, None]]
) -> None:
    lock = asyncio.Lock()
    (task,) = await program.run(enter_twice(lock))
    await until(lambda: waits.kind(task) == "Lock.acquire")
    (row,) = (each for each in program.look().rows if each.object.kind == "Lock")
    assert row.object.holders
    assert not row.path.deadlock


async def test_a_task_that_waits_for_itself_is_a_deadlock(program: Program) -> None:
    lock = asyncio.Lock()
    await program.run(work(lock, lambda: work(lock, nothing)))
    row = program.only()
    assert row.path.deadlock
    assert row.holder.endswith("; deadlock with itself")


async def test_the_path_leads_through_awaited_tasks(program: Program) -> None:
    pool = Pool()
    (end,) = await program.run(sleep_long())
    (middle,) = await program.run(asyncio.wait_for(asyncio.shield(end), 3600))
    (holder,) = await program.run(work(pool.lock, lambda: asyncio.shield(middle)))
    await program.run(*(work(pool.lock, nothing) for _ in range(3)))
    row = program.look().rows[0]
    serials = [each.serial for each in (*row.object.holders, *row.path.holders)]
    assert serials == [waits.wait_rules.serial(task) for task in (holder, middle, end)]
    last = row.path.holders[-1]
    assert row.holder.endswith(f"; behind it {last.label}: {last.waits}")
    assert not row.path.deadlock


@pytest.mark.parametrize(
    ("semaphore", "is_deadlock"),
    [
        (lambda: asyncio.BoundedSemaphore(1), True),
        (lambda: asyncio.BoundedSemaphore(2), False),
        (lambda: asyncio.Semaphore(2), False),
    ],
)
async def test_a_ring_is_no_deadlock_if_another_holder_may_let_go(
    program: Program, semaphore: Callable[[], Any], is_deadlock: bool
) -> None:
    pool, go, free = Pool(), asyncio.Event(), semaphore()

    async def one_then_the_other(one: Any, other: Any) -> None:
        async with one:
            await go.wait()
            async with other:
                pass

    ring = await program.run(
        one_then_the_other(free, pool.lock), one_then_the_other(pool.lock, free)
    )
    if not free.locked():
        await free.acquire()  # the second holder is the test, and cannot be seen
    go.set()
    await until(lambda: all("acquire" in waits.kind(task) for task in ring))
    rows = {row.object.kind: row for row in program.look().rows}
    assert rows["Semaphore"].object.holder_count == 1
    assert rows["Semaphore"].path.deadlock is is_deadlock
    assert rows["Lock"].path.deadlock is is_deadlock


async def test_a_task_that_awaits_several_is_in_no_certain_deadlock(program: Program) -> None:
    lock = asyncio.Lock()

    async def wait_for_any() -> None:
        async with lock:
            some = [asyncio.create_task(each) for each in (work(lock, nothing), sleep_long())]
            program.tasks.extend(some)
            await asyncio.wait(some, return_when=asyncio.FIRST_COMPLETED)

    await program.run(wait_for_any())
    await asyncio.sleep(0)
    (row,) = (each for each in program.look().rows if each.object.kind == "Lock")
    assert row.object.holders[0].coroutine.endswith("wait_for_any")
    assert not row.path.deadlock


async def test_a_semaphore_has_several_holders(program: Program) -> None:
    pool = Pool()
    holders = await program.run(*(work(pool.free, sleep_long) for _ in range(2)))
    await program.run(*(work(pool.free, nothing) for _ in range(5)))
    row = program.look().rows[0]
    assert (row.object.kind, row.object.state) == ("Semaphore", "0 free, 5 waiting")
    assert row.object.holder_count == 2
    assert {each.serial for each in row.object.holders} == {
        waits.wait_rules.serial(task) for task in holders
    }
    first = row.object.holders[0]
    assert row.holder == (
        f"held by {first.label} created at {first.location} and 1 more: {first.waits}"
    )
    assert not row.path.deadlock


async def test_a_lock_that_was_acquired_without_a_block_is_known_to_a_task(
    program: Program,
) -> None:
    async def acquire(pool: Pool) -> None:
        await pool.lock.acquire()
        await sleep_long()

    (holder,) = await program.run(acquire(pool := Pool()))
    await program.run(*(work(pool.lock, nothing) for _ in range(3)))
    lock = program.look().rows[0].object
    assert lock.kind == "Lock"
    found = [(each.how, each.serial) for each in lock.holders]
    assert ("refers to it", waits.wait_rules.serial(holder)) in found
    assert {how for how, _ in found} == {"refers to it"}


async def test_a_full_thread_pool_is_one_row(program: Program) -> None:
    loop, release = asyncio.get_running_loop(), threading.Event()

    async def call(executor: concurrent.futures.Executor) -> None:
        await loop.run_in_executor(executor, release.wait)

    async with AsyncExitStack() as stage:
        executor = stage.enter_context(concurrent.futures.ThreadPoolExecutor(2, "db"))
        stage.callback(release.set)
        await program.run(*(call(executor) for _ in range(9)))
        await until(lambda: executor._work_queue.qsize() == 7)
        (row,) = (each for each in program.look().rows if each.object.name == "")
        assert (row.tasks, row.objects, row.object.kind) == (9, 1, "thread pool")
        assert row.object.state == "2 of 2 threads busy, 7 calls queued"
        assert row.object.holders[0].name == "threads db"


async def test_a_queue_that_nobody_empties(program: Program) -> None:
    queue = asyncio.Queue[int](1)
    queue.put_nowait(0)
    await program.run(*(queue.put(each) for each in range(4)))
    row = program.only()
    assert (row.tasks, row.waiters, row.object.kind, row.object.state) == (4, 4, "Queue", "1 of 1")
    (holder,) = row.object.holders  # the test itself, which has the queue in a variable
    assert (holder.how, holder.waits) == ("refers to it", "running")


async def test_a_queue_whose_items_are_never_done(program: Program) -> None:
    queue = asyncio.Queue[int]()
    queue.put_nowait(0)
    await program.run(*(queue.join() for _ in range(3)))
    row = program.only()
    assert (row.tasks, row.waiters, row.object.state) == (3, 3, "1 unfinished")


async def test_classes_of_the_program_that_raise_are_counted_as_unknown(program: Program) -> None:
    class Sulking(asyncio.Future[None]):
        def done(self) -> bool:
            raise RuntimeError("done")

    pool = Pool()
    await program.run(get_ready(pool))
    loop = asyncio.get_running_loop()
    sulking = Sulking(loop=loop)

    async def wait_for_it() -> None:
        await sulking

    task = asyncio.create_task(wait_for_it())
    await asyncio.sleep(0)
    kinds = [(row.object.kind, row.tasks) for row in program.look().rows]
    task.cancel()
    await asyncio.wait([task])
    assert sorted(kinds) == [("Event", 1), ("unknown", 1)]
