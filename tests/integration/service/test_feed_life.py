"""The lifecycle of a feed in a running service: demand opens it, and nothing outlives it."""

from __future__ import annotations

import asyncio
import logging

import pytest

from qcfeed.errors import UnknownSymbolError, UpstreamError
from qcfeed.feed.lifecycle import Demand, UpstreamState
from qcfeed.model.symbol import Symbol
from qcfeed.server import hub as hubs
from qcfeed.upstreams.base import Sink
from tests.integration.service.conftest import FAR, Start
from tests.support.patience import PATIENCE
from tests.support.raw_websocket import CLOSE, request
from tests.support.running_service import Running, until
from tests.support.scripted_upstream import TICK, ScriptedUpstream, steadily

AAPL = Symbol("AAPL")


async def test_after_the_last_subscriber_the_feed_lingers_and_is_removed(start: Start) -> None:
    running = await start(linger=FAR)
    first, second = await running.client(), await running.client()
    feed = running.feed()
    assert feed.upstream_task is not None
    task = feed.upstream_task.task
    await first.leave()
    await until(lambda: len(feed.lifecycle.subscribers) == 1, "one has left")
    assert feed.lifecycle.demand is Demand.WANTED
    await second.leave()
    await until(lambda: feed.lifecycle.demand is Demand.LINGERING, "the feed lingers")
    left = asyncio.get_running_loop().time()
    assert not task.done()
    assert feed.lifecycle.deadline == pytest.approx(left + FAR, abs=PATIENCE)
    assert feed.timer is not None
    assert feed.timer.when() == feed.lifecycle.deadline
    feed.lifecycle.lingers_until = left  # and now it is over
    feed.arm_timer()
    await until(lambda: not running.service.hub.feeds, "the feed is forgotten")
    assert task.cancelled()
    await running.balanced()


async def test_the_feed_of_a_quiet_symbol_stops_too(running: Running) -> None:
    async with await running.client("/quotes/ZVZZT"):
        assert running.feed("ZVZZT").log.head == 0
    await running.balanced()


async def test_resubscribing_during_the_linger_keeps_the_generation(start: Start) -> None:
    running = await start(linger=FAR)
    async with await running.client() as client:
        before = await client.message("quote")
    feed = running.feed()
    await until(lambda: feed.lifecycle.demand is Demand.LINGERING, "the feed lingers")
    async with await running.client() as client:
        after = await client.message("quote")
        assert running.feed() is feed
        assert feed.lifecycle.generation == 1
        assert feed.lifecycle.demand is Demand.WANTED
        assert feed.lifecycle.deadline is None
    assert after["epoch"] == before["epoch"]
    assert after["seq"] >= before["seq"]
    running.service.hub.cancel([AAPL], "the test does not wait for the linger time")
    await running.balanced()


async def test_a_subscriber_during_closing_waits_until_the_old_task_is_joined(
    start: Start, upstream: ScriptedUpstream
) -> None:
    may_end = asyncio.Event()

    async def slow_to_end(sink: Sink) -> None:
        try:
            await steadily(sink)
        finally:
            await may_end.wait()
            sink.publish([TICK] * 1_000)  # ticks after the end of a generation are discarded
            sink.opened()

    upstream.life = slow_to_end
    running = await start()
    async with await running.client() as client:
        epoch = (await client.message("quote"))["epoch"]
    feed = running.feed()
    await until(lambda: feed.lifecycle.upstream is UpstreamState.CLOSING, "the feed closes")
    async with await running.client() as client:
        assert feed.lifecycle.demand is Demand.WANTED
        last = feed.log.head
        await asyncio.sleep(0.05)
        assert (len(upstream.sinks), feed.lifecycle.generation) == (1, 1)
        assert feed.log.head == last
        may_end.set()
        await until(lambda: feed.log.head > last, "quotes of the next life")
        assert (len(upstream.sinks), feed.lifecycle.generation) == (2, 2)
        assert upstream.most_alive == 1
        assert feed.log.head < last + 1_000
        quotes = [await client.message("quote") for _ in range(5)]
        assert {quote["epoch"] for quote in quotes} == {epoch}
        numbers = [quote["seq"] for quote in quotes]
        assert numbers == list(range(numbers[0], numbers[0] + 5))
        # A late call from the first generation changes nothing in the second.
        head = feed.log.head
        upstream.sinks[0].publish([TICK])
        assert feed.log.head == head
    await running.balanced()
    assert upstream.alive[AAPL] == 0


async def test_a_failing_upstream_is_retried_with_growing_backoff(
    start: Start,
    upstream: ScriptedUpstream,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hubs, "REPEAT_INTERVAL", FAR)

    async def fails(sink: Sink) -> None:
        sink.opened()
        raise UpstreamError("the exchange hung up")

    upstream.life = fails
    running = await start()
    async with await running.client() as client:
        feed = running.feed()
        await until(lambda: feed.restarts >= 3, "three tries")
        assert feed.lifecycle.generation - feed.restarts in (0, 1)
        assert feed.failure == "the exchange hung up"
        upstream.life = steadily
        assert (await client.message("quote"))["seq"] == 1
        assert running.service.hub.restarts == feed.restarts
    await running.balanced()
    assert upstream.most_alive == 1
    logged = [record for record in caplog.records if "hung up" in record.message]
    assert len(logged) == 1, "the same failure again within seconds is not news"
    assert {record.levelno for record in logged} == {logging.WARNING}


async def test_a_failing_upstream_is_not_retried_without_demand(
    start: Start, upstream: ScriptedUpstream
) -> None:
    fail = asyncio.Event()

    async def fails_when_told(sink: Sink) -> None:
        sink.opened()
        await fail.wait()
        raise UpstreamError("gone")

    upstream.life = fails_when_told
    running = await start(linger=FAR)
    async with await running.client():
        pass
    feed = running.feed()
    await until(lambda: feed.lifecycle.demand is Demand.LINGERING, "the feed lingers")
    fail.set()
    await until(lambda: feed.restarts == 1, "the upstream has failed")
    assert feed.lifecycle.demand is Demand.NONE
    await running.balanced()
    assert len(upstream.sinks) == 1


async def test_a_bug_in_an_upstream_is_logged_with_a_traceback_and_backed_off(
    start: Start, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    async def buggy(_: Sink) -> None:
        raise ZeroDivisionError("a bug")

    upstream.life = buggy
    running = await start()
    async with await running.client() as client:
        feed = running.feed()
        await until(lambda: feed.restarts, "the run has ended")
        upstream.life = steadily
        await client.message("quote")
    await running.balanced()
    records = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert len(records) == feed.restarts
    for record in records:
        assert record.exc_info is not None
        assert isinstance(record.exc_info[1], ZeroDivisionError)


async def test_an_upstream_that_ends_by_itself_is_reopened(
    start: Start, upstream: ScriptedUpstream
) -> None:
    async def one_quote(sink: Sink) -> None:
        sink.publish([TICK])  # the upstream may omit opened()

    upstream.life = one_quote
    running = await start()
    async with await running.client() as client:
        assert [(await client.message("quote"))["seq"] for _ in range(2)] == [1, 2]
        assert running.feed().lifecycle.generation >= 2
    await running.balanced()


async def test_a_symbol_refused_by_the_upstream_is_closed_with_4004(
    start: Start, upstream: ScriptedUpstream
) -> None:
    async def refuses(_: Sink) -> None:
        raise UnknownSymbolError("the exchange has no AAPL")

    upstream.life = refuses
    running = await start()
    async with await running.client() as one, await running.stream() as many:
        many.send(request("subscribe", "AAPL"))
        for client in (one, many):
            end = await client.closing()
            assert (end.code, end.payload[2:]) == (4004, b"the exchange has no AAPL")
    await running.balanced()
    assert len(upstream.sinks) <= 2


async def test_a_stream_with_other_symbols_gets_an_error_and_stays_open(
    start: Start, upstream: ScriptedUpstream
) -> None:
    async def refuses_aapl(sink: Sink) -> None:
        if str(sink).endswith("AAPL"):
            raise UnknownSymbolError("the exchange has no AAPL")
        await steadily(sink)

    upstream.life = refuses_aapl
    running = await start()
    async with await running.stream("MSFT") as client:
        client.send(request("subscribe", "AAPL"))
        error = await client.message("error")
        assert (error["code"], error["symbol"]) == ("unknown_symbol", "AAPL")
        client.send(request("ping"))
        await client.message("pong")
        assert (await client.message("quote"))["symbol"] == "MSFT"
        assert set(running.service.hub.feeds) == {"MSFT"}
    await running.balanced()


async def test_a_feed_forced_down_closes_its_subscribers_with_4410(running: Running) -> None:
    async with await running.client() as one, await running.stream("AAPL", "MSFT") as many:
        await one.message("quote")
        running.service.hub.cancel([AAPL, Symbol("NOBODY")], "cancelled by an operator")
        end = await one.closing()
        assert (end.code, end.payload[2:]) == (4410, b"cancelled by an operator")
        error = await many.message("error")
        assert (error["code"], error["retryable"]) == ("feed_cancelled", True)
        await until(lambda: set(running.service.hub.feeds) == {"MSFT"}, "one feed is left")
        assert (await many.message("quote"))["symbol"] == "MSFT"
        many.send(request("subscribe", "AAPL"))
        assert (await many.message("subscribed"))["symbols"] == ["AAPL", "MSFT"]
    await running.balanced()


async def test_a_feed_without_receivers_logs_nothing_and_publishes_nothing(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    running = await start(upstream="sim:?rate=500")
    caplog.set_level(logging.DEBUG, "qcfeed")
    async with await running.client() as client:
        await client.message("quote")
    await running.balanced()
    counted = running.service.hub.quotes
    await asyncio.sleep(0.1)
    assert running.service.hub.quotes == counted
    assert [record for record in caplog.records if "eceiver" in record.message] == []


async def test_a_task_that_refuses_to_end_is_reported_and_does_not_block_others(
    start: Start, upstream: ScriptedUpstream
) -> None:
    release = asyncio.Event()

    async def immortal(sink: Sink) -> None:
        sink.opened()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    upstream.life = immortal
    running = await start(drain_timeout=FAR)
    async with await running.client():
        pass
    feed = running.feed()
    await until(lambda: feed.lifecycle.upstream is UpstreamState.CLOSING, "the feed closes")
    upstream.life = steadily
    async with await running.client("/quotes/MSFT") as other, await running.client() as client:
        await other.message("quote")
        stopping = asyncio.create_task(running.service.stop())
        for each in (other, client):
            frame = await each.closing()
            assert (frame.opcode, frame.code) == (CLOSE, 1001)
            await each.leave()
        await until(lambda: set(running.service.hub.feeds) == {"AAPL"}, "the others are down")
        assert not stopping.done()
        release.set()
        await stopping
    await running.balanced()
