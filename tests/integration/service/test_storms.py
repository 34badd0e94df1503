"""Many clients at once, disconnecting rudely and in random order, leave nothing behind."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter

import psutil

from qcfeed.model.symbol import Symbol
from qcfeed.upstreams.universe import TICKERS
from tests.integration.service.conftest import Start
from tests.support.raw_websocket import RawClient, close, collect, frame, head, request
from tests.support.running_service import Running, until
from tests.support.scripted_upstream import ScriptedUpstream

CROWD = 3_000
AT_ONCE = 750


async def test_three_thousand_rude_disconnects(start: Start, patient: None) -> None:
    """Resets, dropped sockets and half closes, at every stage of a connection."""
    running = await start(upstream="sim:?rate=5", subscribe_rate=0, linger=0.02)
    rng = random.Random(20240320)
    room = asyncio.Semaphore(AT_ONCE)
    started = Counter[str]()

    async def come_and_go(number: int) -> None:
        async with room:
            client = await RawClient.connect(running.port)
            moment = rng.choice(
                ("at once", "in the head", "after it", "with a quote", "in a frame")
            )
            started[moment] += 1
            path = f"/quotes/{TICKERS[number % 100]}" if number % 3 else "/stream"
            if moment == "in the head":
                client.send(head(path)[: rng.randrange(1, 150)])
            elif moment != "at once":
                client.send(head(path), request("subscribe", "AAPL", "MSFT"))
            if moment in ("with a quote", "in a frame"):
                await client.response()
                await client.frame()
            if moment == "in a frame":
                client.send(frame(1, b"x" * 1_000)[: rng.randrange(1, 1_000)])
            await rng.choice((_reset, _leave, _half_close))(client)

    async with await running.client("/quotes/AAPL") as witness:
        seen: list[int] = []
        reading = asyncio.create_task(collect(witness, seen))
        await until(lambda: seen, "quotes come")
        await asyncio.gather(*(come_and_go(number) for number in range(CROWD)))
        await until(lambda: len(running.service.gateway.connections) == 1, "one is left")
        await until(lambda: len(running.service.hub.feeds) == 1, "its feed is left")
        assert running.service.hub.subscriptions == 1
        last = running.feed().log.head
        await until(lambda: seen[-1] >= last, "the witness has them all")
        reading.cancel()
        await asyncio.wait([reading])
        assert seen == list(range(seen[0], seen[-1] + 1)), "the witness lost a quote"
    assert started.total() == CROWD
    assert min(started.values()) > CROWD / 10
    await running.balanced()


async def _reset(client: RawClient) -> None:
    client.reset()


async def _leave(client: RawClient) -> None:
    await client.leave()


async def _half_close(client: RawClient) -> None:
    client.finish()
    await client.ended()
    await client.leave()


async def test_two_hundred_clients_subscribe_and_unsubscribe_in_any_order(
    start: Start, upstream: ScriptedUpstream
) -> None:
    running = await start(linger=0.0, subscribe_rate=0)
    names = [str(ticker) for ticker in TICKERS[:400]]
    orders = itertools.count()

    async def play() -> None:
        rng = random.Random(next(orders))
        held: set[str] = set()
        async with await running.client("/stream") as client:
            for _ in range(20):
                some = rng.sample(names, rng.randrange(1, 4))
                action = rng.choice(("subscribe", "unsubscribe"))
                if action == "unsubscribe":  # some subscribed, some not
                    some += rng.sample(sorted(held), rng.randrange(len(held) + 1))
                held = held | {*some} if action == "subscribe" else held - {*some}
                client.send(request(action, *some))
                if rng.random() < 0.5:
                    await asyncio.sleep(0)
            client.send(request("ping"))
            last: list[str] = []
            while (said := await client.message("subscribed", "pong"))["type"] != "pong":
                last = said["symbols"]
            assert last == sorted(held)
            await _nothing_else_comes(client, held)
            if rng.random() < 0.5:
                client.send(close(1000))
                await client.closing()

    await asyncio.gather(*(play() for _ in range(200)))
    await running.balanced()
    assert upstream.most_alive == 1, "two runs of one symbol lived at once"
    assert not +upstream.alive
    assert len(upstream.sinks) > len(names), "no feed ever came back"


async def _nothing_else_comes(client: RawClient, held: set[str]) -> None:
    """Quotes of the subscribed symbols only, without gaps."""
    last: dict[str, tuple[str, int]] = {}
    for _ in range(10 if held else 0):
        quote = await client.message("quote")
        symbol, epoch, seq = quote["symbol"], quote["epoch"], quote["seq"]
        assert symbol in held
        if symbol in last and last[symbol][0] == epoch:
            assert seq == last[symbol][1] + 1
        last[symbol] = (epoch, seq)


async def test_feeds_that_are_opened_and_closed_all_the_time_leave_nothing(
    running: Running,
) -> None:
    async with await running.stream() as client:
        for round_ in range(100):
            client.send(request("subscribe", "AAPL", "MSFT"))
            await client.message("subscribed")
            if round_ % 2:
                running.service.hub.cancel([Symbol("AAPL")], "now and then")
            client.send(request("unsubscribe", "AAPL", "MSFT"))
            await client.message("subscribed")
    await running.balanced()


async def test_a_thousand_cycles_leave_memory_flat(running: Running) -> None:
    async def cycles(count: int) -> int:
        for _ in range(count):
            client = await running.client()
            await client.message("quote")
            client.reset()
        await running.balanced()
        return int(psutil.Process().memory_info().rss)

    warm = await cycles(300)
    assert await cycles(700) - warm < 4 << 20
