"""Futures that nobody will complete are found, and none that somebody may is taken for one."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import gc
import queue
import socket
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from typing import Any

import aiohttp
import anyio
import pytest
import uvloop
from aiohttp import web

from qcfeed.diagnostics import abandoned
from qcfeed.diagnostics.abandoned import OtherHolders, only_its_own
from qcfeed.diagnostics.ledger import Ledger

pytestmark = pytest.mark.skipif(
    not abandoned.IS_RELIABLE, reason="cannot be told on this interpreter"
)

Future = asyncio.Future[None]
Case = Callable[["Stage"], Awaitable[Any]]


class Stage:
    """What a case may leave behind: ``kept`` holds things, ``weakly`` does not, ``last`` undoes."""

    def __init__(self) -> None:
        self.kept: list[Any] = []
        self.weakly: weakref.WeakValueDictionary[int, Future] = weakref.WeakValueDictionary()
        self.last = contextlib.AsyncExitStack()

    def spawn(self, coroutine: Any) -> asyncio.Task[Any]:
        self.kept.append(task := asyncio.get_running_loop().create_task(coroutine))
        return task


def future() -> Future:
    return asyncio.get_running_loop().create_future()


@pytest.fixture(params=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> Generator[asyncio.Runner]:
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        yield runner


def told(runner: asyncio.Runner, case: Case) -> OtherHolders | None:
    """The result for the task of a case, the same from its loop's thread and from another thread."""

    async def play() -> OtherHolders | None:
        ledger = Ledger()
        ledger.install(asyncio.get_running_loop())
        stage = Stage()
        async with stage.last:
            task = asyncio.create_task(case(stage), name="case")
            for _ in range(20):
                await asyncio.sleep(0.001)
            here = abandoned.other_holders(task)
            assert not task.done()
            assert await asyncio.to_thread(abandoned.other_holders, task) is here
            for each in [task, *(one for one in stage.kept if isinstance(one, asyncio.Task))]:
                each.cancel()
            await asyncio.wait([task])
            await asyncio.gather(*(
                each for each in stage.kept if isinstance(each, asyncio.Task)
            ), return_exceptions=True)  # fmt: skip
        ledger.uninstall()
        return here

    return runner.run(play())


# ---------------------------------------------------------------- nobody


async def forgotten_by_a_registry(stage: Stage) -> None:
    pending = {1: future()}
    waiting = pending[1]
    pending.clear()
    await waiting


async def forgotten_by_the_caller(stage: Stage) -> None:
    async def wait_for_reply(reply: Future) -> None:
        await reply

    await wait_for_reply(future())


async def forgotten_in_a_generator(stage: Stage) -> None:
    async def replies() -> AsyncIterator[None]:
        reply = future()
        yield await reply

    async for _ in replies():
        pass


async def forgotten_in_an_awaitable(stage: Stage) -> None:
    class Reply:
        def __await__(self) -> Generator[Any, None, None]:
            reply = future()
            yield from reply

    await Reply()


async def its_timer_was_cancelled(stage: Stage) -> None:
    reply = future()
    asyncio.get_running_loop().call_later(3600, reply.set_result, None).cancel()
    await reply


async def its_owner_is_gone(stage: Stage) -> None:
    class Connection:
        def __init__(self) -> None:
            self.reply = future()

    connection = Connection()
    reply = connection.reply
    del connection
    await reply


async def behind_a_task(stage: Stage) -> None:
    """This task waits for another task, so that other task is reported instead."""
    await forgotten_by_the_caller(stage)


@pytest.mark.parametrize(
    "case",
    [
        forgotten_by_a_registry,
        forgotten_by_the_caller,
        forgotten_in_a_generator,
        forgotten_in_an_awaitable,
        its_timer_was_cancelled,
        its_owner_is_gone,
        behind_a_task,
    ],
)
def test_a_future_that_only_its_task_holds_is_abandoned(runner: asyncio.Runner, case: Case) -> None:
    assert told(runner, case) is OtherHolders.NOBODY


async def held_weakly(stage: Stage) -> None:
    reply = future()
    stage.weakly[1] = reply
    await reply


def test_a_weakly_referenced_future_is_held_weakly(runner: asyncio.Runner) -> None:
    assert told(runner, held_weakly) is OtherHolders.WEAKLY


# ---------------------------------------------------------------- somebody, or left alone


async def held_by_a_timer(stage: Stage) -> None:
    reply = future()
    stage.kept.append(asyncio.get_running_loop().call_later(3600, reply.set_result, None))
    await reply


async def held_by_a_closure(stage: Stage) -> None:
    reply = future()

    def answer() -> None:
        reply.set_result(None)

    stage.kept.append(answer)
    await reply


async def held_by_a_partial(stage: Stage) -> None:
    reply = future()
    stage.kept.append(functools.partial(print, reply))
    await reply


async def held_by_a_bound_method(stage: Stage) -> None:
    reply = future()
    stage.kept.append(reply.set_result)
    await reply


async def held_by_a_c_queue(stage: Stage) -> None:
    reply = future()
    stage.kept.append(replies := queue.SimpleQueue[Future]())
    replies.put(reply)
    await reply


async def held_by_an_iterator_in_c(stage: Stage) -> None:
    reply = future()
    stage.kept.append(map(print, (reply,)))
    await reply


async def held_by_a_dict(stage: Stage) -> None:
    reply = future()
    stage.kept.append({reply: 1})
    await reply


async def held_by_a_thread(stage: Stage) -> None:
    reply = future()
    over = threading.Event()
    loop = asyncio.get_running_loop()
    thread = threading.Thread(
        target=lambda mine: over.wait(20) and loop.call_soon_threadsafe(mine.cancel),
        args=(reply,),
        daemon=True,
    )
    thread.start()
    stage.last.callback(thread.join)  # before the loop is closed, which the thread still calls
    stage.last.callback(over.set)
    await reply


async def held_by_a_reader(stage: Stage) -> None:
    reply = future()
    ours, theirs = socket.socketpair()
    stage.last.callback(ours.close)
    stage.last.callback(theirs.close)
    loop = asyncio.get_running_loop()
    loop.add_reader(ours, reply.set_result, None)
    stage.last.callback(loop.remove_reader, ours)
    await reply


async def in_an_executor(stage: Stage) -> None:
    over = threading.Event()
    stage.last.callback(over.set)
    waiting = asyncio.get_running_loop().run_in_executor(None, over.wait, 20)
    await waiting


async def queued_in_an_executor(stage: Stage) -> None:
    over = threading.Event()
    pool = concurrent.futures.ThreadPoolExecutor(1)
    stage.last.callback(pool.shutdown)
    stage.last.callback(over.set)
    pool.submit(over.wait, 20)
    waiting = asyncio.get_running_loop().run_in_executor(pool, print)
    await waiting


async def wrapped(stage: Stage) -> None:
    stage.kept.append(theirs := concurrent.futures.Future[None]())
    mine = asyncio.wrap_future(theirs)
    await mine


async def to_thread(stage: Stage) -> None:
    over = threading.Event()
    stage.last.callback(over.set)
    await asyncio.to_thread(over.wait, 20)


async def on_a_queue(stage: Stage) -> None:
    stage.kept.append(waiting := asyncio.Queue[int]())
    await waiting.get()


async def on_a_queue_of_its_own(stage: Stage) -> None:
    await asyncio.Queue[int]().get()


async def on_a_lock(stage: Stage) -> None:
    lock = asyncio.Lock()
    await lock.acquire()
    await lock.acquire()


async def on_an_event(stage: Stage) -> None:
    await asyncio.Event().wait()


async def on_a_condition(stage: Stage) -> None:
    async with (condition := asyncio.Condition()):
        await condition.wait()


async def on_a_semaphore(stage: Stage) -> None:
    await asyncio.Semaphore(0).acquire()


async def on_a_barrier(stage: Stage) -> None:
    await asyncio.Barrier(2).wait()


async def asleep(stage: Stage) -> None:
    await asyncio.sleep(3600)


async def asleep_for_ever(stage: Stage) -> None:
    await anyio.sleep_forever()


async def gathered(stage: Stage) -> None:
    both = asyncio.gather(forgotten_by_the_caller(stage), asyncio.sleep(3600))
    await both


async def shielded(stage: Stage) -> None:
    inner = stage.spawn(asyncio.sleep(3600))
    outer = asyncio.shield(inner)
    await outer


async def waited_for(stage: Stage) -> None:
    await asyncio.wait([stage.spawn(asyncio.sleep(3600))])


async def first_of_several(stage: Stage) -> None:
    for each in asyncio.as_completed([stage.spawn(asyncio.sleep(3600))]):
        await each


async def in_a_group(stage: Stage) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(3600))


async def for_a_task(stage: Stage) -> None:
    await stage.spawn(asyncio.sleep(3600))


async def under_a_timeout(stage: Stage) -> None:
    async with asyncio.timeout(3600):
        await forgotten_by_the_caller(stage)


async def under_a_timeout_without_end(stage: Stage) -> None:
    """It may be given one at any time (``reschedule``)."""
    async with asyncio.timeout(None):
        await forgotten_by_the_caller(stage)


async def waited_for_with_a_limit(stage: Stage) -> None:
    reply = future()
    await asyncio.wait_for(reply, 3600)


async def under_a_cancel_scope(stage: Stage) -> None:
    with anyio.move_on_after(3600):
        await forgotten_by_the_caller(stage)


async def under_a_cancel_scope_in_a_generator(stage: Stage) -> None:
    with anyio.fail_after(3600):
        await forgotten_by_the_caller(stage)


async def for_its_own_cancellation(stage: Stage) -> None:
    await asyncio.Future()


async def on_a_stream(stage: Stage) -> None:
    ours, theirs = socket.socketpair()
    stage.kept.append(theirs)
    stage.last.callback(theirs.close)
    reader, writer = await asyncio.open_connection(sock=ours)
    stage.last.callback(writer.close)
    await reader.readline()


async def on_a_full_stream(stage: Stage) -> None:
    ours, theirs = socket.socketpair()
    stage.kept.append(theirs)
    stage.last.callback(theirs.close)
    _, writer = await asyncio.open_connection(sock=ours)
    stage.last.callback(writer.transport.abort)
    writer.write(bytes(8_000_000))
    await writer.drain()


async def on_a_socket(stage: Stage) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    for each in (ours, theirs):
        stage.last.callback(each.close)
    await asyncio.get_running_loop().sock_recv(ours, 1)


async def on_a_subprocess(stage: Stage) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "input()", stdin=asyncio.subprocess.PIPE
    )

    async def end() -> None:
        process.kill()
        await process.wait()

    stage.last.push_async_callback(end)
    await process.wait()


async def on_aiohttp(stage: Stage) -> None:
    """A client that waits for an answer, which its server does not give."""

    over = asyncio.Event()

    async def silent(_: web.Request) -> web.Response:
        await over.wait()
        return web.Response()

    app = web.Application()
    app.router.add_get("/", silent)
    site = web.AppRunner(app, shutdown_timeout=0.0)
    await site.setup()
    stage.last.push_async_callback(site.cleanup)
    listening = web.TCPSite(site, "127.0.0.1", 0)
    await listening.start()
    port = site.addresses[0][1]
    session = aiohttp.ClientSession()
    stage.last.push_async_callback(session.close)
    stage.last.callback(over.set)
    await session.get(f"http://127.0.0.1:{port}/", timeout=aiohttp.ClientTimeout(total=None))


async def on_a_websocket(stage: Stage) -> None:
    async def silent(request: web.Request) -> web.WebSocketResponse:
        socket_ = web.WebSocketResponse()
        await socket_.prepare(request)
        await socket_.receive()
        return socket_

    app = web.Application()
    app.router.add_get("/", silent)
    site = web.AppRunner(app, shutdown_timeout=0.0)
    await site.setup()
    stage.last.push_async_callback(site.cleanup)
    await web.TCPSite(site, "127.0.0.1", 0).start()
    session = aiohttp.ClientSession()
    stage.last.push_async_callback(session.close)
    socket_ = await session.ws_connect(f"http://127.0.0.1:{site.addresses[0][1]}/")
    stage.last.push_async_callback(socket_.close)
    await socket_.receive()


async def a_generator_that_is_asked_elsewhere(stage: Stage) -> None:
    async def replies() -> AsyncIterator[None]:
        while True:
            stage.kept.append(reply := future())
            yield await reply

    async for _ in replies():
        pass


async def a_future_of_another_kind(stage: Stage) -> None:
    class Reply(asyncio.Future[None]):
        pass

    reply = Reply()
    await reply


async def to_be_cancelled(stage: Stage) -> None:
    """A task that was cancelled and is cleaning up."""
    try:
        asyncio.current_task().cancel()
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        await forgotten_by_the_caller(stage)


SOMEBODY = [
    held_by_a_timer,
    held_by_a_closure,
    held_by_a_partial,
    held_by_a_bound_method,
    held_by_a_c_queue,
    held_by_an_iterator_in_c,
    held_by_a_dict,
    held_by_a_thread,
    held_by_a_reader,
    in_an_executor,
    queued_in_an_executor,
    wrapped,
    to_thread,
    on_a_queue,
    on_a_queue_of_its_own,
    on_a_lock,
    on_an_event,
    on_a_condition,
    on_a_semaphore,
    on_a_barrier,
    asleep,
    asleep_for_ever,
    gathered,
    shielded,
    waited_for,
    first_of_several,
    in_a_group,
    for_a_task,
    under_a_timeout,
    under_a_timeout_without_end,
    waited_for_with_a_limit,
    under_a_cancel_scope,
    under_a_cancel_scope_in_a_generator,
    for_its_own_cancellation,
    on_a_stream,
    on_a_full_stream,
    on_a_socket,
    on_a_subprocess,
    on_aiohttp,
    on_a_websocket,
    a_generator_that_is_asked_elsewhere,
    a_future_of_another_kind,
    to_be_cancelled,
]


@pytest.mark.parametrize("case", SOMEBODY)
def test_a_future_with_another_holder_is_not_abandoned(runner: asyncio.Runner, case: Case) -> None:
    assert told(runner, case) is None


def test_the_main_task_is_left_alone(runner: asyncio.Runner) -> None:
    async def main() -> OtherHolders | None:
        this = asyncio.current_task()
        stop = future()
        found: list[OtherHolders | None] = []

        async def look() -> None:
            found.append(abandoned.other_holders(this))
            this.cancel()

        looking = asyncio.create_task(look())
        # Nobody else has it from here on.
        try:
            await stop
        except asyncio.CancelledError:
            this.uncancel()
        await looking
        return found[0]

    assert runner.run(main()) is None


def test_a_timeout_of_an_awaiter_may_end_the_wait(runner: asyncio.Runner) -> None:
    async def case(stage: Stage) -> None:
        stage.kept.append(inner := asyncio.create_task(forgotten_by_the_caller(stage)))

        async def waiting() -> None:
            async with asyncio.timeout(3600):
                await inner

        stage.spawn(waiting())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        stage.kept.append(abandoned.other_holders(inner))
        await asyncio.sleep(3600)

    async def play() -> None:
        stage = Stage()
        task = asyncio.create_task(case(stage))
        while all(isinstance(each, asyncio.Task) for each in stage.kept):  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert [each for each in stage.kept if not isinstance(each, asyncio.Task)] == [None]
        for each in (task, *stage.kept):
            if isinstance(each, asyncio.Task):
                each.cancel()
        await asyncio.wait([each for each in (task, *stage.kept) if each is not None])

    runner.run(play())


def test_the_check_keeps_no_reference(runner: asyncio.Runner) -> None:
    async def play() -> None:
        stage = Stage()
        task = asyncio.create_task(forgotten_by_a_registry(stage))
        await asyncio.sleep(0)
        waiter = weakref.ref(task._fut_waiter)
        for _ in range(3):
            assert abandoned.other_holders(task) is OtherHolders.WEAKLY
        task.cancel()
        await asyncio.wait([task])
        del task
        gc.collect()
        assert waiter() is None

    runner.run(play())


@pytest.mark.parametrize("odd", [None, object(), 7])
def test_a_future_that_is_no_task_has_no_holders(odd: Any) -> None:
    assert abandoned.other_holders(odd) is None


# ------------------------------------------------- objects that only the waiting task refers to


async def get_from(queue: asyncio.Queue[int]) -> None:
    await queue.get()


async def wait_for_event(event: asyncio.Event) -> None:
    while True:
        await event.wait()


async def put_twice(queue: asyncio.Queue[int]) -> None:
    await queue.put(1)
    await queue.put(2)


async def acquire_twice(lock: asyncio.Lock) -> None:
    await lock.acquire()
    async with lock:
        pass


async def notified(condition: asyncio.Condition) -> None:
    async with condition:
        await condition.wait()


async def no_longer_than(event: asyncio.Event) -> None:
    async with asyncio.timeout(600):
        await event.wait()


OWN: dict[str, tuple[Callable[[Any], Coroutine[Any, Any, None]], Callable[[], Any]]] = {
    "queue": (get_from, asyncio.Queue),
    "full queue": (put_twice, lambda: asyncio.Queue(1)),
    "event": (wait_for_event, asyncio.Event),
    "lock": (acquire_twice, asyncio.Lock),
    "condition": (notified, asyncio.Condition),
}


async def is_its_own(coroutine: Coroutine[Any, Any, None]) -> bool:
    task = asyncio.create_task(coroutine)
    await asyncio.sleep(0)
    found = only_its_own(task)
    task.cancel()
    await asyncio.wait([task])
    return found


@pytest.mark.parametrize("kind", OWN)
async def test_nothing_else_refers_to_the_object_that_a_task_waits_for(kind: str) -> None:
    function, make = OWN[kind]
    assert await is_its_own(function(make()))


@pytest.mark.parametrize("kind", OWN)
async def test_whatever_keeps_the_object_may_wake_the_task(kind: str) -> None:
    function, make = OWN[kind]
    kept = make()
    assert not await is_its_own(function(kept))
    inside = {"deep": [make()]}
    assert not await is_its_own(function(inside["deep"][0]))


async def test_a_timeout_ends_a_wait_for_an_object_of_its_own() -> None:
    assert not await is_its_own(no_longer_than(asyncio.Event()))


async def test_a_task_that_waits_for_no_object_has_none_of_its_own() -> None:
    assert not await is_its_own(asyncio.sleep(600))
    assert not only_its_own(asyncio.current_task())
    assert not only_its_own(None)
