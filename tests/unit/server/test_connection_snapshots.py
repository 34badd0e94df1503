"""Snapshots of connections and totals of feeds, with exact figures: lag, bytes, ages, counters."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy
from qcfeed.net import kernel_buffers
from qcfeed.server import connection_snapshots
from qcfeed.ws.connection import WebSocketConnection
from tests.support.modelled_kernel import Exchange, Peer, symbols, timeless, turns

LIMIT = 8
ONE, OTHER = symbols(2)
QUOTE = 163 + 4
"""Bytes of a quote's frame here: the text and a header of four bytes."""


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    exchange = Exchange(timeless(max_lag=LIMIT, send_buffer=4_608))
    yield exchange
    await exchange.stop()


async def subscribed_client(
    exchange: Exchange, *, slow: SlowConsumerPolicy = SlowConsumerPolicy.CONFLATE
) -> tuple[Peer, WebSocketConnection]:
    """A client of two symbols that has read one quote of each, and its connection in the service."""
    peer = exchange.connect(f"/stream?slow={slow}")
    peer.say("subscribe", ONE, OTHER)
    await exchange.publish({ONE: 1, OTHER: 1})
    peer.read()
    connection = exchange.connection_of(peer)
    assert connection is not None
    return peer, connection


async def test_a_connection_that_keeps_up_has_no_lag(exchange: Exchange) -> None:
    _, connection = await subscribed_client(exchange)
    snapshot = connection_snapshots.snapshot(connection, connection.opened_at + 30.0)
    assert (snapshot.symbols, snapshot.policy, snapshot.compressed) == (
        [ONE, OTHER],
        "conflate",
        False,
    )
    assert (snapshot.lag, snapshot.lag_bytes, snapshot.stalled, snapshot.slow) == (0, 0, 0.0, False)
    assert (snapshot.age, snapshot.conflated, snapshot.dropped) == (30.0, 0, 0)
    assert snapshot.since_received == pytest.approx(30.0, abs=5.0)
    assert (
        connection_snapshots.lag_totals(exchange.gateway.connections)
        == connection_snapshots.LagTotals()
    )


async def test_a_stalled_connection_lags_by_the_quotes_published_since(exchange: Exchange) -> None:
    peer, connection = await subscribed_client(exchange)
    peer.wire.room = 0
    await exchange.publish({ONE: 1})
    await exchange.publish({ONE: 3, OTHER: 2})
    since = connection.stalled_since
    assert since is not None
    snapshot = connection_snapshots.snapshot(connection, since + 7.0)
    assert (snapshot.lag, snapshot.slow, snapshot.stalled) == (5, True, 7.0)
    assert snapshot.lag_bytes == 6 * QUOTE, "one written and unsent, five in the logs"
    lags = connection_snapshots.lag_totals(exchange.gateway.connections)
    assert (lags.slow, lags.quotes, lags.maximum) == (1, 5, 5)


async def test_beyond_the_limit_lag_bytes_count_only_the_kept_quotes(
    exchange: Exchange,
) -> None:
    for policy, kept in ((SlowConsumerPolicy.CONFLATE, 0), (SlowConsumerPolicy.DROP_OLDEST, LIMIT)):
        peer, connection = await subscribed_client(exchange, slow=policy)
        peer.wire.room = 0
        await exchange.publish({ONE: 1})
        await exchange.publish({ONE: 10, OTHER: 10})
        snapshot = connection_snapshots.snapshot(connection, 0.0)
        assert snapshot.lag == 20
        assert snapshot.lag_bytes == pytest.approx((1 + kept) * QUOTE, abs=2 * (1 + kept))
        assert (snapshot.age, snapshot.since_received, snapshot.stalled) == (0.0, 0.0, 0.0), (
            "no time is negative"
        )
        peer.drain()


async def test_lag_totals_have_the_sum_and_the_maximum(exchange: Exchange) -> None:
    (one, _), (other, _), _ = [await subscribed_client(exchange) for _ in range(3)]
    one.wire.room = 0
    await exchange.publish({ONE: 1})
    other.wire.room = 0
    await exchange.publish({ONE: 1})
    await exchange.publish({ONE: 2})
    lags = connection_snapshots.lag_totals(exchange.gateway.connections)
    assert (lags.slow, lags.quotes, lags.maximum) == (2, 5, 3)
    assert lags.kernel_bytes is None, "this kernel does not say"


async def test_kernel_bytes_are_those_that_the_kernel_says_of_the_connections_socket(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one, connection), (other, _), (third, _) = [
        await subscribed_client(exchange) for _ in range(3)
    ]
    queues = {one.wire: 700, other.wire: 50, third.wire: 3}
    monkeypatch.setattr(kernel_buffers, "send_queue", queues.get)
    assert connection.kernel_queue == 700
    assert connection_snapshots.snapshot(connection, 0.0).kernel_bytes == 700
    for peer in (one, other):
        peer.wire.room = 0
    await exchange.publish({ONE: 1})
    totals = connection_snapshots.lag_totals(exchange.gateway.connections)
    assert totals.kernel_bytes == 750, "of those that are stalled"
    monkeypatch.setattr(kernel_buffers, "send_queue", {one.wire: 700}.get)
    totals = connection_snapshots.lag_totals(exchange.gateway.connections)
    assert (totals.slow, totals.kernel_bytes) == (2, None), "of one of them it does not say"


async def test_bytes_that_only_move_into_the_kernel_are_no_progress(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer, connection = await subscribed_client(exchange)
    peer.wire.room = 100
    await exchange.publish({ONE: 1})
    since, in_kernel = connection.progress_at, {peer.wire: 100}
    monkeypatch.setattr(kernel_buffers, "send_queue", in_kernel.get)
    connection.check_progress(since + 1.0)
    peer.read(20)  # the kernel has room for 20 more, which it takes from our buffer
    in_kernel[peer.wire] += 20
    connection.check_progress(since + 2.0)
    assert connection.progress_at == since
    in_kernel[peer.wire] -= 1
    connection.check_progress(since + 3.0)
    assert connection.progress_at == since + 3.0


async def test_a_connection_that_missed_a_quote_counts_as_slow_for_a_minute(
    exchange: Exchange,
) -> None:
    peer, connection = await subscribed_client(exchange)
    peer.wire.room = 0
    await exchange.publish({ONE: 1})
    await exchange.publish({ONE: LIMIT + 1})
    peer.drain()
    assert connection.missed_at is not None
    assert connection_snapshots.is_slow(connection, connection.missed_at + 59.9)
    assert not connection_snapshots.is_slow(connection, connection.missed_at + 60.0)
    assert (
        connection_snapshots.snapshot(connection, 0.0).conflated
        == connection.missed_quotes
        == LIMIT
    )
    assert connection_snapshots.SLOW_MEMORY == 60.0


async def test_missed_quotes_are_those_conflated_and_those_dropped(exchange: Exchange) -> None:
    peer, connection = await subscribed_client(exchange, slow=SlowConsumerPolicy.DROP_OLDEST)
    peer.wire.room = 0
    await exchange.publish({ONE: 1})
    await exchange.publish({ONE: LIMIT + 3})
    peer.drain()
    snapshot = connection_snapshots.snapshot(connection, 0.0)
    missed = LIMIT + 3 - LIMIT // 2  # the two symbols share the limit
    assert (snapshot.conflated, snapshot.dropped, connection.missed_quotes) == (0, missed, missed)


async def test_how_long_a_ping_has_not_been_answered(exchange: Exchange) -> None:
    peer, connection = await subscribed_client(exchange)
    assert connection_snapshots.unanswered(connection, 1e9) == 0.0, "no ping was sent"
    interval = exchange.gateway.config.ping_interval
    exchange.gateway.timeouts.check(connection, connection.last_received_at + interval)
    pinged = connection.pinged_at
    assert pinged is not None
    assert connection_snapshots.snapshot(connection, pinged + 7.0).unanswered == 7.0
    assert connection_snapshots.unanswered(connection, pinged - 1.0) == 0.0
    peer.say("ping")
    assert connection_snapshots.unanswered(connection, pinged + 7.0) == 0.0


async def test_a_connection_that_caught_up_without_loss_is_not_slow(
    exchange: Exchange,
) -> None:
    peer, connection = await subscribed_client(exchange)
    peer.wire.room = 0
    await exchange.publish({ONE: 1})
    await exchange.publish({ONE: LIMIT})
    assert connection_snapshots.is_slow(connection, 0.0)
    peer.drain()
    assert (connection.missed_at, connection.missed_quotes) == (None, 0)
    assert not connection_snapshots.is_slow(connection, 0.0)


# ---------------------------------------------------------------- totals


async def test_totals_outlive_their_feeds(exchange: Exchange) -> None:
    hub = exchange.hub
    peer, _ = await subscribed_client(exchange)
    dropping, _ = await subscribed_client(exchange, slow=SlowConsumerPolicy.DROP_OLDEST)
    for each in (peer, dropping):
        each.wire.room = 0
    await exchange.publish({ONE: 1})
    await exchange.publish({ONE: LIMIT + 1})
    for each in (peer, dropping):
        each.drain()
    before = (hub.quotes, hub.delivered, hub.conflated, hub.dropped)
    quotes = [quote for each in (peer, dropping) for quote in each.quotes()]
    assert before == (
        3 + LIMIT + 3,
        len(quotes),
        sum(quote.get("conflated", 0) for quote in quotes),
        sum(quote.get("dropped", 0) for quote in quotes),
    )
    assert before[2:] == (LIMIT, LIMIT + 1 - LIMIT // 2)
    hub.cancel([ONE, OTHER], "the test is over")
    await turns(10)
    assert not hub.feeds
    assert (hub.quotes, hub.delivered, hub.conflated, hub.dropped) == before


async def test_subscriptions_are_counted_over_all_feeds(exchange: Exchange) -> None:
    await subscribed_client(exchange)
    peer, _ = await subscribed_client(exchange)
    assert exchange.hub.subscriptions == 4
    peer.say("unsubscribe", ONE)
    assert exchange.hub.subscriptions == 3
    assert exchange.hub.orphaned_subscriptions() == []
    assert exchange.hub.sweep_orphans() == 0
