"""The backlog of a stalled connection, exact to the quote: limits, shares per symbol, and their order."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

import pytest

from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy
from qcfeed.model.symbol import Symbol
from tests.support.modelled_kernel import Exchange, Peer, symbols, timeless, turns

LIMIT = 8
ONE, OTHER, THIRD = symbols(3)


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    exchange = Exchange(timeless(max_lag=LIMIT, send_buffer=4_608))
    yield exchange
    await exchange.stop()


async def full_peer(exchange: Exchange, policy: SlowConsumerPolicy, *subscribed: Symbol) -> Peer:
    """A client that has read the first quote of each symbol, and whose socket is full now."""
    peer = exchange.connect(f"/stream?slow={policy}")
    peer.say("subscribe", *subscribed)
    await exchange.publish(dict.fromkeys(subscribed, 1))
    peer.read()
    peer.wire.room = 0
    await exchange.publish({subscribed[0]: 1})
    assert peer.is_full
    return peer


def received(peer: Peer, symbol: Symbol, since: int = 0) -> list[tuple[int, int, int]]:
    """(seq, conflated, dropped) of each quote after sequence number ``since``."""
    return [
        (quote["seq"], quote.get("conflated", 0), quote.get("dropped", 0))
        for quote in peer.quotes()
        if quote["symbol"] == symbol and quote["seq"] > since
    ]


@pytest.mark.parametrize("policy", SlowConsumerPolicy)
async def test_up_to_the_limit_all_quotes_are_kept_and_sent_individually(
    exchange: Exchange, policy: SlowConsumerPolicy
) -> None:
    peer = await full_peer(exchange, policy, ONE)
    for _ in range(LIMIT):
        await exchange.publish({ONE: 1})
    peer.drain()
    assert received(peer, ONE) == [(seq, 0, 0) for seq in range(1, LIMIT + 3)]
    assert peer.close_code is None


async def test_beyond_the_limit_conflate_sends_the_newest_quote_for_all(exchange: Exchange) -> None:
    peer = await full_peer(exchange, SlowConsumerPolicy.CONFLATE, ONE)
    await exchange.publish({ONE: LIMIT + 1})
    peer.drain()
    assert received(peer, ONE, since=2) == [(LIMIT + 3, LIMIT, 0)]


async def test_beyond_the_limit_drop_oldest_drops_the_oldest(exchange: Exchange) -> None:
    peer = await full_peer(exchange, SlowConsumerPolicy.DROP_OLDEST, ONE)
    await exchange.publish({ONE: LIMIT + 1})
    peer.drain()
    newest = [(seq, 0, 0) for seq in range(5, LIMIT + 4)]
    assert received(peer, ONE, since=2) == [(4, 0, 1), *newest]


async def test_beyond_the_limit_disconnect_closes_with_4408(
    exchange: Exchange,
) -> None:
    peer = await full_peer(exchange, SlowConsumerPolicy.DISCONNECT, ONE)
    await exchange.publish({ONE: LIMIT + 1})
    peer.drain()
    assert peer.close_code == 4408
    assert received(peer, ONE, since=2) == []


async def test_a_burst_longer_than_one_write_can_exceed_the_limit(
    exchange: Exchange,
) -> None:
    """The consumer was writable when the burst came; what did not fit exceeds its limit."""
    peer = exchange.connect(f"/stream?slow={SlowConsumerPolicy.DISCONNECT}")
    peer.say("subscribe", ONE, OTHER, THIRD)
    await turns()
    peer.read()
    peer.wire.room = 0
    await exchange.publish({ONE: 15, OTHER: 15, THIRD: LIMIT + 1})
    peer.drain()
    assert peer.close_code == 4408
    assert not any(quote.get("conflated") for quote in peer.quotes())


@pytest.mark.parametrize("policy", [SlowConsumerPolicy.CONFLATE, SlowConsumerPolicy.DROP_OLDEST])
async def test_choosing_disconnect_while_over_the_limit_closes_at_once(
    exchange: Exchange, policy: SlowConsumerPolicy
) -> None:
    peer = await full_peer(exchange, policy, ONE)
    await exchange.publish({ONE: LIMIT + 1})
    peer.say("slow", policy=SlowConsumerPolicy.DISCONNECT)
    assert exchange.gateway.disconnected_slow == 1
    peer.drain()
    assert peer.close_code == 4408
    assert received(peer, ONE, since=2) == []


async def test_choosing_disconnect_within_the_limit_does_not_close(exchange: Exchange) -> None:
    peer = await full_peer(exchange, SlowConsumerPolicy.CONFLATE, ONE)
    await exchange.publish({ONE: LIMIT})
    peer.say("slow", policy=SlowConsumerPolicy.DISCONNECT)
    peer.drain()
    assert peer.close_code is None
    assert received(peer, ONE, since=2) == [(seq, 0, 0) for seq in range(3, LIMIT + 3)]


async def test_the_limit_is_shared_evenly_among_the_symbols(exchange: Exchange) -> None:
    peer = await full_peer(exchange, SlowConsumerPolicy.DROP_OLDEST, ONE, OTHER, THIRD)
    await exchange.publish({ONE: 10, OTHER: 10, THIRD: 1})
    peer.drain()
    assert received(peer, ONE, since=2) == [(11, 0, 8), (12, 0, 0)]
    assert received(peer, OTHER, since=1) == [(10, 0, 8), (11, 0, 0)]
    assert received(peer, THIRD, since=1) == [(2, 0, 0)]


async def test_an_unsent_latest_quote_counts_towards_the_limit(exchange: Exchange) -> None:
    """Limit + 1 quotes are unread: the latest quotes of new symbols, and some of the old symbol."""
    many = list(symbols(LIMIT))
    watcher = exchange.connect("/stream")
    watcher.say("subscribe", *many)
    await exchange.publish(dict.fromkeys(many, 1))
    peer = await full_peer(exchange, SlowConsumerPolicy.DISCONNECT, ONE)
    peer.say("subscribe", *many[1:])
    await exchange.publish({ONE: 1})
    assert exchange.gateway.disconnected_slow == 0, f"{LIMIT} quotes are unread, which is the limit"
    await exchange.publish({ONE: 1})
    assert exchange.gateway.disconnected_slow == 1
    peer.drain()
    assert peer.close_code == 4408


async def test_after_catching_up_every_quote_is_sent_again(exchange: Exchange) -> None:
    peer = await full_peer(exchange, SlowConsumerPolicy.CONFLATE, ONE)
    await exchange.publish({ONE: 3 * LIMIT})
    peer.drain()
    seen = len(peer.quotes())
    await exchange.publish({ONE: 3 * LIMIT})
    peer.read()
    assert len(peer.quotes()) == seen + 3 * LIMIT
    peer.wire.room = 0
    await exchange.publish({ONE: 1})
    await exchange.publish({ONE: LIMIT})
    peer.drain()
    assert [lost for _, *lost in received(peer, ONE)[seen:]] == [[0, 0]] * (4 * LIMIT + 1)


async def test_unsubscribing_frees_the_limit_for_other_symbols(
    exchange: Exchange,
) -> None:
    peer = await full_peer(exchange, SlowConsumerPolicy.CONFLATE, ONE, OTHER)
    await exchange.publish({OTHER: LIMIT})
    peer.say("unsubscribe", OTHER)
    await exchange.publish({ONE: LIMIT})
    peer.drain()
    assert received(peer, ONE, since=2) == [(seq, 0, 0) for seq in range(3, LIMIT + 3)]


async def test_every_symbol_gets_its_turn_with_a_consumer_that_never_catches_up(
    exchange: Exchange,
) -> None:
    """A write has room for thirty of a hundred symbols; the next write continues with the others."""
    many = list(symbols(100))
    peer = exchange.connect("/stream")
    peer.say("subscribe", *many)
    await turns()
    peer.read()
    peer.wire.room = 200
    for _ in range(12):
        await exchange.publish(dict.fromkeys(many, 1))
        peer.read(5_000)
        assert peer.is_full, "it never catches up"
    counted = Counter(quote["symbol"] for quote in peer.quotes())
    assert min(counted[each] for each in many) >= 2
    assert max(counted.values()) <= min(counted.values()) + 2
