"""A gateway that listens: the options of its sockets, how many it accepts, and what its drain waits for."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from qcfeed.errors import StartError
from qcfeed.net import descriptors
from qcfeed.net.http_connections import HttpConnections, HttpLimits
from qcfeed.server.capacity import fit
from qcfeed.server.gateway import Gateway
from tests.support.modelled_kernel import Exchange, timeless, until
from tests.support.patience import PATIENCE
from tests.support.raw_websocket import RawClient, head


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    config = timeless(send_buffer=50_000, stall_timeout=7.0, max_connections=500)
    async with Exchange.running(config) as exchange:
        yield exchange


@contextlib.asynccontextmanager
async def listening(gateway: Gateway) -> AsyncIterator[int]:
    """The port on which the gateway listens until it is drained."""
    bound = socket.socket()
    bound.setblocking(False)
    bound.bind(("127.0.0.1", 0))
    await gateway.start(bound)
    try:
        yield bound.getsockname()[1]
    finally:
        await gateway.drain(0.0)


async def test_accepted_sockets_have_the_options_of_the_configuration(exchange: Exchange) -> None:
    async with listening(exchange.gateway) as port:
        for serial in (1, 2):
            async with await RawClient.connect(port) as client:
                client.send(head("/stream"))
                assert (await client.response()).status == 101
                (connection,) = exchange.gateway.connections
                assert connection.serial == serial
                assert connection.peer == f"127.0.0.1:{client.port}"
                sock = connection.transport.get_extra_info("socket")
                # The kernel doubles the size (socket(7)).
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 100_000
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7_000
                connection.abort("test")
                await until(lambda: not exchange.gateway.connections)


async def test_a_gateway_holds_as_many_connections_as_the_process_may_open_files(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = exchange.gateway.capacity
    monkeypatch.setattr(descriptors, "limit", lambda: 400)
    monkeypatch.setattr(descriptors, "in_use", lambda: 50)
    async with listening(exchange.gateway):
        assert exchange.gateway.capacity == fit(500, 400, 50)
    assert before.connections == 500
    assert fit(500, 400, 50).connections < 500


async def test_a_port_on_which_somebody_listens_is_an_error_that_names_the_option(
    exchange: Exchange,
) -> None:
    with socket.socket() as first, socket.socket() as second:
        for each in (first, second):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        first.bind(("127.0.0.1", 0))
        second.bind(first.getsockname())
        first.listen()
        with pytest.raises(StartError) as caught:
            await exchange.gateway.start(second)
    assert "--port" in f"{caught.value.message} {caught.value.hint}"


async def test_a_drain_waits_for_plain_http_requests_and_ends_with_the_last_one(
    exchange: Exchange,
) -> None:
    may_answer = asyncio.Event()

    async def slow(_: web.BaseRequest) -> web.Response:
        await may_answer.wait()
        return web.Response(text="done")

    http = HttpConnections("test", HttpLimits(waiting=10, busy=10))
    server = web.Server(slow)
    http.serve(server)
    gateway = Gateway(exchange.gateway.config, exchange.hub, http)
    async with listening(gateway) as port, await RawClient.connect(port) as client:
        client.send(b"GET /slow HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            while not len(http):  # noqa: ASYNC110 - the request is on its way
                await asyncio.sleep(0.001)
        assert (gateway.files, gateway.sockets) == (1, 0)
        draining = asyncio.create_task(gateway.drain(10 * PATIENCE))
        await asyncio.sleep(0)
        assert not draining.done()
        may_answer.set()
        assert (await client.response()).body == b"done"
        await client.leave()
        await asyncio.wait_for(draining, PATIENCE)
        assert gateway.files == 0
    await server.shutdown()
