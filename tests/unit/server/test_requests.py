"""What a client is answered to each of its requests, in which order, and which refusals are counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from qcfeed.errors import UnknownSymbolError
from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy
from tests.support.modelled_kernel import Exchange, Peer, symbols, timeless, turns
from tests.support.raw_websocket import TEXT, frame
from tests.support.virtual_time import in_virtual_time

MAX_SYMBOLS = 3
ONE, OTHER, THIRD, FOURTH = symbols(4)


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    exchange = Exchange(timeless(max_symbols=MAX_SYMBOLS))
    yield exchange
    await exchange.stop()


def answers(peer: Peer) -> list[dict[str, Any]]:
    """What it was sent since this was called last."""
    peer.read()
    found, peer.messages = peer.messages, []
    return found


async def test_a_subscription_is_confirmed_first_and_the_latest_quote_follows_at_once(
    exchange: Exchange,
) -> None:
    exchange.connect().say("subscribe", ONE)
    await exchange.publish({ONE: 2})
    peer = exchange.connect()
    peer.say("subscribe", OTHER, ONE)
    confirmed, latest = answers(peer)
    assert confirmed == {"type": "subscribed", "symbols": [ONE, OTHER]}, "sorted"
    assert (latest["type"], latest["seq"]) == ("quote", 2)
    peer.say("subscribe", ONE)
    assert answers(peer) == [{"type": "subscribed", "symbols": [ONE, OTHER]}], "it has it already"
    peer.say("unsubscribe", ONE, THIRD)
    assert answers(peer) == [{"type": "subscribed", "symbols": [OTHER]}]
    assert exchange.hub.subscriptions == 2
    assert exchange.gateway.refused == {}


async def test_a_ping_is_answered_with_pong(exchange: Exchange) -> None:
    peer = exchange.connect()
    peer.say("ping")
    assert answers(peer) == [{"type": "pong"}]


@pytest.mark.parametrize("text", [b"{", b"[]", b'{"action":"fly"}', b'{"action":"ping","x":1}'])
async def test_what_is_no_request_is_answered_with_what_is_wrong_and_the_connection_stays_open(
    exchange: Exchange, text: bytes
) -> None:
    peer = exchange.connect()
    peer.send(frame(TEXT, text))
    peer.say("ping")
    error, pong = answers(peer)
    assert (error["type"], error["code"]) == ("error", "bad_request")
    assert error["message"].startswith("invalid request: ")
    assert len(error["message"]) > len("invalid request: ")
    assert pong == {"type": "pong"}


async def test_a_policy_is_confirmed_and_an_unknown_one_refused_with_the_known_ones(
    exchange: Exchange,
) -> None:
    peer = exchange.connect()
    connection = exchange.connection_of(peer)
    assert connection is not None
    for policy in SlowConsumerPolicy:
        peer.say("slow", policy=policy)
        assert answers(peer) == [{"type": "slow", "policy": policy}]
        assert connection.backlog.policy is policy
    peer.say("slow", policy="x" * 40)
    assert answers(peer) == [
        {
            "type": "error",
            "code": "invalid_option",
            "message": f"policy '{'x' * 32}' is not one of conflate, drop-oldest, disconnect",
        }
    ]
    assert connection.backlog.policy is policy
    assert exchange.gateway.refused == {"invalid_option": 1}


async def test_the_symbol_of_a_quotes_connection_is_fixed_and_its_policy_is_not(
    exchange: Exchange,
) -> None:
    peer = exchange.connect(f"/quotes/{ONE}")
    for action in ("subscribe", "unsubscribe"):
        peer.say(action, OTHER)
        (error,) = answers(peer)
        assert error == {
            "type": "error",
            "code": "fixed_symbol",
            "message": "this connection's symbol is fixed; use /stream for others",
        }
    peer.say("slow", policy="disconnect")
    peer.say("ping")
    assert [each["type"] for each in answers(peer)] == ["slow", "pong"]
    assert exchange.hub.feeds.keys() == {ONE}


# ---------------------------------------------------------------- refused symbols


async def test_a_connection_has_at_most_its_limit_of_symbols(exchange: Exchange) -> None:
    peer = exchange.connect()
    peer.say("subscribe", ONE, OTHER)
    peer.say("subscribe", ONE, THIRD, FOURTH)
    _, error, subscribed = answers(peer)
    limit = {
        "type": "error",
        "code": "symbol_limit",
        "message": f"a connection has at most {MAX_SYMBOLS} symbols",
    }
    assert error == limit | {"symbol": FOURTH}
    assert subscribed["symbols"] == [ONE, OTHER, THIRD]
    assert exchange.gateway.refused == {"symbol_limit": 1}
    for action in ("subscribe", "unsubscribe"):
        peer.say(action, ONE, OTHER, THIRD, FOURTH)
        assert answers(peer) == [limit], "more than a connection can have need not be looked at"
    assert exchange.gateway.refused == {"symbol_limit": 3}
    peer.say("unsubscribe", ONE, OTHER, THIRD)
    assert answers(peer) == [{"type": "subscribed", "symbols": []}]


async def test_the_symbols_that_are_refused_are_listed_and_counted_and_the_others_served(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange.upstream, "knows", lambda symbol: symbol != OTHER)
    peer = exchange.connect()
    long = "x" * 40
    peer.say("subscribe", long, OTHER, ONE)
    error, subscribed = answers(peer)
    assert subscribed == {"type": "subscribed", "symbols": [ONE]}
    assert (error["code"], error["symbol"]) == ("invalid_symbol", long[:32])
    assert error["message"].endswith(" (and 1 more symbols were refused)")
    assert error["refused"] == [
        {"symbol": long[:32], "code": "invalid_symbol"},
        {"symbol": OTHER, "code": "unknown_symbol"},
    ]
    assert error["refused_total"] == 2
    assert exchange.gateway.refused == {"invalid_symbol": 1, "unknown_symbol": 1}
    peer.say("subscribe", OTHER)
    error, _ = answers(peer)
    assert error == {
        "type": "error",
        "code": "unknown_symbol",
        "message": f"unknown symbol {OTHER}: not one of scripted:",
        "symbol": OTHER,
    }
    peer.say("unsubscribe", "?", ONE)
    error, subscribed = answers(peer)
    assert (error["code"], error["symbol"]) == ("invalid_symbol", "?")
    assert ": " in error["message"], "with a hint"
    assert subscribed == {"type": "subscribed", "symbols": []}


async def test_a_symbol_that_the_upstream_no_longer_has_is_refused_too(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise UnknownSymbolError("it has just gone")

    peer = exchange.connect()
    monkeypatch.setattr(exchange.hub, "subscribe", gone)
    peer.say("subscribe", ONE)
    error, subscribed = answers(peer)
    assert (error["code"], error["message"], error["symbol"]) == (
        "unknown_symbol",
        "it has just gone",
        ONE,
    )
    assert subscribed["symbols"] == []


async def test_a_client_that_is_dropped_for_not_reading_its_errors_is_not_answered_further() -> (
    None
):
    async with Exchange.running(timeless(send_buffer=4_608, max_symbols=200)) as exchange:
        peer = exchange.connect()
        connection = exchange.connection_of(peer)
        assert connection is not None
        peer.say("subscribe", ONE)
        await turns()
        peer.read()
        peer.wire.room = 0
        await exchange.publish({ONE: 1})
        for _ in range(4):
            peer.say("subscribe", *["?" * 32] * 100)
        assert exchange.gateway.closed == {"4408": 1}
        assert not connection.connected


# ---------------------------------------------------------------- rates


@in_virtual_time
async def test_new_subscriptions_per_second_are_limited_over_all_connections_and_the_rest_is_told_when() -> (
    None
):
    async with Exchange.running(timeless(subscribe_rate=2.0)) as exchange:
        first, peer = exchange.connect(), exchange.connect()
        first.say("subscribe", ONE)
        first.read()
        peer.say("subscribe", ONE, OTHER, THIRD, ONE)
        error, subscribed = answers(peer)
        assert subscribed["symbols"] == [ONE]
        assert error == {
            "type": "error",
            "code": "subscribe_rate",
            "message": "more than 2 new subscriptions per second (and 1 more symbols were refused)",
            "symbol": OTHER,
            "retryable": True,
            "retry_after_ms": 500,
            "refused": [
                {"symbol": OTHER, "code": "subscribe_rate"},
                {"symbol": THIRD, "code": "subscribe_rate"},
            ],
            "refused_total": 2,
        }
        assert exchange.gateway.refused == {"subscribe_rate": 2}
        assert OTHER not in exchange.hub.feeds
        await asyncio.sleep(0.5)
        peer.say("subscribe", OTHER)
        assert answers(peer)[-1]["symbols"] == [ONE, OTHER]


@in_virtual_time
async def test_a_request_with_many_symbols_costs_as_many_requests_as_tens_of_them() -> None:
    async with Exchange.running(timeless(request_rate=1.0, max_symbols=1_000)) as exchange:
        peer = exchange.connect()
        many = list(symbols(50))
        peer.say("subscribe", *many)
        assert len(answers(peer)[-1]["symbols"]) == 50
        for _ in range(4):  # of ten requests at once, one and five are used
            peer.say("ping")
        assert answers(peer) == 4 * [{"type": "pong"}]
        peer.say("ping")
        (error,) = answers(peer)
        assert (error["code"], error["retryable"], error["retry_after_ms"]) == (
            "request_rate",
            True,
            1_000,
        )
        assert exchange.gateway.refused == {"request_rate": 1}
        await asyncio.sleep(1.0)
        peer.say("ping")
        assert answers(peer) == [{"type": "pong"}]
