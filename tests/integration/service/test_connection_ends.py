"""Every way in which a connection can end: both sides close, and nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket

import aiohttp
import psutil
import pytest

from qcfeed.model.messages import CloseCode
from qcfeed.server import timeouts as sweepers
from qcfeed.ws import connection as connections
from tests.integration.service.conftest import FAR, Start
from tests.support.patience import PATIENCE
from tests.support.raw_websocket import (
    PING,
    TEXT,
    RawClient,
    close,
    frame,
    head,
    request,
)
from tests.support.running_service import Running, until
from tests.support.websockets_client import connect_async


@pytest.fixture
def quick_goodbye(monkeypatch: pytest.MonkeyPatch) -> float:
    """Peers have half a second to answer a close frame or to complete a request head."""
    monkeypatch.setattr(connections, "CLOSE_TIMEOUT", 0.5)
    return 0.5


@pytest.mark.parametrize("symbol", ["AAPL", "ZVZZT"])
async def test_a_close_frame_is_answered_and_the_server_ends_first(
    running: Running, symbol: str
) -> None:
    async with await running.client(f"/quotes/{symbol}") as client:
        client.send(close(1000, b"bye"))
        assert (await client.closing()).code == 1000
        assert await client.ended() == "eof"
    await running.balanced()
    assert running.service.gateway.closed == {"1000": 1}


async def test_a_close_frame_without_a_code_is_answered(running: Running) -> None:
    async with await running.client() as client:
        client.send(frame(0x8))
        assert (await client.closing()).code == 1000
    await running.balanced()
    assert running.service.gateway.closed == {"1005": 1}


async def test_real_clients_close_cleanly(running: Running) -> None:
    async with asyncio.timeout(PATIENCE), connect_async(f"{running.ws}/quotes/ZVZZT") as client:
        await client.close(1001, "tab closed")
    assert client.close_code == 1001
    async with aiohttp.ClientSession() as session:
        ws = await session.ws_connect(f"{running.ws}/quotes/ZVZZT")
        await ws.close()
        assert ws.close_code == 1000
    await running.balanced()


async def test_unknown_close_codes_get_no_metric_label(running: Running) -> None:
    for code in range(3000, 3020):
        async with await running.client() as client:
            client.send(close(code))
            assert (await client.closing()).code == code
    await running.balanced()
    assert running.service.gateway.closed == {"other": 20}


@pytest.mark.parametrize("symbol", ["AAPL", "ZVZZT"])
async def test_a_fin_without_a_close_frame(running: Running, symbol: str) -> None:
    client = await running.client(f"/quotes/{symbol}")
    await client.leave()
    await running.balanced()
    # With a quote unread on its side, the peer's kernel closes with a reset.
    assert running.service.gateway.closed in ({"eof": 1}, {"lost": 1})


@pytest.mark.parametrize("symbol", ["AAPL", "ZVZZT"])
async def test_a_reset(running: Running, symbol: str) -> None:
    client = await running.client(f"/quotes/{symbol}")
    client.reset()
    await running.balanced()
    assert running.service.gateway.closed == {"lost": 1}


@pytest.mark.parametrize("symbol", ["AAPL", "ZVZZT"])
async def test_a_half_close_ends_both_halves(running: Running, symbol: str) -> None:
    async with await running.client(f"/quotes/{symbol}") as client:
        client.finish()
        assert await client.ended() == "eof"
        await running.balanced()


async def test_a_fin_in_the_middle_of_a_head_and_of_a_frame(running: Running) -> None:
    async with await RawClient.connect(running.port) as client:
        client.send(head()[:40])
        client.finish()
        assert await client.ended() == "eof"
    async with await running.stream() as client:
        client.send(request("subscribe", "AAPL")[:9])
        client.finish()
        assert await client.ended() == "eof"
    await running.balanced()


@pytest.mark.parametrize("watch", ["sweep", "kernel"])
async def test_a_peer_that_stops_reading_is_dropped_with_its_buffers(
    start: Start, watch: str
) -> None:
    """Both our own sweep and the kernel's TCP_USER_TIMEOUT drop the peer; either is enough."""
    running = await start(upstream="sim:?rate=20000", stall_timeout=2.0, send_buffer=8_192)
    client = await running.client(receive_buffer=4_096)
    client.deafen()
    gateway = running.service.gateway
    (connection,) = gateway.connections
    if watch == "kernel":
        gateway.timeouts.stop()
    else:
        sock = connection.transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 0)
    await until(lambda: connection.stalled_since is not None, "the peer does not read")
    await running.balanced()
    assert gateway.closed == {"4408": 1}
    await until(lambda: not running.kernel_holds(client), "the kernel has let go")
    client.reset()


async def test_a_peer_that_stops_reading_while_it_is_closed_keeps_no_buffers(
    start: Start, quick_goodbye: float
) -> None:
    running = await start(upstream="sim:?rate=20000", send_buffer=8_192)
    client = await running.client(receive_buffer=4_096)
    client.deafen()
    (connection,) = running.service.gateway.connections
    await until(lambda: connection.stalled_since is not None, "the peer does not read")
    assert running.kernel_holds(client)
    client.send(close(1000))  # it sends a close frame, but never reads the answer
    await running.balanced()
    await until(lambda: not running.kernel_holds(client), "the kernel has let go")
    client.reset()


async def test_a_half_open_peer_on_a_quiet_symbol_gets_4412(
    start: Start, quick_goodbye: float
) -> None:
    running = await start(stall_timeout=0.4, ping_interval=0.3)
    async with await running.client("/quotes/ZVZZT") as client:
        assert (await client.frame()).opcode == PING
        end = await client.closing()
        assert end.code == 4412
        await running.balanced()
        assert running.service.gateway.closed == {"4412": 1}
        assert await client.ended() == "reset"
        assert not running.kernel_holds(client)


async def test_a_client_that_answers_pings_stays_connected(start: Start) -> None:
    """Check the timeouts at fake times, as often as in twenty stall timeouts."""
    running = await start(ping_interval=FAR / 2)
    gateway = running.service.gateway
    async with (
        connect_async(f"{running.ws}/quotes/ZVZZT"),
        await running.stream() as talker,
        await running.client("/quotes/ZVZZT") as silent,
    ):
        ends = {each.peer: each for each in gateway.connections}
        speaks, is_silent = (ends[f"127.0.0.1:{each.port}"] for each in (talker, silent))
        later = gateway.now()
        for _ in range(20):
            later += FAR
            for each in list(gateway.connections):
                gateway.timeouts.check(each, later)
            talker.send(request("ping"))  # any data counts, not only a pong
            await talker.message("pong")
            waiting = [each for each in gateway.connections if each is not is_silent]
            await until(
                lambda them=waiting: all(each.pinged_at is None for each in them), "they answer"
            )
        assert speaks.connected
        assert not is_silent.connected
        assert len(gateway.connections) == 2
    await running.balanced()


async def test_a_slow_peer_misses_quotes_and_learns_how_many(start: Start) -> None:
    running = await start(upstream="sim:?rate=20000", max_lag=16, send_buffer=4_608)
    async with await running.client(receive_buffer=2_304) as client:
        expected = 1
        skipped = 0
        for _ in range(3_000):
            quote = await client.message("quote")
            gap = quote.get("conflated", 0)
            assert quote["seq"] == expected + gap
            expected = quote["seq"] + 1
            skipped += gap
            if skipped:
                break
            await asyncio.sleep(0.002)
        assert skipped
        assert running.service.hub.conflated >= skipped
    await running.balanced()


FLOODS = {
    "pings": (frame(PING, b"x" * 125) * 500, "4408"),
    "requests": (request("ping") * 1_000, "4408"),
    "errors": (frame(TEXT, b"nonsense") * 1_000, "4408"),
    "garbage behind a protocol error": (b"\xff" * 65_536, "1002"),
}


@pytest.mark.parametrize(("again", "code"), FLOODS.values(), ids=FLOODS)
async def test_a_peer_that_floods_without_reading_costs_bounded_memory(
    start: Start, quick_goodbye: float, again: bytes, code: str
) -> None:
    """Unread replies are limited to the send buffer, long before the stall timeout."""
    running = await start(send_buffer=8_192, request_rate=0)
    client = await running.client("/stream", receive_buffer=4_096)
    client.deafen()
    before = psutil.Process().memory_info().rss
    sent = 0
    with contextlib.suppress(ConnectionError):  # closed, or all of it discarded
        while sent < 64 << 20:
            client.send(again)
            await client.flush()
            sent += len(again)
            await asyncio.sleep(0)
    assert psutil.Process().memory_info().rss - before < 16 << 20
    assert running.service.gateway.closed == {code: 1}
    client.reset()
    await running.balanced()


async def test_thousands_of_due_connections_are_closed_a_few_per_turn(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All kicked connections that do not answer are due in the same sweep."""
    a_turn = 3
    monkeypatch.setattr(sweepers, "MAX_DUE_PER_TURN", a_turn)
    running = await start()
    clients = [await running.client("/quotes/ZVZZT") for _ in range(80)]
    gateway, left = running.service.gateway, [80]

    def count() -> None:
        left.append(len(gateway.connections))
        if left[-1]:
            asyncio.get_running_loop().call_soon(count)

    for connection in list(gateway.connections):
        connection.close(CloseCode.KICKED, within=0)
    count()
    await until(lambda: left[-1] == 0, "all are gone")
    ended = [before - after for before, after in itertools.pairwise(left)]
    assert max(ended) == a_turn, "an eighth of them is 10"
    for client in clients:
        client.reset()
    await running.balanced()
