"""How old the last quote is, told in-band with its cause."""

from __future__ import annotations

import asyncio
import time

from qcfeed.core.lifecycle import Demand
from qcfeed.upstreams.base import Sink
from tests.integration.service.conftest import Start
from tests.support.raw_websocket import RawClient
from tests.support.running_service import until
from tests.support.scripted_upstream import TICK, ScriptedUpstream

BANDS = {"stale_after": 0.1, "very_stale_after": 0.3, "dead_after": 0.5}


async def told(client: RawClient) -> tuple[str, str | None]:
    """State and reason of the next status."""
    status = await client.message("status")
    return status["state"], status.get("reason")


async def test_a_quiet_symbol_grows_stale_very_stale_and_dead(start: Start) -> None:
    running = await start(**BANDS)
    async with await running.client("/quotes/ZVZZT") as client:
        ages = []
        for state in ("stale", "very_stale", "dead"):
            status = await client.message()
            assert (status["type"], status["symbol"]) == ("status", "ZVZZT")
            assert (status["state"], status["reason"]) == (state, "upstream_silent")
            ages.append(status["age_ms"])
        for age, least in zip(ages, (100, 300, 500), strict=True):
            assert least <= age < least + 190
        # One who comes later is told at once.
        async with await running.client("/quotes/ZVZZT") as second:
            assert await told(second) == ("dead", "upstream_silent")
    await running.balanced()


async def test_a_quote_brings_it_back_to_life(start: Start, upstream: ScriptedUpstream) -> None:
    speak = asyncio.Event()

    async def speaks_when_told(sink: Sink) -> None:
        sink.opened()
        while True:
            await speak.wait()
            speak.clear()
            sink.publish([TICK])

    upstream.life = speaks_when_told
    running = await start(**BANDS)
    async with await running.client() as client:
        assert await told(client) == ("stale", "upstream_silent")
        for _ in range(2):
            speak.set()
            messages = [await client.message() for _ in range(2)]
            assert sorted(message["type"] for message in messages) == ["quote", "status"]
            live = next(each for each in messages if each["type"] == "status")
            assert (live["state"], live.get("reason")) == ("live", None)
            assert await told(client) == ("stale", "upstream_silent")


async def test_an_upstream_that_is_down_is_the_cause(
    start: Start, upstream: ScriptedUpstream
) -> None:
    async def waits(sink: Sink) -> None:
        await asyncio.get_running_loop().create_future()

    upstream.life = waits
    upstream.connected = False
    running = await start(**BANDS)
    async with await running.client() as client:
        assert await told(client) == ("stale", "upstream_down")


async def test_a_feed_in_backoff_is_down_too(start: Start, upstream: ScriptedUpstream) -> None:
    async def ends(sink: Sink) -> None:
        sink.opened()
        await asyncio.sleep(0.05)

    upstream.life = ends
    running = await start(stale_after=2.0)
    async with await running.client() as client:
        await until(lambda: running.feed().life.deadline is not None, "the feed backs off")
        feed = running.feed()
        feed.life._retries_at += 60  # as after many tries
        assert await told(client) == ("stale", "upstream_down")
        assert feed.status().age_ms >= 2_000
    running.service.hub.cancel(list(running.service.hub.feeds), "the test does not wait")


async def test_our_own_lag_is_not_blamed_on_the_upstream(start: Start) -> None:
    running = await start(stale_after=0.3, very_stale_after=30, dead_after=60)
    async with await running.client("/quotes/ZVZZT") as client:
        await until(lambda: running.feed("ZVZZT").life.subscribers, "the feed is held")
        time.sleep(1.5)  # noqa: ASYNC251 — the loop is blocked for real
        assert await told(client) == ("stale", "own_lag")
    async with await running.client("/quotes/AAPL") as client:
        await client.message("quote")


async def test_silence_while_nobody_asked_is_not_our_lag(start: Start) -> None:
    running = await start(linger=30.0, stale_after=0.2, very_stale_after=30, dead_after=60)
    async with await running.client("/quotes/ZVZZT"):
        pass
    feed = running.feed("ZVZZT")
    await until(lambda: feed.life.demand is Demand.LINGERING, "the feed lingers")
    await asyncio.sleep(1.5)  # more than LATE beyond the threshold: that is what is tried
    assert feed.staleness.cause is None, "nobody is told, so nothing is measured"
    async with await running.client("/quotes/ZVZZT") as client:
        assert await told(client) == ("stale", "upstream_silent")
    running.service.hub.cancel([feed.symbol], "the test does not wait for the linger time")
    await running.balanced()
