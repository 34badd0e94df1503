"""Draining: new connections are refused, clients are told when to reconnect, every task is joined."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from tests.integration.service.conftest import FAR, Start
from tests.support.patience import PATIENCE
from tests.support.raw_websocket import RawClient, close, head, request
from tests.support.running_service import until
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.websockets_client import connect_async


async def test_clients_are_told_to_reconnect_at_different_times(
    start: Start, patient: None
) -> None:
    running = await start(drain_timeout=FAR)
    targets = ["/quotes/AAPL", "/quotes/ZVZZT", "/stream"] * 20
    clients = [await running.client(target) for target in targets]
    stopping = asyncio.create_task(running.service.stop())
    delays = []
    for client in clients:
        delays.append((await client.message("going_away"))["retry_after_ms"])
        end = await client.closing()
        assert (end.code, end.payload[2:]) == (1001, b"the service is shutting down")
        client.send(close(1001))
        assert await client.ended() == "eof"
        await client.leave()
    await stopping
    assert all(0 <= delay < 5_000 for delay in delays)
    assert max(delays) - min(delays) > 2_000, "sixty came back at once"
    assert len(set(delays)) > 40
    await running.balanced()
    assert running.service.gateway.closed == {"1001": 60}


async def test_new_connections_are_refused_during_the_drain(start: Start, patient: None) -> None:
    running = await start(drain_timeout=FAR)
    stays = await running.client("/quotes/AAPL")
    late = await RawClient.connect(running.port)
    asks = await RawClient.connect(running.port)
    await until(lambda: running.service.gateway.sockets == 3, "three are connected")
    stopping = asyncio.create_task(running.service.stop())
    assert (await stays.closing()).code == 1001
    late.send(head())
    answer = await late.response()
    assert (answer.status, answer.json()["code"]) == (503, "draining")
    assert int(answer.headers["retry-after"]) > 0
    asks.send(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = await asks.response()
    assert (answer.status, answer.body) == (503, b"draining\n")
    with pytest.raises(ConnectionRefusedError):
        await RawClient.connect(running.port)
    stays.send(request("ping"), close(1001))
    for client in (stays, late, asks):
        await client.leave()
    await stopping
    await running.balanced()


async def test_the_admin_port_answers_until_the_end(start: Start, patient: None) -> None:
    running = await start(admin_listen="127.0.0.1:0", drain_timeout=FAR)
    url = f"http://{running.service.listening.admin}/readyz"
    async with await running.client(), aiohttp.ClientSession() as session:
        stopping = asyncio.create_task(running.service.stop())
        await until(lambda: running.service.gateway.draining, "the drain has begun")
        async with session.get(url) as answer:
            assert (answer.status, await answer.text()) == (503, "draining\n")
    await stopping
    await running.balanced()


async def test_connections_that_do_not_close_are_dropped_in_time(
    start: Start, patient: None
) -> None:
    """Nothing else would close them before the test times out."""
    running = await start(drain_timeout=2.0, upstream="sim:?rate=20000", send_buffer=8_192)
    deaf = await running.client(receive_buffer=4_096)
    deaf.deafen()
    polite_but_slow = await running.client("/stream")
    half_a_head = await RawClient.connect(running.port)
    half_a_head.send(head()[:20])
    began = asyncio.get_running_loop().time()
    async with asyncio.timeout(PATIENCE):
        await running.service.stop()
    assert asyncio.get_running_loop().time() - began >= 1.0, "half of the time is the peers'"
    await running.balanced()
    for client in (deaf, polite_but_slow, half_a_head):
        client.reset()


async def test_real_clients_are_drained(start: Start, patient: None) -> None:
    running = await start(drain_timeout=FAR)

    async def until_closed() -> int | None:
        async with connect_async(f"{running.ws}/quotes/AAPL") as client:
            async for _ in client:  # the iteration ends by itself after 1000 and 1001
                pass
        return client.close_code

    watching = [asyncio.create_task(until_closed()) for _ in range(10)]
    await until(lambda: running.service.hub.subscriptions == 10, "ten watch")
    await running.service.stop()
    assert {await each for each in watching} == {1001}
    await running.balanced()


@pytest.mark.parametrize("turns", range(12))
async def test_connects_and_subscribes_that_race_with_stop(start: Start, turns: int) -> None:
    """The stop starts one turn of the loop later each time: before, during and after the handshake."""
    running = await start(drain_timeout=2.0)

    async def come(number: int) -> str:
        try:
            client = await RawClient.connect(running.port)
        except ConnectionError:
            return "refused"
        try:
            if number % 2:  # sends nothing at all
                return await client.ended()
            client.send(head("/stream"), request("subscribe", "AAPL", "MSFT"))
            answer = await client.response()
            if answer.status != 101:
                return str(answer.status)
            end = await client.closing()
            client.send(close(end.code))
        except (ConnectionError, asyncio.IncompleteReadError):
            return "reset"
        else:
            return f"closed {end.code}"
        finally:
            await client.leave()

    coming = [asyncio.create_task(come(number)) for number in range(30)]
    for _ in range(turns):
        await asyncio.sleep(0)
    await running.service.stop()
    assert {await each for each in coming} <= {"refused", "reset", "eof", "503", "closed 1001"}
    await running.balanced()


async def test_a_lingering_or_backing_off_feed_does_not_delay_the_stop(
    start: Start, upstream: ScriptedUpstream
) -> None:
    async def fails(_: object) -> None:
        raise RuntimeError("down")

    running = await start(linger=FAR)
    async with await running.client("/quotes/AAPL"):
        pass
    upstream.life = fails
    async with await running.client("/quotes/MSFT"):
        feed = running.feed("MSFT")
        await until(lambda: feed.restarts and feed.lifecycle.deadline is not None, "it backs off")
        feed.lifecycle.retries_at += FAR  # as after many tries
        async with asyncio.timeout(PATIENCE):
            await running.service.stop()
    assert upstream.closed
    await running.balanced()


IMMORTAL = """
import asyncio, sys
from qcfeed.config import Config, NatsConfig
from qcfeed.service import app, run
from tests.support.scripted_upstream import ScriptedUpstream

async def immortal(sink):
    sink.opened()
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass

app.connect = lambda *_, **__: ScriptedUpstream(immortal)
sys.exit(run.serve(Config(port=0, monitor=False, drain_timeout=1.0, linger=0.05), NatsConfig()))
"""


async def test_a_task_that_never_ends_cannot_keep_the_process_alive(tmp_path: Path) -> None:
    env = os.environ | {"XDG_RUNTIME_DIR": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}
    process = subprocess.Popen(  # noqa: ASYNC220 — it only forks; what waits for it does so in a thread
        [sys.executable, "-c", IMMORTAL], env=env, stderr=subprocess.PIPE
    )
    try:
        client = await RawClient.upgraded(await asyncio.to_thread(_port, process))
        process.send_signal(signal.SIGTERM)
        assert (await client.closing()).code == 1001
        await client.leave()
        _, said = await asyncio.to_thread(process.communicate, timeout=PATIENCE)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 5, said.decode()
    assert b"cancelled + 0 failed; 1 live" in said.splitlines()[-2]
    assert b"1 still live from qcfeed/server/feed.py:" in said.splitlines()[-1]


def _port(process: subprocess.Popen[bytes]) -> int:
    """The address it prints."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line.decode())
        if found := re.match(r"  quotes +ws://127\.0\.0\.1:(\d+)", said[-1]):
            return int(found[1])
    raise AssertionError(f"it ended before it served: {said}")
