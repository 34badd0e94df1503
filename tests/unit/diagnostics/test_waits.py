"""One real case of each wait, on asyncio and on uvloop."""

from __future__ import annotations

import asyncio
import collections.abc
import contextlib
import functools
import re
import socket
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from types import FrameType
from typing import Any

import aiohttp
import pytest
import websockets
from aiohttp import web

from qcfeed.diagnostics import chain, waits
from qcfeed.diagnostics.ledger import Ledger
from tests.support.patience import PATIENCE

HERE = "tests/unit/diagnostics/test_waits.py"

Stage = contextlib.AsyncExitStack
Case = Callable[[Stage], Coroutine[Any, Any, Any]]
Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    factory = None
    if request.param == "uvloop":
        reason = "uvloop is not installed; it has no wheels for this platform, or the extra is old"
        factory = pytest.importorskip("uvloop", reason=reason).new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        yield runner.run


CASES: list[Any] = []


def waits_on(expected: str) -> Callable[[Case], Case]:
    """The case waits on what matches ``expected``, at a line of its own."""

    def add(case: Case) -> Case:
        CASES.append(pytest.param(case, expected, id=case.__name__))
        return case

    return add


# ---------------------------------------------------------------- time and locks


@waits_on(r"sleeping 3,600 s")
async def sleep(_: Stage) -> None:
    await asyncio.sleep(3600)


@waits_on(r"Queue\.get \(0 of 10\)")
async def queue_get(_: Stage) -> None:
    await asyncio.Queue[int](10).get()


@waits_on(r"Queue\.get \(0 queued\)")
async def queue_get_unbounded(_: Stage) -> None:
    await asyncio.LifoQueue[int]().get()


@waits_on(r"Queue\.put \(1 of 1\)")
async def queue_put(_: Stage) -> None:
    queue = asyncio.PriorityQueue[int](1)
    await queue.put(1)
    await queue.put(2)


@waits_on(r"Queue\.join \(2 unfinished\)")
async def queue_join(_: Stage) -> None:
    queue = asyncio.Queue[int]()
    queue.put_nowait(1)
    queue.put_nowait(2)
    await queue.join()


@waits_on(r"Event\.wait \(1 waiting\)")
async def event(_: Stage) -> None:
    await asyncio.Event().wait()


@waits_on(r"Lock\.acquire \(1 waiting\)")
async def lock(_: Stage) -> None:
    held = asyncio.Lock()
    async with held, held:
        pass


@waits_on(r"Semaphore\.acquire \(1 waiting\)")
async def semaphore(_: Stage) -> None:
    held = asyncio.BoundedSemaphore(1)
    async with held, held:
        pass


@waits_on(r"Condition\.wait \(1 waiting\)")
async def condition(_: Stage) -> None:
    changed = asyncio.Condition()
    async with changed:
        await changed.wait_for(lambda: False)


@waits_on(r"Barrier\.wait \(1 of 3 waiting\)")
async def barrier(_: Stage) -> None:
    await asyncio.Barrier(3).wait()


# ---------------------------------------------------------------- futures and tasks


@waits_on(r"future")
async def future(_: Stage) -> None:
    await asyncio.get_running_loop().create_future()


def spawn(stage: Stage, seconds: float, name: str | None = None) -> asyncio.Task[None]:
    """A sleeping task that ends with the stage."""
    task = asyncio.create_task(asyncio.sleep(seconds), name=name)

    async def end() -> None:
        task.cancel()
        await asyncio.wait([task])

    stage.push_async_callback(end)
    return task


@waits_on(r"task \(pump, serial \d+\)")
async def another_task(stage: Stage) -> None:
    await spawn(stage, 3600, "pump")


@waits_on(r"gather \(1 of 2 pending\)")
async def gather(_: Stage) -> None:
    await asyncio.gather(asyncio.sleep(3600), asyncio.sleep(0))


@waits_on(r"wait \(1 of 2 pending\)")
async def wait(stage: Stage) -> None:
    await asyncio.wait([spawn(stage, seconds) for seconds in (0, 3600)])


@waits_on(r"as_completed")
async def as_completed(stage: Stage) -> None:
    for each in asyncio.as_completed([spawn(stage, 3600)]):
        await each


@waits_on(r"TaskGroup \(2 pending\)")
async def task_group(_: Stage) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(3600))
        group.create_task(asyncio.sleep(3600))


@waits_on(r"Queue\.get \(0 of 10\), timeout in [5-6]\d\.\d s")
async def wait_for(_: Stage) -> None:
    await asyncio.wait_for(asyncio.Queue[int](10).get(), 60)


@waits_on(r"future, timeout in [5-6]\d\.\d s")
async def wait_for_a_future(_: Stage) -> None:
    await asyncio.wait_for(asyncio.get_running_loop().create_future(), 60)


@waits_on(r"wait \(1 of 1 pending\), timeout in [5-6]\d\.\d s")
async def wait_with_a_timeout(stage: Stage) -> None:
    await asyncio.wait([spawn(stage, 3600)], timeout=60)


@waits_on(r"Event\.wait \(1 waiting\), timeout in [5-6]\d\.\d s")
async def the_nearest_timeout(_: Stage) -> None:
    async with asyncio.timeout(1000), asyncio.timeout(60), asyncio.timeout(None):
        await asyncio.Event().wait()


@waits_on(r"shield \(inner, serial \d+\)")
async def shield(stage: Stage) -> None:
    await asyncio.shield(spawn(stage, 3600, "inner"))


@waits_on(r"shield \(a future\)")
async def shield_of_a_future(_: Stage) -> None:
    await asyncio.shield(asyncio.get_running_loop().create_future())


# ---------------------------------------------------------------- threads


@waits_on(r"executor \(running\)")
async def executor(stage: Stage) -> None:
    release = threading.Event()
    stage.callback(release.set)
    await asyncio.get_running_loop().run_in_executor(None, release.wait)


@waits_on(r"executor \(running\)")
async def to_thread(stage: Stage) -> None:
    release = threading.Event()
    stage.callback(release.set)
    await asyncio.to_thread(release.wait)


# ---------------------------------------------------------------- sockets


def listener(stage: Stage) -> socket.socket:
    sock = stage.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
    sock.setblocking(False)
    return sock


def connected(stage: Stage) -> tuple[socket.socket, socket.socket]:
    """Two ends of a TCP connection."""
    server = stage.enter_context(socket.create_server(("127.0.0.1", 0)))
    near = stage.enter_context(socket.create_connection(server.getsockname()))
    far = stage.enter_context(server.accept()[0])
    near.setblocking(False)
    far.setblocking(False)
    return near, far


def full(stage: Stage) -> tuple[str, int]:
    """An address that neither takes a connection nor refuses it: its backlog is full."""
    where = listener(stage).getsockname()
    for _ in range(4):
        waiting = stage.enter_context(socket.socket())
        waiting.setblocking(False)
        waiting.connect_ex(where)
    return where


@waits_on(r"socket read \(127\.0\.0\.1:\d+\)")
async def sock_recv(stage: Stage) -> None:
    await asyncio.get_running_loop().sock_recv(connected(stage)[0], 10)


@waits_on(r"socket write \(127\.0\.0\.1:\d+\)")
async def sock_sendall(stage: Stage) -> None:
    await asyncio.get_running_loop().sock_sendall(connected(stage)[0], bytes(20_000_000))


@waits_on(r"socket accept \(127\.0\.0\.1:\d+\)")
async def sock_accept(stage: Stage) -> None:
    await asyncio.get_running_loop().sock_accept(listener(stage))


@waits_on(r"socket connect \(127\.0\.0\.1:\d+\)")
async def sock_connect(stage: Stage) -> None:
    sock = stage.enter_context(socket.socket())
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, full(stage))


@waits_on(r"socket connect( \(127\.0\.0\.1:\d+\))?")
async def open_connection(stage: Stage) -> None:
    await asyncio.open_connection(*full(stage))


async def streams(stage: Stage) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    near, _ = connected(stage)
    reader, writer = await asyncio.open_connection(sock=near)
    stage.callback(writer.transport.abort)
    return reader, writer


@waits_on(r"socket read \(127\.0\.0\.1:\d+\)")
async def stream_readline(stage: Stage) -> None:
    reader, _ = await streams(stage)
    await reader.readline()


@waits_on(r"socket read \(127\.0\.0\.1:\d+\), timeout in [5-6]\d\.\d s")
async def stream_readexactly(stage: Stage) -> None:
    reader, _ = await streams(stage)
    async with asyncio.timeout(60):
        await reader.readexactly(10)


@waits_on(r"socket write \(127\.0\.0\.1:\d+\)")
async def stream_drain(stage: Stage) -> None:
    _, writer = await streams(stage)
    writer.write(bytes(20_000_000))
    await writer.drain()


@waits_on(r"socket read \(.*/feed\.sock\)")
async def unix_stream(stage: Stage) -> None:
    path = f"{stage.enter_context(tempfile.TemporaryDirectory())}/feed.sock"
    server = stage.enter_context(socket.socket(socket.AF_UNIX))
    server.bind(path)
    server.listen()
    reader, writer = await asyncio.open_unix_connection(path)
    stage.callback(writer.transport.abort)
    await reader.read()


@waits_on(r"serving")
async def serve_forever(stage: Stage) -> None:
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    await stage.enter_async_context(server)
    await server.serve_forever()


# ---------------------------------------------------------------- WebSockets


async def aiohttp_server(stage: Stage, handle: Callable[[web.Request], Awaitable[Any]]) -> str:
    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    stage.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}/"


async def hold(request: web.Request) -> web.WebSocketResponse:
    connection = web.WebSocketResponse()
    await connection.prepare(request)
    async for _ in connection:
        pass
    return connection


@waits_on(r"WebSocket receive \(127\.0\.0\.1:\d+\)")
async def aiohttp_client(stage: Stage) -> None:
    url = await aiohttp_server(stage, hold)
    session = await stage.enter_async_context(aiohttp.ClientSession())
    connection = await stage.enter_async_context(session.ws_connect(url))
    await connection.receive()


@waits_on(r"WebSocket receive \(127\.0\.0\.1:\d+\)")
async def websockets_client(stage: Stage) -> None:
    async def hold_on(connection: websockets.ServerConnection) -> None:
        await connection.wait_closed()

    server = await stage.enter_async_context(websockets.serve(hold_on, "127.0.0.1", 0))
    host, port = next(iter(server.sockets)).getsockname()
    client = await stage.enter_async_context(websockets.connect(f"ws://{host}:{port}", proxy=None))
    await client.recv()


# ---------------------------------------------------------------- through generators


async def pump() -> AsyncIterator[int]:
    await asyncio.Event().wait()
    yield 1


async def pump_of_pump() -> AsyncIterator[int]:
    async for each in pump():
        yield each


# ---------------------------------------------------------------- the tests


async def until(task: asyncio.Task[Any], expected: str, *, look: Callable[..., object]) -> str:
    """What is seen of the task, as soon as it matches."""
    pattern = re.compile(expected)
    seen = ""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while not pattern.fullmatch(seen := str(look(task))):  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.001)
    assert pattern.fullmatch(seen), f"{seen!r} is no {expected!r}"
    return seen


async def watched(case: Case, expected: str, at: str = "") -> None:
    ledger = Ledger()
    ledger.install(asyncio.get_running_loop())
    async with contextlib.AsyncExitStack() as stage:
        task = asyncio.create_task(case(stage))
        where = rf" at {re.escape(HERE)}:\d+ {at or case.__name__}"
        await until(task, expected + where, look=waits.wait)
        brief = expected.partition(", timeout")[0]
        await until(task, brief + (where if brief == "future" else ""), look=waits.state)
        kind = waits.wait(task).kind
        counted = f"future in {case.__qualname__}" if kind == "future" else kind
        assert (counted, 1) in [
            one for told in waits.by_location(ledger).values() for one in told.counts
        ]
        task.cancel()
        await asyncio.wait([task])
        assert waits.state(task) == str(waits.wait(task)) == "ended"
    ledger.uninstall()


@pytest.mark.parametrize(("case", "expected"), CASES)
def test_what_a_task_waits_on(run: Run, case: Case, expected: str) -> None:
    run(watched(case, expected))


def test_an_aiohttp_handler(run: Run) -> None:
    async def scenario() -> None:
        handlers: list[asyncio.Task[Any]] = []

        async def handle(request: web.Request) -> web.WebSocketResponse:
            this = asyncio.current_task()
            assert this is not None
            handlers.append(this)
            return await hold(request)

        async with contextlib.AsyncExitStack() as stage:
            url = await aiohttp_server(stage, handle)
            session = await stage.enter_async_context(aiohttp.ClientSession())
            await stage.enter_async_context(session.ws_connect(url))
            expected = rf"WebSocket receive \(127\.0\.0\.1:\d+\) at {HERE}:\d+ hold"
            await until(handlers[0], expected, look=waits.wait)

    run(scenario())


@pytest.mark.parametrize("source", [pump, pump_of_pump])
def test_through_async_generators(run: Run, source: Callable[[], AsyncIterator[int]]) -> None:
    async def loop_over(_: Stage) -> None:
        async for _each in source():
            pass

    async def by_anext(_: Stage) -> None:
        await anext(source(), None)

    async def by_a_context_manager(stage: Stage) -> None:
        @contextlib.asynccontextmanager
        async def opened() -> AsyncIterator[int]:
            yield await anext(source())

        await stage.enter_async_context(opened())

    async def scenario() -> None:
        for case in (loop_over, by_anext, by_a_context_manager):
            await watched(case, r"Event\.wait \(1 waiting\)", at="pump")

    run(scenario())


def test_a_name_lookup(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    examined = threading.Event()
    getaddrinfo = socket.getaddrinfo

    def slow_getaddrinfo(*args: Any, **kwargs: Any) -> Any:
        assert examined.wait(PATIENCE)  # or a fast thread has the answer before the state is read
        return getaddrinfo(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", slow_getaddrinfo)  # asyncio's; uvloop has its own

    async def lookup() -> None:
        await asyncio.get_running_loop().getaddrinfo("localhost", 80)

    async def scenario() -> None:
        seen = []
        task = asyncio.create_task(lookup())
        # In the same turn of the loop as its first step, before any answer can have come.
        asyncio.get_running_loop().call_soon(lambda: seen.append(waits.state(task)))
        asyncio.get_running_loop().call_soon(examined.set)
        await task
        assert seen == ["name lookup"]

    run(scenario())


def test_tasks_that_run_are_ready_or_have_ended(run: Run) -> None:
    async def scenario() -> None:
        assert waits.state(asyncio.current_task()) == "running"
        assert str(waits.wait(asyncio.current_task())) == "running"
        woken = asyncio.get_running_loop().create_future()

        async def waiter() -> None:
            await woken

        task = asyncio.create_task(waiter())
        assert waits.state(task) == "ready"
        await asyncio.sleep(0)
        assert waits.state(task).startswith(f"future at {HERE}:")
        woken.set_result(None)
        assert waits.state(task) == str(waits.wait(task)) == "ready"
        await task
        assert waits.state(None) == str(waits.wait(None)) == "gone"

    run(scenario())


def test_a_sleep_grows_shorter_while_its_loop_has_nothing_to_do(run: Run) -> None:
    async def scenario() -> list[str]:
        task = asyncio.create_task(asyncio.sleep(60))
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        seen: list[str] = []

        def look() -> None:
            deadline = time.monotonic() + PATIENCE
            while time.monotonic() < deadline and waits.state(task) > "sleeping 59.6 s":
                time.sleep(0.01)
            seen.append(waits.state(task))
            loop.call_soon_threadsafe(ended.set)

        thread = threading.Thread(target=look)
        await asyncio.sleep(0)
        loop.call_soon(thread.start)
        await ended.wait()
        thread.join()
        task.cancel()
        await asyncio.wait([task])
        return seen

    began = time.monotonic()
    assert run(scenario()) <= ["sleeping 59.6 s"]
    assert time.monotonic() - began < PATIENCE


def test_a_task_of_a_compiled_coroutine(run: Run) -> None:
    """On uvloop the coroutine is written in C."""

    async def scenario() -> None:
        async with contextlib.AsyncExitStack() as stage:
            near, _ = connected(stage)
            task = asyncio.ensure_future(asyncio.get_running_loop().sock_recv(near, 10))
            expected = r"socket read \(127\.0\.0\.1:\d+\) at .*sock_recv"
            await until(task, expected, look=waits.wait)
            task.cancel()
            await asyncio.wait([task])

    run(scenario())


class Sulking(collections.abc.Coroutine[Any, Any, None]):
    """A coroutine that cannot be looked at."""

    def __init__(self, future: asyncio.Future[None]) -> None:
        self._inner = future.__await__()

    def send(self, value: Any) -> Any:
        return next(self._inner)

    def throw(self, *error: Any) -> Any:
        return self._inner.throw(*error)

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Any:
        raise NotImplementedError

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __repr__(self) -> str:
        raise RuntimeError("repr")


class Nameless(asyncio.Task[None]):
    def get_name(self) -> str:
        raise RuntimeError("name")

    def __repr__(self) -> str:
        raise RuntimeError("repr")


class Opaque(asyncio.Task[None]):
    def get_coro(self) -> Any:
        raise RuntimeError("coroutine")


async def test_a_task_that_cannot_be_read_is_unknown() -> None:
    loop = asyncio.get_running_loop()
    nameless = Nameless(future(contextlib.AsyncExitStack()), loop=loop)

    async def joins(task: asyncio.Task[None]) -> None:
        await task

    tasks = [
        asyncio.Task(Sulking(loop.create_future()), loop=loop),
        Opaque(future(contextlib.AsyncExitStack()), loop=loop),
        loop.create_task(joins(nameless)),
        nameless,
    ]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    seen = [waits.state(task) for task in tasks]
    kinds = [waits.wait(task).kind for task in tasks]
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    del tasks, nameless  # a failing assertion would show them, and their repr raises
    assert seen[:3] == ["unknown", "unknown", "task (?)"]
    assert seen[3].startswith("future at ")
    assert kinds == ["unknown", "unknown", "task", "future"]
    assert waits.state(object()) == "unknown"  # type: ignore[arg-type]


async def test_a_long_chain_is_described_by_the_last_link_followed() -> None:
    async def deeper(depth: int) -> None:
        if depth:
            await deeper(depth - 1)
        else:
            await asyncio.sleep(3600)

    task = asyncio.create_task(deeper(2 * chain.DEPTH))
    await asyncio.sleep(0)
    assert len(chain.links(task.get_coro())) == chain.DEPTH
    assert "deeper" in waits.state(task)
    task.cancel()
    await asyncio.wait([task])


async def test_a_function_with_only_the_name_of_another_has_no_rule() -> None:
    @functools.wraps(asyncio.sleep)
    async def sleep(*_: object) -> None:
        await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(sleep(1))
    await asyncio.sleep(0)
    assert waits.wait(task).kind == "future"
    task.cancel()
    await asyncio.wait([task])


# ---------------------------------------------------------------- summed


async def sleeper() -> None:
    await asyncio.sleep(3600)


async def getter() -> None:
    await asyncio.Queue[int]().get()


async def pender() -> None:
    await asyncio.get_running_loop().create_future()


@contextlib.asynccontextmanager
async def spawned(*coroutines: Coroutine[Any, Any, Any]) -> AsyncIterator[None]:
    """Tasks of all of them, from one location."""
    tasks = [asyncio.create_task(each) for each in coroutines]
    await asyncio.sleep(0)
    yield
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def of_spawned(ledger: Ledger, sample: int = 500, *, exact: bool = False) -> waits.Waits:
    found = waits.by_location(ledger, sample, exact=exact)
    (told,) = [told for (_, function), told in found.items() if function.startswith("spawned")]
    return told


async def test_by_location_counts_the_sampled_tasks(ledger: Ledger) -> None:
    some = [sleeper() for _ in range(30)] + [getter() for _ in range(10)] + [pender()]
    async with spawned(*some, asyncio.sleep(0)):
        await asyncio.sleep(0)  # that one has ended, and its task is still held
        assert of_spawned(ledger) == waits.Waits(
            [("sleeping", 30), ("Queue.get", 10), ("future in pender", 1)], 41
        )


async def test_exact_looks_at_all_tasks(ledger: Ledger) -> None:
    async with spawned(*(sleeper() for _ in range(900)), *(getter() for _ in range(300))):
        told = of_spawned(ledger, 101)  # one of them for the task that this test runs in
        assert told.sampled == 100
        assert sum(number for _, number in told.counts) == 100
        assert 50 <= dict(told.counts)["sleeping"] <= 95  # 75 on average; never that far off
        assert of_spawned(ledger, 101, exact=True) == waits.Waits(
            [("sleeping", 900), ("Queue.get", 300)], 1200
        )


async def test_small_locations_are_sampled_whole_and_large_ones_share_the_rest(
    ledger: Ledger,
) -> None:
    few = [asyncio.create_task(getter()) for _ in range(3)]
    many = [asyncio.create_task(sleeper()) for _ in range(500)]
    more = [asyncio.create_task(sleeper()) for _ in range(400)]
    await asyncio.sleep(0)
    found = waits.by_location(ledger, 104)
    for task in few + many + more:
        task.cancel()
    await asyncio.wait(few + many + more)
    assert sorted(told.sampled for told in found.values()) == [1, 3, 50, 50]
    assert waits.Waits([("Queue.get", 3)], 3) in found.values()


async def test_further_kinds_are_counted_as_other(ledger: Ledger) -> None:
    stage = contextlib.AsyncExitStack()
    kinds = [sleep, queue_get, event, lock, semaphore, condition, barrier]
    async with spawned(*(case(stage) for case in kinds)):
        told = of_spawned(ledger)
    assert len(told.counts) == waits.TOP + 1
    assert told.counts[-1] == ("other", 2)
    assert told.sampled == 7


@pytest.mark.skipif(sys.gettrace() is not None, reason="a tracer creates a frame object per call")
async def test_exact_counts_leave_no_frame_objects(ledger: Ledger) -> None:
    """Once made, a frame object stays with its coroutine until that has ended."""

    def frames(task: asyncio.Task[None]) -> int:
        return sum(isinstance(thing, FrameType) for thing in chain.held(task.get_coro()))

    task = asyncio.create_task(pender())
    await asyncio.sleep(0)
    waits.by_location(ledger, exact=True)
    assert frames(task) == 0
    waits.wait(task)
    if sys.version_info < (3, 12):  # where the garbage collector is shown it
        assert frames(task) == 1
    task.cancel()
    await asyncio.wait([task])


def test_how_long_a_task_sleeps_in_all(run: Run) -> None:
    async def scenario() -> list[waits.Sleep | None]:
        tasks = [
            asyncio.create_task(asyncio.sleep(60)),
            asyncio.create_task(asyncio.sleep(500.5, result=7.0)),
            asyncio.create_task(asyncio.Event().wait()),
        ]
        await asyncio.sleep(0.01)
        seen = [waits.sleep(each) for each in (*tasks, None)]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return seen

    long, short, *others = run(scenario())
    assert long is not None
    assert short is not None
    assert long.whole_s == 60
    assert 0 < long.left_s < 60
    assert short.whole_s == 500.5
    assert others == [None, None]


# ---------------------------------------------------------------- mentions


async def test_a_word_is_matched_without_line_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def pump() -> None:
        await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(pump())
    await asyncio.sleep(0)
    place = waits.state(task).partition(" at ")[2]
    line = place.split()[0].rpartition("/")[2]
    assert waits.mentions(task, line)
    assert waits.mentions(task, line.replace(".py", ".PY"))

    def looked_up(_: object) -> str:
        raise AssertionError("a frame object would stay with each task")

    monkeypatch.setattr(waits, "own_line", looked_up)
    for word in ("future", "FUT", "pump", "test_waits.py"):
        assert waits.mentions(task, word)
    assert not waits.mentions(task, "sleeping")
    assert not waits.mentions(None, "future")
    assert waits.mentions(None, "gone")
    task.cancel()
    await asyncio.wait([task])
    assert waits.mentions(task, "ended")
