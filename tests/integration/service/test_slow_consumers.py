"""Clients that do not keep up, on real sockets: each gets the policy it asked for."""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
import sys
from contextlib import aclosing

import pytest

from qcfeed.client import endpoint
from qcfeed.client.stream import Received, stream
from qcfeed.model.messages import SlowPolicy
from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy
from qcfeed.model.symbol import Symbol
from qcfeed.server import pacing
from qcfeed.ws import connection as connections
from tests.integration.service.conftest import Start
from tests.support.falling_behind import connection_of, fall_behind, publish, stall
from tests.support.patience import PATIENCE
from tests.support.raw_websocket import TEXT, RawClient, close, frame, head, request
from tests.support.running_service import Running, until
from tests.support.scripted_upstream import ScriptedUpstream, silently

TIGHT = {"max_lag": 16, "send_buffer": 4_608}
"""A service with small limits, in which clients become slow quickly."""
SO_MEMINFO = 55
WMEM_QUEUED = 5
"""Index in SO_MEMINFO (linux/sock_diag.h) of the memory for unsent data."""


@pytest.fixture
def upstream(upstream: ScriptedUpstream) -> ScriptedUpstream:
    upstream.life = silently
    return upstream


async def read_to(client: RawClient, last: int) -> tuple[int, int]:
    """Read up to quote ``last``; returns how many quotes were conflated and dropped."""
    client.listen()
    seq = conflated = dropped = 0
    while seq < last:
        quote = await client.message("quote")
        told = quote.get("conflated", 0), quote.get("dropped", 0)
        assert quote["seq"] == seq + sum(told) + 1
        seq = quote["seq"]
        conflated, dropped = conflated + told[0], dropped + told[1]
    return conflated, dropped


@pytest.mark.parametrize("policy", [SlowConsumerPolicy.CONFLATE, SlowConsumerPolicy.DROP_OLDEST])
async def test_a_slow_client_learns_what_it_missed_and_a_fast_one_misses_nothing(
    start: Start, upstream: ScriptedUpstream, policy: SlowConsumerPolicy
) -> None:
    running = await start(**TIGHT)
    async with (
        await running.client(f"/quotes/AAPL?slow={policy}", receive_buffer=2_304) as slow,
        await running.client("/quotes/AAPL?slow=disconnect") as quick,
    ):
        reading = asyncio.create_task(read_to(quick, 1_000_000))
        stopped = await stall(running, upstream, slow)
        await fall_behind(upstream, stopped, 50)
        last = running.feed().log.head
        missed = await read_to(slow, last)
        assert sum(missed) >= 50
        assert missed[policy is SlowConsumerPolicy.CONFLATE] == 0
        assert missed == (stopped.backlog.conflated, stopped.backlog.dropped)
        assert missed == (running.service.hub.conflated, running.service.hub.dropped)
        assert not stopped.backlog.over_limit
        publish(upstream, 3)
        assert [(await slow.message("quote")).get("seq") for _ in range(3)] == [
            last + 1, last + 2, last + 3,
        ]  # fmt: skip
        assert connection_of(running, quick).missed_quotes == 0
        reading.cancel()
        await asyncio.wait([reading])
    await running.balanced()


async def test_drop_oldest_keeps_the_newest_one_by_one(
    start: Start, upstream: ScriptedUpstream
) -> None:
    running = await start(**TIGHT, slow="drop-oldest")
    async with await running.client(receive_buffer=2_304) as slow:
        await fall_behind(upstream, await stall(running, upstream, slow), 50)
        last = running.feed().log.head
        slow.listen()
        quotes = [await slow.message("quote")]
        while quotes[-1]["seq"] < last:
            quotes.append(await slow.message("quote"))
        *_, after = (number for number, quote in enumerate(quotes) if "dropped" in quote)
        assert [quote["seq"] for quote in quotes[after:]] == list(range(last - 15, last + 1))
        assert not any("conflated" in quote for quote in quotes)
    await running.balanced()


async def test_a_client_with_the_disconnect_policy_is_closed_with_the_reason(
    start: Start, upstream: ScriptedUpstream
) -> None:
    running = await start(**TIGHT)
    async with await running.client("/stream?slow=disconnect", receive_buffer=2_304) as slow:
        await slow.subscribe("AAPL", "MSFT")
        await stall(running, upstream, slow)
        assert not running.service.hub.subscriptions, "its holds are given back at once"
        slow.listen()
        end = await slow.closing()
        assert end.code == 4408
        unread, _, advice = end.payload[2:].decode().partition(" quotes unread: ")
        assert int(unread) > TIGHT["max_lag"]
        assert advice == "read faster, subscribe to fewer symbols, or connect with ?slow=conflate"
        slow.send(close(4408))
        assert await slow.ended() == "eof"
    await running.balanced()
    assert running.service.gateway.disconnected_slow == 1


async def test_a_client_that_stopped_reading_is_dropped_in_time(
    start: Start, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "CLOSE_TIMEOUT", 0.5)
    running = await start(**TIGHT, slow="disconnect")
    slow = await running.client(receive_buffer=2_304)
    await stall(running, upstream, slow)
    await until(lambda: not running.service.gateway.connections, "its socket is gone")
    assert not running.kernel_holds(slow)
    await running.balanced()
    slow.reset()


async def test_a_client_is_slow_only_while_it_is_stalled(
    start: Start, upstream: ScriptedUpstream
) -> None:
    """Far more quotes in one turn than the limit: a client that reads gets every one."""
    running = await start(max_lag=2, slow="disconnect")
    async with await running.client() as client:
        for _ in range(20):
            publish(upstream, 50)
            for _ in range(50):
                await client.message("quote")
        assert connection_of(running, client).missed_quotes == 0
    await running.balanced()


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("slow=dropoldest", "slow=dropoldest is not one of conflate, drop-oldest, disconnect"),
        ("slow=", "slow= is not one of conflate, drop-oldest, disconnect"),
        ("x=1&slow=Conflate", "slow=Conflate is not one of conflate, drop-oldest, disconnect"),
        ("slow=conflate%00", "slow=conflate\x00 is not one of conflate, drop-oldest, disconnect"),
    ],
)
@pytest.mark.parametrize("path", ["/stream", "/quotes/AAPL"])
async def test_an_unknown_policy_is_refused_before_the_upgrade(
    running: Running, path: str, query: str, said: str
) -> None:
    async with await RawClient.connect(running.port) as client:
        client.send(head(f"{path}?{query}"))
        answer = await client.response()
    assert answer.status == 400
    assert (answer.json()["code"], answer.json()["message"]) == ("invalid_option", said)
    assert not running.service.hub.feeds
    await running.balanced()


async def test_unknown_query_parameters_are_ignored(running: Running) -> None:
    async with await running.client("/quotes/AAPL?_=17&slow=drop-oldest&from=x") as client:
        assert (await client.message())["type"] == "quote"
        assert connection_of(running, client).backlog.policy is SlowConsumerPolicy.DROP_OLDEST
    await running.balanced()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a socket holds")
@pytest.mark.parametrize("policy", [SlowConsumerPolicy.CONFLATE, SlowConsumerPolicy.DROP_OLDEST])
@pytest.mark.parametrize("symbols", [1, 300])
async def test_a_stalled_client_costs_less_than_a_megabyte(
    start: Start, upstream: ScriptedUpstream, policy: SlowConsumerPolicy, symbols: int
) -> None:
    """With default options, counting our buffers, the logs and the kernel's memory."""
    running = await start(slow=policy, subscribe_rate=0)
    async with await running.client("/stream") as client:
        await client.subscribe(*(f"S{n}" for n in range(symbols)))
        stopped = await stall(running, upstream, client)
        rounds = itertools.count(1)
        # On a busy machine the kernel may have accepted more, so it is not full any more.
        while next(rounds) <= 10 or stopped.writable:
            publish(upstream, 2_000 // symbols)
            await asyncio.sleep(0)
        logs = sum(feed.log.size(1 << 30) for feed in running.service.hub.feeds.values())
        sock = stopped.transport.get_extra_info("socket")
        memory = struct.unpack("9I", sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36))
        held = stopped.unsent + logs + memory[WMEM_QUEUED]
        assert stopped.kernel_queue
        assert memory[WMEM_QUEUED] >= stopped.kernel_queue
        assert held < 1 << 20, (stopped.unsent, logs, memory[WMEM_QUEUED])
        gateway = running.service.gateway
        found = gateway.lag_totals()
        assert (found.slow, found.maximum) == (1, found.quotes)
        await until(
            lambda: gateway.lag_totals().kernel_bytes == stopped.kernel_queue, "it is counted"
        )
        client.reset()
    await running.balanced()


async def test_a_client_that_reads_a_little_is_not_dropped_as_stalled(
    start: Start, upstream: ScriptedUpstream
) -> None:
    """The timeouts are checked at fake times; none is due in real time."""
    running = await start(**TIGHT, stall_timeout=1_000.0)
    gateway = running.service.gateway
    async with await running.client(receive_buffer=2_304) as client:
        publish(upstream, 2_000)
        await asyncio.sleep(0)
        client.deafen()
        slow = connection_of(running, client)
        await until(lambda: slow.stalled_since is not None, "it is stalled")
        now = gateway.now()
        gateway.timeouts.check(slow, now + 999)
        before = slow.unsent
        client.listen()
        await until(lambda: slow.unsent < before, "it took something")
        client.deafen()
        gateway.timeouts.check(slow, now + 1_500)
        gateway.timeouts.check(slow, now + 2_400)
        assert slow.connected
        assert slow.stalled_since is not None
        later = itertools.count(round(now) + 2_450, 1_050)

        def dropped() -> bool:
            gateway.timeouts.check(slow, next(later))  # its kernel may just have taken some
            return not slow.connected

        await until(dropped, "it takes nothing any more")
        client.reset()
    await running.balanced()
    assert gateway.closed == {"4408": 1}


@pytest.mark.parametrize("policy", [SlowConsumerPolicy.CONFLATE, SlowConsumerPolicy.DROP_OLDEST])
async def test_the_policy_can_be_chosen_by_an_action(
    start: Start, upstream: ScriptedUpstream, policy: SlowConsumerPolicy
) -> None:
    running = await start(**TIGHT, slow="disconnect")
    async with await running.client("/stream", receive_buffer=2_304) as client:
        client.send(request("subscribe", "AAPL"))
        await client.message("subscribed")
        client.send(request("slow", policy=policy))
        assert await client.message("slow") == {"type": "slow", "policy": policy}
        stopped = await stall(running, upstream, client)
        await fall_behind(upstream, stopped, 50)
        missed = await read_to(client, running.feed().log.head)
        assert sum(missed) >= 50
        assert missed[policy is SlowConsumerPolicy.CONFLATE] == 0
        assert missed == (stopped.backlog.conflated, stopped.backlog.dropped)
    await running.balanced()


async def test_a_policy_chosen_while_behind_applies_from_then_on(
    start: Start, upstream: ScriptedUpstream
) -> None:
    running = await start(**TIGHT)
    client = await running.client(receive_buffer=2_304)
    stopped = await stall(running, upstream, client)
    client.send(request("slow", policy="disconnect"))
    gateway = running.service.gateway
    await until(
        lambda: stopped.backlog.policy is SlowConsumerPolicy.DISCONNECT,
        "it has chosen, at /quotes/ too",
    )

    def disconnected() -> bool:
        publish(upstream, 1)  # its kernel may just have taken some
        return gateway.closed == {"4408": 1}

    await until(disconnected, "it is disconnected")
    client.reset()
    await running.balanced()


@pytest.mark.parametrize("policy", ["never", "", "x" * 999])
async def test_an_unknown_policy_in_an_action_is_refused_and_changes_nothing(
    running: Running, policy: str
) -> None:
    async with await running.stream("AAPL") as client:
        client.send(request("slow", policy=policy))
        assert await client.message("error") == {
            "type": "error",
            "code": "invalid_option",
            "message": f"policy {policy[:32]!r} is not one of conflate, drop-oldest, disconnect",
        }
        client.send(frame(TEXT, b'{"action":"slow","policy":7}'))
        assert (await client.message("error"))["code"] == "bad_request"
        assert connection_of(running, client).backlog.policy is SlowConsumerPolicy.CONFLATE
        assert running.service.gateway.refused == {"invalid_option": 1}
        await client.message("quote")
    await running.balanced()


@pytest.mark.parametrize("symbols", [["AAPL"], ["AAPL", "MSFT"]])
async def test_the_client_library_can_choose_the_policy(
    running: Running, symbols: list[str]
) -> None:
    where = endpoint.parse(running.ws)
    named = [Symbol(each) for each in symbols]
    async with (
        asyncio.timeout(PATIENCE),
        aclosing(stream(where, named, slow=SlowConsumerPolicy.DROP_OLDEST)) as events,
    ):
        async for event in events:
            if isinstance(event, Received) and isinstance(event.message, SlowPolicy):
                break
        (connection,) = running.service.gateway.connections
        assert connection.backlog.policy is event.message.policy is SlowConsumerPolicy.DROP_OLDEST
    await running.balanced()


async def made_to_wait(
    running: Running, upstream: ScriptedUpstream, client: RawClient
) -> asyncio.Future[None]:
    """Wait until the upstream waits for the client, whose kernel may accept some at first."""
    while True:
        await stall(running, upstream, client)
        waiting = asyncio.ensure_future(upstream.sinks[0].ready())
        for _ in range(10):
            await asyncio.sleep(0)
        if not waiting.done():
            return waiting


async def test_a_waiting_upstream_continues_once_the_slow_client_has_caught_up(
    start: Start, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not only after the grace period for stalled consumers."""
    monkeypatch.setattr(pacing, "STALL_GRACE", 3_600.0)
    running = await start(**TIGHT)
    async with await running.client(receive_buffer=2_304) as client:
        await until(lambda: upstream.sinks, "its feed is open")
        async with asyncio.timeout(PATIENCE):
            waiting = await made_to_wait(running, upstream, client)
        client.listen()
        await asyncio.wait_for(waiting, PATIENCE)
    await running.balanced()
