"""Status messages to subscribers: the staleness band and its reason."""

from __future__ import annotations

import asyncio
import time

import pytest

from qcfeed.feed.lifecycle import Demand
from qcfeed.server.feed import Feed
from qcfeed.upstreams.base import Sink
from tests.integration.service.conftest import FAR, Start
from tests.support.patience import PATIENCE
from tests.support.raw_websocket import RawClient
from tests.support.running_service import until
from tests.support.scripted_upstream import TICK, ScriptedUpstream

SOON = {"stale_after": 0.1, "very_stale_after": 200, "dead_after": 300}
LATER = {"stale_after": 100, "very_stale_after": 300, "dead_after": 500}
"""Long bands: the test moves the time itself."""


@pytest.fixture(autouse=True)
def _never_late(request: pytest.FixtureRequest) -> None:
    if "own_lag" not in request.node.name:
        request.getfixturevalue("never_late")


async def told(client: RawClient) -> tuple[str, str | None]:
    """State and reason of the next status message."""
    status = await client.message("status")
    return status["state"], status.get("reason")


def pass_time(feed: Feed, seconds: float) -> None:
    """Let the last quote be this many seconds older."""
    feed.staleness.updated_at -= seconds
    feed.arm_timer()


async def test_a_quiet_symbol_grows_stale_very_stale_and_dead(start: Start) -> None:
    running = await start(**LATER)
    async with await running.client("/quotes/ZVZZT") as client:
        await until(lambda: running.feed("ZVZZT").lifecycle.subscribers, "the feed is held")
        for state, seconds in (("stale", 100), ("very_stale", 300), ("dead", 500)):
            passed = 100 if state == "stale" else 200
            pass_time(running.feed("ZVZZT"), passed)
            status = await client.message()
            assert (status["type"], status["symbol"]) == ("status", "ZVZZT")
            assert (status["state"], status["reason"]) == (state, "upstream_silent")
            assert 0 <= status["age_ms"] / 1000 - seconds < PATIENCE
        # A later subscriber gets the status at once.
        async with await running.client("/quotes/ZVZZT") as second:
            assert await told(second) == ("dead", "upstream_silent")
    await running.balanced()


async def test_a_quote_makes_a_symbol_live_again(start: Start, upstream: ScriptedUpstream) -> None:
    speak = asyncio.Event()

    async def speaks_when_told(sink: Sink) -> None:
        sink.opened()
        while True:
            await speak.wait()
            speak.clear()
            sink.publish([TICK])

    upstream.life = speaks_when_told
    running = await start(**SOON)
    async with await running.client() as client:
        assert await told(client) == ("stale", "upstream_silent")
        for _ in range(2):
            speak.set()
            messages = [await client.message() for _ in range(2)]
            assert sorted(message["type"] for message in messages) == ["quote", "status"]
            live = next(each for each in messages if each["type"] == "status")
            assert (live["state"], live.get("reason")) == ("live", None)
            assert await told(client) == ("stale", "upstream_silent")


async def test_a_disconnected_upstream_is_the_reason(
    start: Start, upstream: ScriptedUpstream
) -> None:
    async def waits(sink: Sink) -> None:
        await asyncio.get_running_loop().create_future()

    upstream.life = waits
    upstream.connected = False
    running = await start(**SOON)
    async with await running.client() as client:
        assert await told(client) == ("stale", "upstream_down")


async def test_a_feed_in_backoff_is_down_too(start: Start, upstream: ScriptedUpstream) -> None:
    async def ends(sink: Sink) -> None:
        sink.opened()
        await asyncio.sleep(0.05)

    upstream.life = ends
    running = await start(**LATER)
    async with await running.client() as client:
        await until(lambda: running.feed().lifecycle.deadline is not None, "the feed backs off")
        feed = running.feed()
        feed.lifecycle.retries_at += FAR  # as after many tries
        pass_time(feed, 100)
        assert await told(client) == ("stale", "upstream_down")
        assert feed.status().age_ms >= 100_000
    running.service.hub.cancel(list(running.service.hub.feeds), "the test does not wait")


async def test_our_own_lag_is_not_blamed_on_the_upstream(start: Start) -> None:
    running = await start(**LATER)
    async with await running.client("/quotes/ZVZZT") as client:
        await until(lambda: running.feed("ZVZZT").lifecycle.subscribers, "the feed is held")
        pass_time(running.feed("ZVZZT"), 99.7)
        time.sleep(1.5)  # noqa: ASYNC251 — the loop is blocked for real
        assert await told(client) == ("stale", "own_lag")
    async with await running.client("/quotes/AAPL") as client:
        await client.message("quote")


async def test_silence_without_subscribers_is_not_own_lag(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qcfeed.feed.staleness.OWN_LAG_LIMIT", PATIENCE)
    running = await start(linger=FAR, **LATER)
    async with await running.client("/quotes/ZVZZT"):
        pass
    feed = running.feed("ZVZZT")
    await until(lambda: feed.lifecycle.demand is Demand.LINGERING, "the feed lingers")
    feed.staleness.updated_at -= 101 + PATIENCE  # more than OWN_LAG_LIMIT beyond the threshold
    assert feed.timer is not None
    assert feed.timer.when() == feed.lifecycle.deadline, "nobody is told, so nothing is measured"
    async with await running.client("/quotes/ZVZZT") as client:
        assert await told(client) == ("stale", "upstream_silent")
    running.service.hub.cancel([feed.symbol], "the test does not wait for the linger time")
    await running.balanced()
