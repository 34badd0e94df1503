"""Plain HTTP on real sockets, from clients that send too little, too slowly, nonsense, or do not read."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from qcfeed.net.acceptor import Acceptor
from qcfeed.net.http_connections import HttpConnections, HttpLimits, supervised
from tests.support.patience import PATIENCE
from tests.support.running_service import until

LONG = b"x" * 16 * 2**20
SHORT = HttpLimits(waiting=4, busy=2, head=0.3, answer=0.3, send=0.3)
PATIENT = HttpLimits(waiting=4, busy=2, head=1e3, answer=1e3, send=1e3)


class Port:
    """A listening port, and a latch that the handler of /wait holds on to."""

    def __init__(self, limits: HttpLimits) -> None:
        self.connections = HttpConnections("test", limits)
        self.latch = asyncio.Event()
        self.waiting = 0
        application = web.Application(middlewares=[supervised(self.connections)])
        application.add_routes(
            [
                web.get("/", self.short),
                web.get("/long", self.long),
                web.get("/wait", self.wait),
                web.get("/bug", self.bug),
                web.post("/body", self.body),
            ]
        )
        self.runner = web.AppRunner(
            application,
            access_log=None,
            logger=self.connections.logger,
            lingering_time=0.2,
            handler_cancellation=True,
        )
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self.listener.getsockname()

    async def short(self, _: web.Request) -> web.Response:
        return web.Response(text="short")

    async def long(self, _: web.Request) -> web.Response:
        return web.Response(body=LONG)

    async def wait(self, _: web.Request) -> web.Response:
        self.waiting += 1
        await self.latch.wait()
        return web.Response(text="waited")

    async def bug(self, _: web.Request) -> web.Response:
        raise RuntimeError("a bug")

    async def body(self, request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())))


@pytest.fixture
async def open_port() -> AsyncIterator[Callable[[HttpLimits], Any]]:
    async with contextlib.AsyncExitStack() as stack:

        async def start(limits: HttpLimits) -> Port:
            port = Port(limits)
            await port.runner.setup()
            stack.push_async_callback(port.connections.close)
            stack.push_async_callback(port.runner.cleanup)
            assert port.runner.server is not None
            port.connections.serve(port.runner.server)
            loop = asyncio.get_running_loop()
            acceptor = Acceptor(loop, port.listener, port.connections.new)
            acceptor.start(16)
            stack.callback(acceptor.close)
            return port

        yield start


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def answer(self) -> bytes:
        """Everything until the service closes or resets the connection."""
        got = b""
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionError):
                while piece := await self.reader.read(65_536):
                    got += piece
        return got

    async def first_line(self) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return (await self.reader.readline()).strip()


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Any]]:
    clients: list[Client] = []

    async def connect(port: Port, data: bytes = b"") -> Client:
        client = Client(*await asyncio.open_connection(*port.address))
        clients.append(client)
        client.writer.write(data)
        return client

    yield connect
    for each in clients:
        each.writer.transport.abort()


def request(path: str, method: str = "GET", *headers: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: a", *headers, "", ""]).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost",
        request("/body", "POST", "Content-Length: 9") + b"abc",
        request("/", "GET", "Connection: keep-alive"),
        request("/") * 20,
        request("/wait"),
        request("/long"),
        b"CONNECT \r\nHost: a\r\n\r\n",
        request("/bug"),
    ],
    ids=[
        "silent", "slow head", "slow body", "idle after an answer", "pipelined", "slow handler",
        "unread answer", "CONNECT", "handler that raises",
    ],
)  # fmt: skip
async def test_every_connection_ends_in_bounded_time(open_port, connect, data) -> None:
    port = await open_port(SHORT)
    client = await connect(port, data)
    await until(lambda: len(port.connections) == 1, "the connection is counted")
    await until(lambda: len(port.connections) == 0, "the connection has ended")
    await client.answer()


async def test_a_request_that_aiohttp_cannot_build_is_answered_and_counted(
    open_port, connect, caplog: pytest.LogCaptureFixture
) -> None:
    port = await open_port(PATIENT)
    client = await connect(port, b"CONNECT \r\nHost: a\r\n\r\n")
    assert b" 405 " in await client.first_line()
    assert port.connections.ended["malformed"] == 1
    assert "Traceback" not in caplog.text


async def test_malformed_http_is_one_line_without_a_traceback(
    open_port, connect, caplog: pytest.LogCaptureFixture
) -> None:
    port = await open_port(PATIENT)
    for garbage in (b"GET / HTTP/1.1\r\nbad header\r\n\r\n", b"GET / HTTP/9.9x\r\n\r\n"):
        client = await connect(port, garbage)
        assert b" 400 " in await client.first_line()
    assert port.connections.ended["malformed"] == 2
    assert "Traceback" not in caplog.text
    assert len([r for r in caplog.records if r.levelno >= logging.WARNING]) == 2


async def test_a_bug_in_a_handler_keeps_its_traceback(
    open_port, connect, caplog: pytest.LogCaptureFixture
) -> None:
    port = await open_port(PATIENT)
    client = await connect(port, request("/bug"))
    assert b" 500 " in await client.first_line()
    assert "RuntimeError: a bug" in caplog.text


async def test_silent_connections_cannot_lock_out_one_that_sends_a_request(
    open_port, connect
) -> None:
    port = await open_port(PATIENT)
    silent = [await connect(port) for _ in range(3 * PATIENT.waiting)]
    late = await connect(port, request("/"))
    assert await late.first_line() == b"HTTP/1.1 200 OK"
    assert len(port.connections) <= PATIENT.waiting
    assert port.connections.ended["evicted"] >= len(silent) - PATIENT.waiting


async def test_requests_in_progress_are_bounded_and_not_evicted(open_port, connect) -> None:
    port = await open_port(PATIENT)
    busy = [await connect(port, request("/wait")) for _ in range(PATIENT.busy)]
    await until(lambda: port.waiting == PATIENT.busy, "the handlers wait")
    further = await connect(port, request("/wait"))
    assert b" 503 " in await further.first_line()
    for _ in range(3 * PATIENT.waiting):
        await connect(port)
    port.latch.set()
    for each in busy:
        assert await each.first_line() == b"HTTP/1.1 200 OK"


async def test_a_long_answer_that_is_being_read_is_not_evicted(open_port, connect) -> None:
    port = await open_port(PATIENT)
    reader = await connect(port, request("/long", "GET", "Connection: close"))
    assert await reader.first_line() == b"HTTP/1.1 200 OK"
    for _ in range(3 * PATIENT.waiting):
        await connect(port)
    await until(lambda: port.connections.ended["evicted"] > PATIENT.waiting, "others were evicted")
    assert (await reader.answer()).endswith(LONG)
