"""One real case of each object that a task can wait for, on asyncio and on uvloop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import socket
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

import pytest

from qcfeed.diagnostics import waits
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.wait_objects import WaitObject, wait_object

HERE = "tests/unit/diagnostics/test_wait_objects.py"
Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    factory = None
    if request.param == "uvloop":
        factory = pytest.importorskip("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        yield runner.run


async def waiting(*coroutines: Awaitable[Any]) -> list[asyncio.Task[Any]]:
    """Tasks of these coroutines, once all of them wait."""

    async def wrapper(coroutine: Awaitable[Any]) -> None:
        await coroutine

    tasks = [asyncio.create_task(wrapper(each)) for each in coroutines]
    await until(lambda: all(waits.kind(task) not in ("ready", "running") for task in tasks))
    return tasks


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until a condition holds, which the test's own timeout limits."""
    while not condition():  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0)


async def end(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def look(coroutine: Awaitable[Any]) -> WaitObject:
    (task,) = await waiting(coroutine)
    found = wait_object(task)
    await end(task)
    assert found is not None
    return found


# ---------------------------------------------------------------- locks and queues


class Pool:
    """Something that a program has, with what its tasks wait for."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.lock = asyncio.Lock()
        self.semaphore = asyncio.BoundedSemaphore(1)
        self.condition = asyncio.Condition()
        self.barrier = asyncio.Barrier(3)
        self.queue = asyncio.Queue[int](2)

    async def wait_for_event(self) -> None:
        await self.event.wait()

    async def wait_for_lock(self) -> None:
        async with self.lock:
            await asyncio.sleep(3600)

    async def wait_for_semaphore(self) -> None:
        async with self.semaphore:
            await asyncio.sleep(3600)

    async def wait_for_condition(self) -> None:
        async with self.condition:
            await self.condition.wait()

    async def wait_for_barrier(self) -> None:
        await self.barrier.wait()

    async def wait_for_queue(self) -> None:
        await self.queue.get()


@pytest.mark.parametrize(
    ("word", "kind", "state"),
    [
        ("event", "Event", "2 waiting"),
        ("condition", "Condition", "2 waiting"),
        ("barrier", "Barrier", "2 of 3 waiting"),
        ("queue", "Queue", "0 of 2"),
    ],
)
def test_two_tasks_wait_for_one_object(run: Run, word: str, kind: str, state: str) -> None:
    async def case() -> None:
        pool, other = Pool(), Pool()
        one, two = await waiting(*(getattr(pool, f"wait_for_{word}")() for _ in range(2)))
        (three,) = await waiting(getattr(other, f"wait_for_{word}")())
        first, second, third = (wait_object(task) for task in (one, two, three))
        assert first is not None
        assert first == second
        assert third is not None
        assert (first.kind, first.name, first.state) == (kind, f"Pool.{word}", state)
        assert (first.kind, third.kind) == (third.kind, kind)
        assert first.number not in (None, third.number)
        assert str(first) == f"{kind} {first.number} (Pool.{word})"
        assert first.at.startswith(f"{HERE}:")
        assert first.at.endswith(f"Pool.wait_for_{word}")
        await end(one, two, three)

    run(case())


@pytest.mark.parametrize(
    ("word", "kind", "state"),
    [("lock", "Lock", "locked, 1 waiting"), ("semaphore", "Semaphore", "0 free, 1 waiting")],
)
def test_a_lock_says_whether_it_is_taken(run: Run, word: str, kind: str, state: str) -> None:
    async def case() -> None:
        pool = Pool()
        holder, waiter = await waiting(*(getattr(pool, f"wait_for_{word}")() for _ in range(2)))
        found = wait_object(waiter)
        assert found is not None
        assert (found.kind, found.name, found.state) == (kind, f"Pool.{word}", state)
        timer = wait_object(holder)
        assert timer is not None
        assert (timer.kind, timer.number, timer.holders) == ("timer", None, ())
        await end(holder, waiter)

    run(case())


def test_a_notified_task_waits_for_the_lock_of_its_condition(run: Run) -> None:
    async def case() -> None:
        pool = Pool()
        (notified,) = await waiting(pool.wait_for_condition())

        async def notify() -> None:
            async with pool.condition:
                pool.condition.notify()
                await asyncio.sleep(3600)

        (notifier,) = await waiting(notify())
        await asyncio.sleep(0)
        found = wait_object(notified)
        assert found is not None
        assert (found.kind, found.state) == ("Lock", "locked, 1 waiting")
        await end(notified, notifier)

    run(case())


def test_a_wait_for_looks_through_to_the_object(run: Run) -> None:
    async def case() -> None:
        pool = Pool()
        (task,) = await waiting(asyncio.wait_for(pool.wait_for_event(), 3600))
        await until(lambda: waits.kind(task) == "Event.wait")
        assert str(wait_object(task)).endswith("(Pool.event)")
        await end(task)

    run(case())


# ---------------------------------------------------------------- futures and tasks


async def sleep_long() -> None:
    await asyncio.sleep(3600)


async def test_an_awaited_task_is_its_serial_and_its_own_wait(ledger: Ledger) -> None:
    awaited = asyncio.create_task(sleep_long(), name="pump")
    await asyncio.sleep(0)
    found = await look(awaited)
    (holder,) = found.holders
    assert found.kind == "task"
    assert found.number == holder.serial
    assert (holder.how, holder.name) == ("is awaited", "pump")
    assert holder.location.startswith(f"{HERE}:")
    assert holder.waits.startswith("sleeping ")
    await end(awaited)


def test_a_future_has_a_number_once_a_second_task_waits(run: Run) -> None:
    async def case() -> None:
        future = asyncio.get_running_loop().create_future()
        (one,) = await waiting(future)
        alone = wait_object(one)
        (two,) = await waiting(future)
        first, second = wait_object(one), wait_object(two)
        assert alone is not None
        assert (alone.kind, alone.number) == ("future", None)
        assert first is not None
        assert second is not None
        assert (first.kind, first.number) == (second.kind, second.number)
        assert first.number is not None
        await end(one, two)

    run(case())


async def wait_for_both(*tasks: asyncio.Task[Any]) -> None:
    await asyncio.wait(tasks)


async def gather_both(*tasks: asyncio.Task[Any]) -> None:
    await asyncio.gather(*tasks)


@pytest.mark.parametrize(("both", "kind"), [(wait_for_both, "wait"), (gather_both, "gather")])
async def test_of_several_the_only_pending_one_is_the_object(
    ledger: Ledger, both: Callable[..., Awaitable[None]], kind: str
) -> None:
    one, two = (asyncio.create_task(sleep_long(), name=name) for name in ("one", "two"))
    (waiter,) = await waiting(both(one, two))
    found = wait_object(waiter)
    assert found is not None
    assert (found.kind, found.number, found.state) == (kind, None, "2 of 2 pending")
    assert {holder.name for holder in found.holders} == {"one", "two"}
    assert {holder.serial for holder in found.holders} == {
        waits.wait_rules.serial(task) for task in (one, two)
    }
    await end(one, two, waiter)

    done = asyncio.create_task(asyncio.sleep(0))
    await done
    last = asyncio.create_task(sleep_long(), name="last")
    found = await look(both(done, last))
    assert found.kind == "task"
    assert [holder.name for holder in found.holders] == ["last"]
    await end(last)


async def test_a_task_group_waits_for_its_tasks(ledger: Ledger) -> None:
    async def group() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(sleep_long(), name="a")
            tasks.create_task(sleep_long(), name="b")

    found = await look(group())
    assert (found.kind, found.state) == ("TaskGroup", "2 pending")
    assert {holder.name for holder in found.holders} == {"a", "b"}


async def test_behind_a_shield_is_the_shielded_task(ledger: Ledger) -> None:
    inner = asyncio.create_task(sleep_long(), name="inner")
    found = await look(asyncio.shield(inner))
    assert (found.kind, found.holders[0].name) == ("task", "inner")
    await end(inner)


async def test_a_task_that_runs_or_is_gone_waits_for_nothing() -> None:
    done = asyncio.create_task(asyncio.sleep(0))
    await done
    assert wait_object(done) is None
    assert wait_object(asyncio.current_task()) is None
    assert wait_object(None) is None


async def test_what_cannot_be_read_raises_nothing() -> None:
    class Sulking(asyncio.Task[None]):
        def get_coro(self) -> Any:
            raise RuntimeError("coroutine")

    task = Sulking(sleep_long(), loop=asyncio.get_running_loop())
    await asyncio.sleep(0)
    assert wait_object(task) is None
    await end(task)


# ---------------------------------------------------------------- threads


def block(release: threading.Event) -> None:
    release.wait()


def test_a_full_thread_pool_says_so_and_where_its_threads_are(run: Run) -> None:
    async def case() -> None:
        loop, release = asyncio.get_running_loop(), threading.Event()
        with (
            concurrent.futures.ThreadPoolExecutor(2, "db") as full,
            concurrent.futures.ThreadPoolExecutor(2, "idle") as idle,
        ):
            idle.submit(int).result()
            calls = [loop.run_in_executor(full, block, release) for _ in range(5)]
            tasks = await waiting(*calls)
            await until(lambda: full._work_queue.qsize() == 3)  # both threads have taken one
            found = wait_object(tasks[-1])
            release.set()
            await asyncio.gather(*tasks)
        assert found is not None
        assert found.kind == "thread pool"
        assert found.number is not None
        assert found.state == "2 of 2 threads busy, 3 calls queued"
        (holder,) = found.holders
        assert (holder.how, holder.name) == ("runs", "threads db")
        assert f"{HERE}:" in holder.waits
        assert holder.waits.endswith("block (2 of 2 threads)")

    run(case())


def test_a_running_call_of_one_of_two_pools_is_not_attributed(run: Run) -> None:
    async def case() -> None:
        loop, release = asyncio.get_running_loop(), threading.Event()
        with (
            concurrent.futures.ThreadPoolExecutor(1) as one,
            concurrent.futures.ThreadPoolExecutor(1) as two,
        ):
            two.submit(block, release)
            call = loop.run_in_executor(one, block, release)
            for each in (one, two):
                await until(lambda pool=each: not pool._work_queue.qsize())  # its thread has it
            (task,) = await waiting(call)
            found = wait_object(task)
            release.set()
            await task
        assert found is not None
        assert (found.kind, found.state, found.holders) == ("executor call", "running", ())

    run(case())


# ---------------------------------------------------------------- sockets


def test_a_socket_and_a_stream_are_sockets_with_their_peer(run: Run) -> None:
    async def case() -> None:
        near, far = socket.socketpair()
        with near, far:
            near.setblocking(False)
            found = await look(asyncio.get_running_loop().sock_recv(near, 1))
        assert found.kind == "socket"
        assert found.number is not None
        server = await asyncio.start_server(lambda _, w: w.close(), "127.0.0.1", 0)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            host, port = silent.getsockname()
            reader, writer = await asyncio.open_connection(host, port)
            found = await look(reader.read())
            assert (found.kind, found.state) == ("socket", f"{host}:{port}")
            writer.close()
        server.close()

    run(case())


@pytest.mark.parametrize("number", [1, 100])
async def test_a_number_is_never_used_again(number: int) -> None:
    numbers = []
    for _ in range(number):
        pool = Pool()
        numbers.append((await look(pool.wait_for_event())).number)
        del pool
    assert len(set(numbers)) == number
