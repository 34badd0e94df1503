"""The connections that a task holds are found, on asyncio and on uvloop, with their state."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import websockets
from aiohttp import web

from qcfeed.diagnostics import connections as module
from qcfeed.diagnostics import references
from qcfeed.diagnostics.connections import (
    HeldConnectionState,
    connections,
)
from tests.support.certificate import of_localhost

Stage = contextlib.AsyncExitStack
Run = Callable[[Coroutine[Any, Any, Any]], Any]
OPEN, PEER_CLOSED, CLOSED = (
    HeldConnectionState.OPEN,
    HeldConnectionState.PEER_CLOSED,
    HeldConnectionState.CLOSED,
)


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    factory = None
    if request.param == "uvloop":
        factory = pytest.importorskip("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        yield runner.run


class Session:
    """What a program has around a connection."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection


async def hold(thing: Any, further: Any = None) -> None:
    await asyncio.sleep(3600)


async def started(stage: Stage, coroutine: Awaitable[Any]) -> asyncio.Task[Any]:
    """A task that has run until its first wait; it ends with the stage."""
    task = asyncio.ensure_future(coroutine)
    assert isinstance(task, asyncio.Task)

    async def end() -> None:
        task.cancel()
        await asyncio.wait([task])

    stage.push_async_callback(end)
    await asyncio.sleep(0)
    return task


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until a condition holds, which the test's own timeout limits."""
    while not condition():  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0.001)


async def streams(stage: Stage) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, socket.socket]:
    """A stream, and the plain socket at its other end."""
    server = stage.enter_context(socket.create_server(("127.0.0.1", 0)))
    reader, writer = await asyncio.open_connection(*server.getsockname())
    far = stage.enter_context(server.accept()[0])

    async def close() -> None:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    stage.push_async_callback(close)
    return reader, writer, far


def told(task: asyncio.Task[Any]) -> list[tuple[str, HeldConnectionState, int]]:
    return [(each.peer, each.state, each.distance) for each in connections(task)]


# ---------------------------------------------------------------- where they are found


def test_in_a_variable_and_two_attributes_deep(run: Run) -> None:
    async def case() -> None:
        async with Stage() as stage:
            reader, writer, far = await streams(stage)
            peer = "{}:{}".format(*far.getsockname())
            expected = [
                (writer.transport, 0),
                (reader, 1),
                (writer, 1),
                (Session(writer), 2),
                (Session([1, writer]), 2),
                (Session({"main": writer}), 2),
                (Session(Session(writer)), 3),
            ]
            for thing, distance in expected:
                assert told(await started(stage, hold(thing))) == [(peer, OPEN, distance)]
            deep = await started(stage, hold(Session(Session(Session(writer)))))
            assert told(deep) == []

    run(case())


def test_one_connection_has_one_number_however_it_is_held(run: Run) -> None:
    async def case() -> None:
        async with Stage() as stage:
            reader, writer, _ = await streams(stage)
            _, other, _ = await streams(stage)
            things = (reader, writer, writer.transport, Session(writer), (reader, writer))
            numbers = [
                [each.number for each in connections(await started(stage, hold(thing)))]
                for thing in (*things, other)
            ]
            assert numbers[:-1] == [numbers[0]] * len(things)
            assert len(numbers[0]) == 1
            assert numbers[-1] != numbers[0]

    run(case())


def test_a_plain_socket(run: Run) -> None:
    async def case() -> None:
        near, far = socket.socketpair()
        with near, far:
            async with Stage() as stage:
                task = await started(stage, hold(near))
                assert told(task) == [("", OPEN, 0)]
                far.close()
                assert told(task) == [("", PEER_CLOSED, 0)]
                near.close()
                assert told(task) == [("", CLOSED, 0)]

    run(case())


def test_what_listens_or_is_not_connected_is_no_connection(run: Run) -> None:
    async def case() -> None:
        async with Stage() as stage:
            listening = stage.enter_context(socket.create_server(("127.0.0.1", 0)))
            fresh = stage.enter_context(socket.socket())
            datagrams = stage.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
            loop = asyncio.get_running_loop()
            for thing in (listening, fresh, datagrams, server, loop, Session(loop)):
                assert told(await started(stage, hold(thing))) == []
            server.close()

    run(case())


def test_a_register_of_all_connections_is_not_those_of_a_task(run: Run) -> None:
    async def case() -> None:
        async with Stage() as stage:
            pairs = [socket.socketpair() for _ in range(references.MAX_ITEMS + 1)]
            for each in (sock for pair in pairs for sock in pair):
                stage.enter_context(each)
            register = [near for near, _ in pairs]
            assert told(await started(stage, hold(Session(register)))) == []
            assert (
                len(told(await started(stage, hold(Session(register[1:]))))) == references.MAX_ITEMS
            )

    run(case())


def test_nothing_of_the_program_is_executed(run: Run) -> None:
    class Loud:
        def __init__(self, connection: Any) -> None:
            self.__dict__["connection"] = connection

        def __getattribute__(self, name: str) -> Any:
            if name == "__dict__":
                return object.__getattribute__(self, name)
            raise AssertionError(f"{name} was looked up")

        def __eq__(self, other: object) -> bool:
            raise AssertionError("it was compared")

        __hash__ = None  # type: ignore[assignment]

    async def case() -> None:
        near, far = socket.socketpair()
        with near, far:
            async with Stage() as stage:
                assert told(await started(stage, hold(Loud(near)))) == [("", OPEN, 1)]

    run(case())


def test_the_number_of_objects_is_bounded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def case() -> None:
        near, far = socket.socketpair()
        with near, far:
            async with Stage() as stage:
                task = await started(stage, hold(Session(Session(near))))
                assert told(task) == [("", OPEN, 2)]
                monkeypatch.setattr(module, "MAX_OBJECTS", 2)
                assert told(task) == []

    run(case())


def test_a_task_that_cannot_be_read_holds_nothing() -> None:
    assert connections(None) == []
    assert connections(object()) == []  # type: ignore[arg-type]


# ---------------------------------------------------------------- the peer


def test_a_peer_that_closed_is_seen_while_its_data_is_unread(run: Run) -> None:
    async def case() -> None:
        async with Stage() as stage:
            _, writer, far = await streams(stage)
            writer.transport.pause_reading()  # as a task does that no longer reads
            task = await started(stage, hold(Session(writer)))
            far.sendall(b"unread")
            far.close()
            await until(lambda: told(task)[0][1] is PEER_CLOSED)

    run(case())


def test_a_peer_that_closed_is_seen_once_the_loop_has_read_the_end(run: Run) -> None:
    async def case() -> None:
        async with Stage() as stage:
            reader, writer, far = await streams(stage)
            task = await started(stage, hold(reader, writer))
            far.close()
            await until(reader.at_eof)
            assert [state for _, state, _ in told(task)] == [PEER_CLOSED]

    run(case())


def test_a_peer_that_reset_the_connection(run: Run) -> None:
    async def case() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            async with Stage() as stage:
                near = stage.enter_context(socket.create_connection(server.getsockname()))
                far = server.accept()[0]
                task = await started(stage, hold(near))
                assert [state for _, state, _ in told(task)] == [OPEN]
                far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                far.close()
                await until(lambda: told(task)[0][1] is PEER_CLOSED)

    run(case())


def test_a_connection_that_the_program_closed(run: Run) -> None:
    async def case() -> None:
        async with Stage() as stage:
            _, writer, _ = await streams(stage)
            task = await started(stage, hold(writer))
            writer.close()
            await writer.wait_closed()
            assert OPEN not in [state for _, state, _ in told(task)]

    run(case())


# ---------------------------------------------------------------- libraries


def test_an_aiohttp_handler_and_its_client(run: Run) -> None:
    async def case() -> None:
        handlers: list[asyncio.Task[Any]] = []

        async def handle(request: web.Request) -> web.WebSocketResponse:
            response = web.WebSocketResponse()
            await response.prepare(request)
            task = asyncio.current_task()
            assert task is not None
            handlers.append(task)
            await response.receive()
            return response

        application = web.Application()
        application.router.add_get("/", handle)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        async with (
            Stage() as stage,
            aiohttp.ClientSession() as session,
            session.ws_connect(f"http://127.0.0.1:{port}/") as client,
        ):
            task = await started(stage, client.receive())
            assert [each.state for each in connections(task)] == [OPEN]
            assert [each.state for each in connections(handlers[0])] == [OPEN]
        await runner.cleanup()

    run(case())


def test_a_websockets_handler_and_its_client(run: Run) -> None:
    async def case() -> None:
        handlers: list[asyncio.Task[Any]] = []

        async def handle(connection: websockets.ServerConnection) -> None:
            task = asyncio.current_task()
            assert task is not None
            handlers.append(task)
            await connection.wait_closed()

        async with Stage() as stage, websockets.serve(handle, "127.0.0.1", 0) as server:
            (listening,) = server.sockets
            async with websockets.connect(f"ws://127.0.0.1:{listening.getsockname()[1]}") as client:
                task = await started(stage, client.recv())
                await until(lambda: bool(handlers))
                assert [each.state for each in connections(task)] == [OPEN]
                assert [each.state for each in connections(handlers[0])] == [OPEN]

    run(case())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return of_localhost(tmp_path_factory.mktemp("tls"))


def test_tls(run: Run, certificate: Path) -> None:
    async def case() -> None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate)
        trusting = ssl.create_default_context(cafile=str(certificate))
        trusting.check_hostname = False
        ends: list[asyncio.StreamWriter] = []
        server = await asyncio.start_server(
            lambda _, writer: ends.append(writer), "127.0.0.1", 0, ssl=tls
        )
        async with Stage() as stage:
            where = server.sockets[0].getsockname()
            _, writer = await asyncio.open_connection(*where, ssl=trusting)
            await until(lambda: bool(ends))
            client = await started(stage, hold(Session(writer)))
            handler = await started(stage, hold(Session(ends[0])))
            assert [state for _, state, _ in told(client)] == [OPEN]
            assert [state for _, state, _ in told(handler)] == [OPEN]
            assert [peer for peer, _, _ in told(client)] == ["{}:{}".format(*where)]
            writer.transport.abort()
            ends[0].transport.abort()
        server.close()

    run(case())
