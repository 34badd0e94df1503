"""`subscribers` and `subscribers kick` over the real control socket, with real peers."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from qcfeed.control.client import ControlClient
from qcfeed.control.paths import ControlAddress
from qcfeed.control.routes import SUBSCRIBERS, SUBSCRIBERS_KICK
from qcfeed.errors import NeedsConfirmationError, UsageError
from qcfeed.model.subscribers import Kicked, KickRequest, Subscribers
from tests.integration.service.conftest import Start
from tests.support.falling_behind import publish, stall
from tests.support.patience import PATIENCE
from tests.support.raw_websocket import RawClient, close
from tests.support.running_service import Running, until
from tests.support.scripted_upstream import ScriptedUpstream, silently


async def ask(running: Running, **which: object) -> Subscribers:
    client = ControlClient(
        ControlAddress(socket=Path(running.service.listening.control)), timeout=PATIENCE
    )
    return await asyncio.to_thread(client.get, SUBSCRIBERS, Subscribers, **which)


async def kick(running: Running, *ids: int, force: bool = True) -> Kicked:
    client = ControlClient(
        ControlAddress(socket=Path(running.service.listening.control)), timeout=PATIENCE
    )
    request = KickRequest(ids=list(ids), force=force)
    return await asyncio.to_thread(client.post, SUBSCRIBERS_KICK, request, Kicked)


@pytest.fixture
def upstream(upstream: ScriptedUpstream) -> ScriptedUpstream:
    upstream.life = silently
    return upstream


async def stopped(running: Running, upstream: ScriptedUpstream) -> RawClient:
    """A client that reads nothing and has missed quotes."""
    client = await running.client("/quotes/AAPL?slow=drop-oldest", receive_buffer=2_304)
    await until(lambda: upstream.sinks, "its feed is open")
    behind = await stall(running, upstream, client)

    def stays_so() -> bool:
        publish(upstream, 1)  # on a busy machine the kernel accepts a little more, later
        since = behind.stalled_since
        stays = since is not None and asyncio.get_running_loop().time() - since > 0.2
        return stays and behind.backlog.over_limit

    await until(stays_so, "the kernel has taken all that it can for it")
    return client


async def test_subscribers_lists_connections_with_their_lag(
    start: Start, upstream: ScriptedUpstream
) -> None:
    running = await start(max_lag=32, send_buffer=4_608)
    async with await running.stream("AAPL", "MSFT") as stream:
        slow = await stopped(running, upstream)
        async with await running.client("/quotes/TSLA"):
            said = await ask(running)
            assert said.total == 3
            first, second, third = said.subscribers
            assert (second.peer, second.symbols, second.held) == (
                f"127.0.0.1:{stream.port}", ["AAPL", "MSFT"], 2,
            )  # fmt: skip
            assert third.symbols == ["TSLA"]
            assert second.id < first.id < third.id, "a number for each, in the order they came"
            assert (first.peer, first.policy) == (f"127.0.0.1:{slow.port}", "drop-oldest")
            assert first.lag > 32
            assert first.slow
            assert first.stalled_s > 0
            assert 0 < first.lag_bytes < 16 << 10
            if sys.platform == "linux":
                assert first.kernel_bytes
            assert [each.id for each in (await ask(running, slow="true")).subscribers] == [first.id]
            held = await ask(running, symbol="msft")
            assert [each.id for each in held.subscribers] == [second.id]
            assert (await ask(running, limit=1)).subscribers[0].id == first.id
            assert (await ask(running, ids=f"{third.id},999")).total == 1
            with pytest.raises(UsageError, match="must be numbers"):
                await ask(running, ids="7,x")
            slow.reset()
    await running.balanced()
    assert (await ask(running)).total == 0


async def test_a_slow_connection_stays_listed_for_a_while_after_it_has_caught_up(
    start: Start, upstream: ScriptedUpstream
) -> None:
    running = await start(max_lag=32, send_buffer=4_608)
    slow = await stopped(running, upstream)
    slow.listen()
    while not (quote := await slow.message("quote")).get("dropped"):
        pass
    (row,) = (await ask(running, slow="true")).subscribers
    assert row.dropped >= quote["dropped"]
    await slow.leave()
    await running.balanced()


async def test_kicked_connections_are_closed_with_4411_and_others_continue(start: Start) -> None:
    running = await start()
    async with await running.client() as one, await running.client() as other:
        first, _ = sorted(running.service.gateway.connections, key=lambda each: each.serial)
        with pytest.raises(NeedsConfirmationError, match=r"this would close 1 connection$"):
            await kick(running, first.serial, force=False)
        assert first.connected
        kicking = asyncio.create_task(kick(running, first.serial, 999))
        end = await one.closing()
        assert (end.code, end.payload[2:]) == (
            4411, b"an operator closed this connection: reconnect after a while",
        )  # fmt: skip
        one.send(close(4411))
        answer = await kicking
        assert (answer.kicked, answer.already_gone, answer.closing) == (1, 1, [])
        await other.message("quote")
    await running.balanced()
    assert running.service.gateway.closed["4411"] == 1
    audit = Path(running.service.listening.control).parents[2] / "state" / "qcfeed"
    (log,) = audit.glob("*.audit.jsonl")
    words = [json.loads(line) for line in log.read_text().splitlines()]
    assert [entry["action"] for entry in words] == ["subscribers kick"] * 4
    assert words[-1]["after"]["kicked"] == 1


async def test_a_kicked_connection_that_reads_nothing_is_closed_before_the_answer(
    start: Start, upstream: ScriptedUpstream
) -> None:
    running = await start(max_lag=32, send_buffer=4_608)
    slow = await stopped(running, upstream)
    (row,) = (await ask(running, slow="true")).subscribers
    answer = await kick(running, row.id)
    assert (answer.kicked, answer.closing) == (1, [])
    assert not running.kernel_holds(slow)
    slow.reset()
    await running.balanced()


async def test_connection_ids_are_never_reused(running: Running) -> None:
    seen: list[int] = []
    for _ in range(5):
        async with await running.client():
            (row,) = (await ask(running)).subscribers
            seen.append(row.id)
        await running.balanced()
    assert len(set(seen)) == 5
    assert seen == sorted(seen)
