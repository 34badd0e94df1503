"""What a feed does as time passes, to the second: it grows stale, lingers, retries and waits for consumers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

import pytest

from qcfeed.errors import UpstreamError
from qcfeed.feed.lifecycle import Demand, UpstreamState
from qcfeed.model.messages import Band, CloseCode
from qcfeed.server.feed import Feed
from qcfeed.server.hub import REPEAT_INTERVAL
from qcfeed.upstreams.base import Sink
from tests.support.modelled_kernel import NEVER, Exchange, Peer, symbols, timeless, turns
from tests.support.virtual_time import in_virtual_time

LINGER, STALE, VERY_STALE, DEAD = 1_000.0, 15.0, 300.0, 1_200.0
LIMIT = 16
ONE, OTHER = symbols(2)


def running() -> contextlib.AbstractAsyncContextManager[Exchange]:
    return Exchange.running(
        timeless(
            linger=LINGER,
            stale_after=STALE,
            very_stale_after=VERY_STALE,
            dead_after=DEAD,
            max_lag=LIMIT,
            send_buffer=4_608,
        )
    )


async def subscribed(exchange: Exchange) -> tuple[Peer, Feed]:
    peer = exchange.connect()
    peer.say("subscribe", ONE)
    await turns()
    return peer, exchange.hub.feeds[ONE]


def told(peer: Peer) -> list[tuple[Any, ...]]:
    """All quotes and statuses that the peer has received: sequence numbers, or state, age and reason."""
    peer.read()
    return [
        (each["seq"],)
        if each["type"] == "quote"
        else (each["state"], each["age_ms"], each.get("reason"))
        for each in peer.messages
        if each["type"] in ("quote", "status")
    ]


# ---------------------------------------------------------------- staleness


@in_virtual_time
async def test_a_symbol_without_quotes_is_stale_very_stale_and_dead_after_exactly_its_thresholds() -> (
    None
):
    async with running() as exchange:
        peer, feed = await subscribed(exchange)
        await asyncio.sleep(STALE - 0.001)
        assert told(peer) == []
        await asyncio.sleep(DEAD + 1_000.0)
        assert told(peer) == [
            ("stale", 15_000, "upstream_silent"),
            ("very_stale", 300_000, "upstream_silent"),
            ("dead", 1_200_000, "upstream_silent"),
        ]
        assert feed.status().age_ms == pytest.approx((STALE + DEAD + 1_000.0) * 1_000, abs=2)
        assert feed.timer is None, "nothing is due any more"


@in_virtual_time
async def test_every_quote_restarts_the_age_and_the_first_one_after_stale_is_preceded_by_live() -> (
    None
):
    async with running() as exchange:
        peer, feed = await subscribed(exchange)
        await asyncio.sleep(STALE - 1.0)
        await exchange.publish({ONE: 1})
        await asyncio.sleep(STALE - 1.0)
        assert told(peer) == [(1,)]
        await asyncio.sleep(1.0)
        await exchange.publish({ONE: 1})
        await exchange.publish({ONE: 1})
        assert told(peer)[1:] == [
            ("stale", 15_000, "upstream_silent"),
            ("live", 0, None),
            (2,),
            (3,),
        ]
        await asyncio.sleep(STALE)
        assert told(peer)[5:] == [("stale", 15_000, "upstream_silent")]
        assert feed.staleness.band is Band.STALE


@in_virtual_time
async def test_a_new_subscriber_gets_the_latest_quote_while_it_is_fresh_and_else_the_status() -> (
    None
):
    async with running() as exchange:
        _, feed = await subscribed(exchange)
        await exchange.publish({ONE: 3})
        await asyncio.sleep(STALE - 0.001)
        early, _ = await subscribed(exchange)
        assert told(early) == [(3,)]
        await exchange.publish({ONE: 1})
        assert told(early) == [(3,), (4,)]
        await asyncio.sleep(STALE + 5.0)
        late, _ = await subscribed(exchange)
        assert told(late) == [("stale", 20_000, "upstream_silent")]
        assert feed.log.delivered == 3 + 1 + 2


@in_virtual_time
async def test_a_quote_that_grew_old_while_its_feed_lingered_is_not_sent_as_the_latest() -> None:
    async with running() as exchange:
        peer, feed = await subscribed(exchange)
        await exchange.publish({ONE: 1})
        peer.say("unsubscribe", ONE)
        await asyncio.sleep(STALE)
        assert feed.lifecycle.demand is Demand.LINGERING
        assert feed.status().state is Band.LIVE, "without subscribers nobody is told"
        late, _ = await subscribed(exchange)
        assert told(late) == [("stale", 15_000, "upstream_silent")]


@in_virtual_time
async def test_the_reason_for_silence_is_a_disconnected_upstream_or_one_that_has_not_opened_again() -> (
    None
):
    async with running() as exchange:
        peer, _ = await subscribed(exchange)
        exchange.upstream.connected = False
        await asyncio.sleep(STALE)
        assert told(peer) == [("stale", 15_000, "upstream_down")]
        exchange.upstream.connected = True
        await asyncio.sleep(VERY_STALE - STALE)
        assert told(peer)[1:] == [("very_stale", 300_000, "upstream_silent")]

        async def fails(sink: Sink) -> None:
            raise UpstreamError("refused")

        exchange.upstream.life = fails
        exchange.upstream.sinks.clear()
        feed = exchange.hub.feeds[ONE]
        assert feed.upstream_task is not None
        feed.upstream_task.task.cancel()
        feed.lifecycle.retries_at = asyncio.get_running_loop().time() + NEVER
        await turns(5)
        feed.lifecycle.retries_at = asyncio.get_running_loop().time() + NEVER
        feed.arm_timer()
        await asyncio.sleep(DEAD - VERY_STALE)
        assert told(peer)[2:] == [("dead", 1_200_000, "upstream_down")]


# ---------------------------------------------------------------- linger and retries


@in_virtual_time
async def test_without_subscribers_a_feed_ends_after_exactly_its_linger_time() -> None:
    async with running() as exchange:
        peer, feed = await subscribed(exchange)
        task = feed.upstream_task
        assert task is not None
        peer.say("unsubscribe", ONE)
        await asyncio.sleep(LINGER - 0.001)
        assert exchange.hub.feeds == {ONE: feed}
        assert not task.task.done()
        await asyncio.sleep(0.001)
        await turns(5)
        assert exchange.hub.feeds == {}
        assert task.task.cancelled()
        assert feed.timer is None
        assert (feed.restarts, feed.failure) == (0, None), "it was ended, and did not fail"


@in_virtual_time
async def test_a_subscriber_within_the_linger_time_keeps_the_feed_and_its_quotes() -> None:
    async with running() as exchange:
        peer, feed = await subscribed(exchange)
        await exchange.publish({ONE: 1})
        peer.say("unsubscribe", ONE)
        await asyncio.sleep(LINGER - 1.0)
        await exchange.publish({ONE: 1})
        peer.say("subscribe", ONE)
        await asyncio.sleep(STALE - 1.0)
        assert exchange.hub.feeds[ONE] is feed
        assert told(peer) == [(1,), (2,)]
        assert feed.lifecycle.generation == 1


@in_virtual_time
async def test_a_failed_upstream_is_tried_again_when_its_backoff_is_over_and_not_before() -> None:
    async with running() as exchange:
        _, feed = await subscribed(exchange)
        (first,) = exchange.upstream.sinks
        assert feed.upstream_task is not None
        feed.upstream_task.task.cancel()
        await turns(5)
        now = asyncio.get_running_loop().time()
        assert feed.lifecycle.upstream is UpstreamState.BACKOFF
        assert now <= feed.lifecycle.retries_at <= now + 0.5, "the first delay is half a second"
        feed.lifecycle.retries_at = now + 7.0
        feed.arm_timer()
        await asyncio.sleep(6.999)
        assert exchange.upstream.sinks == [first]
        await asyncio.sleep(0.001)
        await turns()
        _, second = exchange.upstream.sinks
        assert (first.closed, second.closed) == (True, False)
        assert (str(first), str(second)) == (
            f"generation 1 of feed {ONE}",
            f"generation 2 of feed {ONE}",
        )
        assert feed.upstream_task.task.get_name() == f"feed {ONE} #2"


@in_virtual_time
async def test_a_failure_of_many_feeds_is_logged_once_in_five_seconds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "qcfeed.hub")

    def logged() -> list[tuple[str, str]]:
        found = [
            (each.levelname, each.message) for each in caplog.records if each.name == "qcfeed.hub"
        ]
        caplog.clear()
        return found

    async with running() as exchange:
        feeds = []
        for symbol in (ONE, OTHER):
            exchange.connect().say("subscribe", symbol)
            feeds.append(exchange.hub.feeds[symbol])
        one, other = feeds
        one.failure = other.failure = "connection lost"
        exchange.hub.log_failure(one)
        exchange.hub.log_failure(other)
        assert logged() == [
            ("WARNING", f"{ONE}: connection lost (feeds with subscribers retry)"),
            ("DEBUG", f"{OTHER}: connection lost"),
        ]
        await asyncio.sleep(REPEAT_INTERVAL)
        exchange.hub.log_failure(one)
        assert [level for level, _ in logged()] == ["DEBUG"], "counted from the last, not the first"
        await asyncio.sleep(REPEAT_INTERVAL + 0.001)
        exchange.hub.log_failure(one)
        one.failure = "no such host"
        exchange.hub.log_failure(one)
        assert [level for level, _ in logged()] == ["WARNING", "WARNING"], (
            "long ago, and another one"
        )
    assert REPEAT_INTERVAL == 5.0


# ---------------------------------------------------------------- rates


@in_virtual_time
async def test_the_rate_is_the_number_of_quotes_per_second_since_the_last_sample() -> None:
    async with running() as exchange:
        _, feed = await subscribed(exchange)
        await exchange.publish({ONE: 5})
        await asyncio.sleep(2.0)
        exchange.hub.sample()
        assert feed.rate == 2.5
        await exchange.publish({ONE: 8})
        exchange.hub.sample()
        assert feed.rate == 2.5, "no time has passed"
        await asyncio.sleep(4.0)
        exchange.hub.sample()
        assert feed.rate == 2.0
        await asyncio.sleep(4.0)
        exchange.hub.sample()
        assert feed.rate == 0.0


# ---------------------------------------------------------------- rate=max


@in_virtual_time
async def test_an_upstream_waits_a_quarter_of_a_second_for_a_consumer_that_has_stalled() -> None:
    async with running() as exchange:
        peer, feed = await subscribed(exchange)
        reading, _ = await subscribed(exchange)
        peer.wire.room = 0
        await exchange.publish({ONE: 1})
        await asyncio.sleep(0.1)
        await exchange.publish({ONE: LIMIT})
        reading.read()
        began = asyncio.get_running_loop().time()
        await feed.pacing.wait()
        # It stalled 0.1 s ago; it is looked at again after 0.25 s, as nothing reports it before.
        assert asyncio.get_running_loop().time() - began == pytest.approx(0.25)
        await feed.pacing.wait()
        assert asyncio.get_running_loop().time() - began == pytest.approx(0.25), (
            "no longer waited for"
        )


@in_virtual_time
async def test_an_upstream_whose_only_consumer_has_stalled_waits_until_it_reads_again() -> None:
    async with running() as exchange:
        peer, feed = await subscribed(exchange)
        peer.wire.room = 0
        await exchange.publish({ONE: 1})
        await exchange.publish({ONE: LIMIT})
        waiting = asyncio.create_task(feed.pacing.wait())
        await asyncio.sleep(100.0)
        assert not waiting.done()
        peer.drain()
        await turns()
        await asyncio.sleep(0.25)
        assert waiting.done()
        exchange.hub.cancel([ONE], "test")
        assert peer.close_code is None, "not read yet"
        peer.read()
        assert peer.close_code == CloseCode.FEED_CANCELLED
