"""HTTP on the port for quotes, and on its own port."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from qcfeed.errors import ConfigError, StartError
from qcfeed.net import listen
from qcfeed.server.gateway import Gateway
from tests.integration.service.conftest import Start
from tests.support.raw_websocket import RawClient, head
from tests.support.running_service import Running

LIVEZ = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def test_livez_readyz_and_the_index(running: Running) -> None:
    assert await get(f"{running.http}/livez") == (200, "alive\n")
    assert await get(f"{running.http}/readyz") == (200, "ready\n")
    status, text = await get(f"{running.http}/")
    assert status == 404
    assert "/quotes/{symbol}" in text
    assert "--page" in text
    assert (await get(f"{running.http}/nosuch"))[0] == 404
    await running.balanced()


async def test_metrics_cover_feeds_connections_and_refusals(running: Running) -> None:
    async with await running.client() as client, await running.stream("AAPL", "MSFT"):
        await client.message("quote")
        await running.refusal(head("/quotes/NOSUCH"))
        status, text = await get(f"{running.http}/metrics")
    assert status == 200
    samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(samples["qcfeed_subscriptions_active"]) == 3
    assert float(samples["qcfeed_connections"]) == 2
    assert float(samples['qcfeed_feeds{upstream="open"}']) == 2
    assert float(samples['qcfeed_refused_total{reason="unknown_symbol"}']) == 1
    assert float(samples["qcfeed_subscriptions_orphaned"]) == 0
    await running.balanced()


async def test_a_session_that_would_keep_its_connection_is_served_again_and_again(
    running: Running,
) -> None:
    async with aiohttp.ClientSession() as session:
        for _ in range(3):
            async with session.get(f"{running.http}/livez") as answer:
                assert await answer.text() == "alive\n"
            ws = await session.ws_connect(f"{running.ws}/quotes/AAPL")
            assert (await ws.receive_json())["type"] == "quote"
            await ws.close()
    await running.balanced()


async def test_a_request_in_pieces(running: Running) -> None:
    async with await RawClient.connect(running.port) as client:
        for n in range(len(LIVEZ)):
            client.send(LIVEZ[n : n + 1])
            await asyncio.sleep(0)
        answer = await client.response()
        assert (answer.status, answer.body) == (200, b"alive\n")
        assert await client.ended() == "eof"
    await running.balanced()


@pytest.mark.parametrize("behind", [LIVEZ, head("/stream"), head() * 3])
async def test_an_upgrade_pipelined_behind_a_request_is_ignored(
    running: Running, behind: bytes
) -> None:
    async with await RawClient.connect(running.port) as client:
        client.send(LIVEZ + behind)
        answer = await client.response()
        assert (answer.status, answer.body) == (200, b"alive\n")
        await client.ended()
    assert running.service.gateway.opened == 0
    await running.balanced()


async def test_garbage_behind_a_request_ends_the_connection(running: Running) -> None:
    assert (await running.exchange(LIVEZ + b"\xff" * 1_000))[0] in (200, 400)
    await running.balanced()


async def test_an_upgrade_sent_after_a_response_is_ignored(running: Running) -> None:
    async with await RawClient.connect(running.port) as client:
        client.send(LIVEZ)
        assert (await client.response()).headers["connection"] == "close"
        client.send(head())
        await client.ended()
    assert running.service.gateway.opened == 0
    await running.balanced()


async def test_http_1_0_and_a_half_closing_client(running: Running) -> None:
    async with await RawClient.connect(running.port) as client:
        client.send(b"GET /livez HTTP/1.0\r\n\r\n")
        answer = await client.response()
        assert (answer.status, answer.body) == (200, b"alive\n")
        assert await client.ended() == "eof"
    await running.balanced()


async def test_bodies_are_not_waited_for(running: Running) -> None:
    async with await RawClient.connect(running.port) as client:
        client.send(b"POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nx")
        assert (await client.response()).status == 405
    await running.balanced()


async def test_admin_listen_takes_http_and_no_websockets(start: Start) -> None:
    running = await start(admin_listen="127.0.0.1:0")
    admin = running.service.listening.admin
    assert admin != running.service.listening.websocket
    assert await get(f"http://{admin}/readyz") == (200, "ready\n")
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(f"ws://{admin}/quotes/AAPL")
    async with await running.client() as client:
        await client.message("quote")
    await running.balanced()


async def test_with_admin_listen_the_port_for_quotes_has_no_metrics(start: Start) -> None:
    running = await start(admin_listen="127.0.0.1:0")
    for path in ("/metrics", "/readyz", "/livez"):
        status, _ = await get(f"{running.http}{path}")
        assert status == 404
    await running.balanced()


async def test_an_admin_port_in_use_fails_the_start_cleanly(start: Start) -> None:
    running = await start()
    with pytest.raises(StartError, match="is in use") as error:
        await start(admin_listen=running.service.listening.websocket)
    assert "--admin-listen 0" in (error.value.hint or "")
    assert await get(f"{running.http}/livez") == (200, "alive\n")
    await running.balanced()


async def test_a_port_in_use_fails_the_start_cleanly(start: Start) -> None:
    running = await start()
    with pytest.raises(StartError, match="is in use") as error:
        await start(port=running.port)
    assert "--port 0" in (error.value.hint or "")
    with pytest.raises(ConfigError):
        await start(upstream="carrier-pigeon:")
    await running.balanced()


async def test_the_second_of_two_listeners_on_a_port_fails(running: Running) -> None:
    """Linux lets two sockets bind one address for reuse, but refuses the second listen()."""
    bound = listen.bind("127.0.0.1", 0, "--port")
    with bound, listen.bind("127.0.0.1", bound.getsockname()[1], "--port") as rival:
        rival.listen()
        gateway = Gateway(running.service.config, running.service.hub, None)
        with pytest.raises(StartError, match="is in use"):
            await gateway.start(bound)
