"""The hub owns the feeds: what creates and ends them, what it counts, and what it writes in one turn."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from qcfeed.errors import UnknownSymbolError, UpstreamError
from qcfeed.feed.lifecycle import Demand, UpstreamState
from qcfeed.feed.subscriber import Subscriber
from qcfeed.model.messages import CloseCode
from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy
from qcfeed.model.symbol import Symbol
from qcfeed.server.hub import Hub
from qcfeed.upstreams.base import Sink
from qcfeed.ws.connection import ConnectionState, WebSocketConnection
from tests.support.modelled_kernel import Exchange, Peer, symbols, timeless, turns, until
from tests.support.scripted_upstream import ScriptedUpstream, silently

ONE, OTHER, THIRD = symbols(3)


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    exchange = Exchange(timeless(max_lag=8, send_buffer=4_608))
    yield exchange
    await exchange.stop()


def connected(exchange: Exchange, *subscribed: Symbol) -> tuple[Peer, WebSocketConnection]:
    peer = exchange.connect()
    if subscribed:
        peer.say("subscribe", *subscribed)
    connection = exchange.connection_of(peer)
    assert connection is not None
    return peer, connection


# ---------------------------------------------------------------- subscriptions


async def test_the_first_subscriber_creates_the_feed_and_others_share_it(
    exchange: Exchange,
) -> None:
    _, one = connected(exchange, ONE, OTHER)
    feed = exchange.hub.feeds[ONE]
    _, other = connected(exchange, ONE)
    assert exchange.hub.feeds.keys() == {ONE, OTHER}
    assert exchange.hub.feeds[ONE] is feed
    assert feed.lifecycle.subscribers == {one.subscribers[ONE], other.subscribers[ONE]}
    await turns()
    assert exchange.upstream.alive == {ONE: 1, OTHER: 1}
    assert exchange.hub.states() == {(Demand.WANTED, UpstreamState.OPENING): 2}
    await exchange.publish({ONE: 1})
    assert exchange.hub.states() == {
        (Demand.WANTED, UpstreamState.OPEN): 1,
        (Demand.WANTED, UpstreamState.OPENING): 1,
    }


async def test_an_unknown_symbol_leaves_no_feed_behind_and_the_error_says_what_to_type(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange.upstream, "knows", lambda symbol: symbol != OTHER)
    _, connection = connected(exchange)
    with pytest.raises(UnknownSymbolError) as caught:
        exchange.hub.subscribe(OTHER, connection)
    assert caught.value.message == f"unknown symbol {OTHER}: not one of scripted:"
    assert caught.value.hint == "`qcfeed feeds` lists the live symbols"
    assert exchange.hub.feeds == {}
    exchange.hub.check_symbol(ONE)


async def test_observers_see_every_new_subscriber(exchange: Exchange) -> None:
    seen: list[Subscriber] = []
    exchange.hub.observers.append(seen.append)
    _, connection = connected(exchange, ONE, OTHER)
    assert seen == [connection.subscribers[ONE], connection.subscribers[OTHER]]


async def test_a_subscription_ends_once(exchange: Exchange) -> None:
    peer, connection = connected(exchange, ONE)
    _, other = connected(exchange, ONE)
    subscriber = connection.subscribers[ONE]
    assert not subscriber.closed
    peer.say("unsubscribe", ONE)
    closed_at = subscriber.closed_at
    assert closed_at is not None
    exchange.hub.unsubscribe(subscriber)
    assert subscriber.closed_at == closed_at
    assert exchange.hub.feeds[ONE].lifecycle.subscribers == {other.subscribers[ONE]}
    exchange.hub.cancel([ONE], "test")
    await turns(5)
    exchange.hub.unsubscribe(subscriber)  # its feed is gone, too


async def test_subscriptions_of_closed_connections_are_found_and_ended(exchange: Exchange) -> None:
    _, one = connected(exchange, ONE, OTHER)
    _, other = connected(exchange, ONE)
    mine = list(one.subscribers.values())
    one.state = ConnectionState.CLOSED  # as after a bug in closing
    assert exchange.hub.orphaned_subscriptions() == mine
    assert exchange.hub.sweep_orphans() == 2
    assert all(each.closed for each in mine)
    assert exchange.hub.orphaned_subscriptions() == []
    assert exchange.hub.sweep_orphans() == 0
    assert exchange.hub.subscriptions == 1
    assert not other.subscribers[ONE].closed
    assert exchange.hub.feeds[OTHER].lifecycle.demand is Demand.LINGERING
    one.state = ConnectionState.OPEN


# ---------------------------------------------------------------- ends


async def test_a_cancelled_feed_closes_its_subscribers_and_no_others(exchange: Exchange) -> None:
    peer, _ = connected(exchange, ONE)
    both, connection = connected(exchange, ONE, OTHER)
    exchange.hub.cancel([THIRD, ONE], "bad prices")
    await turns(5)
    assert exchange.hub.feeds.keys() == {OTHER}
    assert exchange.upstream.alive[ONE] == 0
    peer.read()
    both.read()
    assert peer.close_code == CloseCode.FEED_CANCELLED == 4410
    assert both.close_code is None
    assert both.messages[-1] == {
        "type": "error",
        "code": "feed_cancelled",
        "message": "bad prices",
        "symbol": ONE,
        "retryable": True,
    }
    assert connection.subscribers.keys() == {OTHER}


async def test_stop_ends_all_feeds_and_waits_for_their_tasks(exchange: Exchange) -> None:
    may_end = asyncio.Event()

    async def slow_to_end(sink: Sink) -> None:
        try:
            await silently(sink)
        finally:
            await may_end.wait()

    exchange.upstream.life = slow_to_end
    peer, _ = connected(exchange, ONE, OTHER)
    await turns()
    stopping = asyncio.create_task(exchange.hub.stop())
    await turns(5)
    assert not stopping.done()
    peer.read()
    assert peer.close_code == CloseCode.GOING_AWAY == 1001
    may_end.set()
    await until(stopping.done)
    assert exchange.hub.feeds == {}
    assert exchange.upstream.alive.total() == 0
    again = asyncio.create_task(exchange.hub.stop())
    await until(again.done)  # nothing is left to wait for


async def test_a_hub_that_never_had_a_feed_stops_at_once() -> None:
    exchange = Exchange(timeless())
    stopping = asyncio.create_task(exchange.hub.stop())
    await until(stopping.done)


# ---------------------------------------------------------------- failures


async def test_an_upstream_that_fails_returns_or_has_a_bug_is_a_restart_with_its_reason(
    exchange: Exchange, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "qcfeed")
    connected(exchange, ONE)
    await turns()
    assert exchange.hub.restarts == 0
    feed = exchange.hub.feeds[ONE]
    bug = ValueError("no such column")
    for number, (error, failure, logged) in enumerate(
        (
            (
                UpstreamError("connection refused"),
                "connection refused",
                "feeds with subscribers retry",
            ),
            (None, "the upstream ended", "feeds with subscribers retry"),
            (bug, "no such column", "bug in the upstream ended the feed"),
        ),
        start=1,
    ):
        caplog.clear()

        async def ends(_: Sink, error: Exception | None = error) -> None:
            if error is not None:
                raise error

        exchange.upstream.life = ends
        if feed.upstream_task is not None:
            feed.upstream_task.task.cancel()
            await turns(5)
            caplog.clear()
        feed.lifecycle.retries_at = 0.0
        feed.arm_timer()
        before = feed.restarts
        await until(lambda before=before: feed.restarts > before)
        feed.lifecycle.retries_at = 1e12
        feed.arm_timer()
        assert feed.failure == failure
        (record,) = caplog.records
        assert logged in record.message
        assert record.message.startswith(f"{ONE}: ")
        assert (record.exc_info is not None and record.exc_info[1] is bug) == (error is bug)
        assert exchange.hub.restarts == feed.restarts == number + 1
    exchange.hub.cancel([ONE], "test")
    await turns(5)
    assert ONE not in exchange.hub.feeds
    assert exchange.hub.restarts == 4, "the total outlives the feed"


# ---------------------------------------------------------------- totals and turns


async def test_totals_are_sums_over_all_feeds(exchange: Exchange) -> None:
    peer, _ = connected(exchange, ONE, OTHER)
    connected(exchange, OTHER)
    await exchange.publish({ONE: 2, OTHER: 3})
    hub = exchange.hub
    assert (hub.quotes, hub.delivered, hub.conflated, hub.dropped) == (5, 2 + 2 * 3, 0, 0)
    peer.say("slow", policy=SlowConsumerPolicy.DROP_OLDEST)
    peer.read()
    peer.wire.room = 0
    await exchange.publish({ONE: 1})
    await exchange.publish({ONE: 10, OTHER: 10})
    peer.drain()
    # Half of the limit of 8 is left for each of the two symbols.
    assert (hub.conflated, hub.dropped) == (0, 2 * (10 - 4))
    exchange.hub.cancel([OTHER], "test")
    await turns(5)
    assert hub.quotes == 2 + 1 + 10 + 3 + 10
    assert hub.dropped == 2 * (10 - 4)


async def test_quotes_of_one_turn_are_written_together_and_those_after_it_in_the_next(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer, connection = connected(exchange, ONE, OTHER)
    await exchange.publish({ONE: 1, OTHER: 1})
    writes: list[bytes] = []
    monkeypatch.setattr(connection, "write", writes.append)
    await exchange.publish({ONE: 2, OTHER: 1})
    assert len(writes) == 1
    assert writes[0].count(b'"type":"quote"') == 3
    await exchange.publish({OTHER: 1, ONE: 1})
    assert len(writes) == 2
    assert peer.close_code is None


# ---------------------------------------------------------------- epochs


async def test_no_two_feeds_of_a_service_have_the_same_epoch_nor_those_of_another_start() -> None:
    epochs: list[str] = []
    for _ in range(2):
        exchange = Exchange(timeless())
        for _ in range(2):
            connected(exchange, ONE, OTHER)
            epochs += [each.epoch for each in exchange.hub.feeds.values()]
            exchange.hub.cancel([ONE, OTHER], "test")
            await turns(5)
        await exchange.stop()
    assert len(set(epochs)) == 8
    starts = [{epoch[:4] for epoch in some} for some in (epochs[:4], epochs[4:])]
    assert [len(each) for each in starts] == [1, 1], "one random part per start"
    assert [epoch[4:] for epoch in epochs] == 2 * ["1", "2", "3", "4"]


async def test_a_hub_takes_epochs_from_where_it_is_told_to(exchange: Exchange) -> None:
    hub = Hub(timeless(), ScriptedUpstream(silently), epochs=iter(["first", "second"]).__next__)
    _, connection = connected(exchange)
    for symbol, epoch in ((ONE, "first"), (OTHER, "second")):
        hub.subscribe(symbol, connection)
        assert hub.feeds[symbol].epoch == epoch
    await hub.stop()
