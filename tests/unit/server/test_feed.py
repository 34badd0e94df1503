"""A feed and its upstream task: what opens it, which ticks it drops, and when the upstream may go on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from qcfeed.diagnostics import Ledger
from qcfeed.feed.lifecycle import UpstreamState
from qcfeed.model.encoded import EncodedQuote
from qcfeed.model.messages import CloseCode, Tick, encode, quote
from qcfeed.server import pacing
from qcfeed.server.feed import Feed
from tests.support.modelled_kernel import Exchange, Peer, symbols, timeless, turns, until
from tests.support.scripted_upstream import TICK

(ONE,) = symbols(1)
LIMIT = 16
NEAR = LIMIT // 4
"""Quotes that a consumer may be behind while the upstream goes on."""
NEGATIVE = Tick(-1.0, 300, 190.01, 100, 190.0, TICK.ts)


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    exchange = Exchange(timeless(max_lag=LIMIT, send_buffer=4_608))
    yield exchange
    await exchange.stop()


async def subscribed(exchange: Exchange) -> tuple[Peer, Feed]:
    peer = exchange.connect()
    peer.say("subscribe", ONE)
    feed = exchange.hub.feeds[ONE]
    await until(lambda: exchange.upstream.alive[ONE] > 0)
    return peer, feed


async def test_the_first_quote_opens_a_feed_whose_upstream_does_not_say_so(
    exchange: Exchange,
) -> None:
    _, feed = await subscribed(exchange)
    assert feed.lifecycle.upstream is UpstreamState.OPENING
    feed.publish([TICK])
    assert feed.lifecycle.upstream is UpstreamState.OPEN


async def test_an_upstream_says_that_it_is_open_and_later_ones_that_are_closed_do_not_count(
    exchange: Exchange,
) -> None:
    _, feed = await subscribed(exchange)
    (sink,) = exchange.upstream.sinks
    assert not sink.closed
    sink.opened()
    assert feed.lifecycle.upstream is UpstreamState.OPEN
    feed.evict_all(CloseCode.FEED_CANCELLED, "test")
    await turns(5)
    assert sink.closed
    sink.publish([TICK])
    assert feed.log.head == 0


async def test_a_feed_whose_upstream_ended_has_no_task_and_counts_a_restart(
    exchange: Exchange,
) -> None:
    _, feed = await subscribed(exchange)
    assert feed.upstream_task is not None
    task = feed.upstream_task.task
    task.cancel()
    await turns(5)
    assert task.done()
    assert feed.upstream_task is None
    assert feed.restarts == 1
    assert feed.lifecycle.upstream is UpstreamState.BACKOFF


async def test_invalid_ticks_are_dropped_counted_and_logged_once(
    exchange: Exchange, caplog: pytest.LogCaptureFixture
) -> None:
    peer, feed = await subscribed(exchange)
    assert (feed.invalid_ticks, exchange.hub.invalid_ticks) == (0, 0)
    with caplog.at_level(logging.WARNING, "qcfeed"):
        feed.publish([TICK, NEGATIVE, TICK])
        feed.publish([NEGATIVE])
    await turns()
    peer.read()
    assert [each["seq"] for each in peer.quotes()] == [1, 2]
    assert feed.invalid_ticks == 2
    assert (feed.failure or "").startswith("2 invalid ticks dropped, last: ")
    dropped = [each for each in caplog.messages if "dropped an invalid tick" in each]
    assert len(dropped) == 1
    assert exchange.hub.invalid_ticks == 2
    exchange.hub.cancel([ONE], "test")
    await turns(5)
    assert ONE not in exchange.hub.feeds
    assert exchange.hub.invalid_ticks == 2, "the total outlives the feed"


async def test_a_forced_end_returns_the_subscribers_in_the_order_in_which_they_came(
    exchange: Exchange,
) -> None:
    peer, feed = await subscribed(exchange)
    for _ in range(3):
        exchange.connect().say("subscribe", ONE)
    evicted = feed.evict_all(CloseCode.FEED_CANCELLED, "test")
    assert len(evicted) == 4
    assert [each.serial for each in evicted] == sorted(each.serial for each in evicted)
    assert all(each.closed for each in evicted)
    assert feed.lifecycle.subscribers == set()
    peer.read()
    assert peer.close_code == CloseCode.FEED_CANCELLED
    await turns(5)
    assert exchange.hub.feeds == {}


async def test_the_time_of_the_last_quote_is_that_of_the_wall_clock(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, feed = await subscribed(exchange)
    assert feed.last_quote_at is None
    monkeypatch.setattr(exchange.hub, "wall_clock", lambda: 1_710_900_900.0)
    feed.publish([NEGATIVE])
    assert feed.last_quote_at is None, "an invalid tick is no quote"
    feed.publish([TICK])
    assert feed.last_quote_at == 1_710_900_900.0


async def test_the_upstream_task_is_named_labelled_and_owned_for_diagnostics(
    exchange: Exchange,
) -> None:
    ledger = Ledger()
    ledger.install(asyncio.get_running_loop())
    try:
        _, feed = await subscribed(exchange)
        assert feed.upstream_task is not None
        owner, task = feed.upstream_task, feed.upstream_task.task
        (record,) = (each for each in ledger.records() if each.task is task)
    finally:
        ledger.uninstall()
    assert task.get_name() == f"feed {ONE} #1"
    assert record.context.labels == {"symbol": ONE}
    assert record.context.owner is owner
    assert str(owner) == f"generation 1 of feed {ONE}"
    assert not owner.closed
    feed.evict_all(CloseCode.FEED_CANCELLED, "test")
    await turns(5)
    assert owner.closed, "a task that outlives this is an orphan"


# ---------------------------------------------------------------- quotes of another service


async def test_relayed_quotes_keep_their_text_and_epoch_and_replace_the_feeds_own(
    exchange: Exchange,
) -> None:
    peer, feed = await subscribed(exchange)
    (sink,) = exchange.upstream.sinks
    own = feed.epoch
    sink.relay([], "epoch-0")
    assert (feed.epoch, feed.lifecycle.upstream) == (own, UpstreamState.OPENING), "nothing came"
    sink.relay(
        [EncodedQuote(encode(quote(ONE, TICK, "epoch-7", seq))) for seq in (7, 8)], "epoch-7"
    )
    await turns()
    peer.read()
    assert [(each["seq"], each["epoch"]) for each in peer.quotes()] == [
        (7, "epoch-7"),
        (8, "epoch-7"),
    ]
    assert (feed.epoch, feed.lifecycle.upstream) == ("epoch-7", UpstreamState.OPEN)
    assert feed.last_quote_at is not None
    assert exchange.hub.quotes == 2
    late, _ = await subscribed(exchange)
    late.read()
    assert [each["seq"] for each in late.quotes()] == [8]


async def test_relayed_quotes_of_an_upstream_that_is_closed_are_discarded(
    exchange: Exchange,
) -> None:
    peer, feed = await subscribed(exchange)
    (sink,) = exchange.upstream.sinks
    feed.evict_all(CloseCode.FEED_CANCELLED, "test")
    some = [EncodedQuote(encode(quote(ONE, TICK, "old", 1)))]
    exchange.connect().say("subscribe", ONE)  # waits for the quotes of the next generation
    sink.relay(some, "old")
    sink.publish([TICK])
    assert feed.log.head == 0
    await turns(5)
    sink.relay(some, "old")
    sink.opened()
    assert (feed.log.head, feed.lifecycle.upstream) == (0, UpstreamState.OPENING)
    assert feed.epoch != "old"
    peer.read()
    assert peer.quotes() == []


# ---------------------------------------------------------------- rate=max


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stalled consumer is waited for as long as the test lasts, also on a busy machine."""
    monkeypatch.setattr(pacing, "STALL_GRACE", 3_600.0)


async def waits(feed: Feed) -> bool:
    """Whether an upstream that has published waits for its consumers now."""
    waiting = asyncio.create_task(feed.pacing.wait())
    await turns(5)
    done = waiting.done()
    waiting.cancel()
    await asyncio.wait([waiting])
    return not done


async def test_an_upstream_goes_on_while_its_consumers_are_near_the_head(
    exchange: Exchange,
) -> None:
    _, feed = await subscribed(exchange)
    feed.publish([TICK] * NEAR)
    assert not await waits(feed)


@pytest.mark.usefixtures("patient")
async def test_an_upstream_waits_for_a_consumer_that_is_behind_until_it_has_caught_up(
    exchange: Exchange,
) -> None:
    peer, _ = await subscribed(exchange)
    peer.wire.room = 0
    await exchange.publish({ONE: 1})
    await exchange.publish({ONE: NEAR + 1})
    (sink,) = exchange.upstream.sinks
    waiting = asyncio.create_task(sink.ready())
    await turns(5)
    assert not waiting.done()
    peer.drain()
    await until(waiting.done)


@pytest.mark.usefixtures("patient")
async def test_an_upstream_without_consumers_waits_for_the_first_one(exchange: Exchange) -> None:
    peer, feed = await subscribed(exchange)
    peer.say("unsubscribe", ONE)
    waiting = asyncio.create_task(feed.pacing.wait())
    await turns(5)
    assert not waiting.done()
    exchange.connect().say("subscribe", ONE)
    await until(waiting.done)


@pytest.mark.usefixtures("patient")
async def test_a_consumer_that_stalls_for_longer_is_not_waited_for(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer, feed = await subscribed(exchange)
    other, _ = await subscribed(exchange)
    peer.wire.room = 0
    await exchange.publish({ONE: 1})
    await exchange.publish({ONE: NEAR + 1})
    other.read()
    assert await waits(feed)
    monkeypatch.setattr(pacing, "STALL_GRACE", 0.0)
    assert not await waits(feed)
