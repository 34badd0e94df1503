"""The gateway admits, refuses, evicts and drains connections: who is told what, when, and what is counted."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from qcfeed.errors import UnknownSymbolError
from qcfeed.model.messages import CloseCode
from qcfeed.net.tls_transport import HandshakeFailure
from qcfeed.server import connection_snapshots
from qcfeed.server.capacity import Capacity
from tests.support import raw_websocket
from tests.support.modelled_kernel import Exchange, Visitor, symbols, timeless, turns
from tests.support.raw_websocket import head
from tests.support.virtual_time import in_virtual_time

ONE, OTHER = symbols(2)


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    async with Exchange.running(timeless(max_connections=2)) as exchange:
        yield exchange


def refused(visitor: Visitor) -> tuple[int, str, str, bool, str | None]:
    """Status, code, message, whether it may be tried again, and after how many seconds."""
    answer = visitor.response
    assert answer is not None, "it has no answer"
    said = answer.json()
    assert said["type"] == "error"
    return (
        answer.status,
        said["code"],
        said["message"],
        said.get("retryable", False),
        answer.headers.get("retry-after"),
    )


def now() -> float:
    return asyncio.get_running_loop().time()


# ---------------------------------------------------------------- counts


async def test_sockets_and_upgrades_are_counted(
    exchange: Exchange,
) -> None:
    gateway = exchange.gateway
    assert (gateway.opened, gateway.sockets, gateway.files, gateway.closed) == (0, 0, 0, {})
    assert (gateway.draining, gateway.access_problems, gateway.disconnected_slow) == (False, [], 0)
    peers = [exchange.connect(), exchange.connect()]
    waiting = exchange.visit(b"GET ")
    assert (gateway.opened, gateway.sockets, gateway.files) == (2, 3, 3)
    peers[0].leave()
    waiting.transport.reset()
    await turns()
    assert (gateway.opened, gateway.sockets, gateway.files) == (2, 1, 1)
    assert len(gateway.timeouts) == 1


async def test_the_lag_of_all_connections_is_that_of_each(exchange: Exchange) -> None:
    peers = [exchange.connect(), exchange.connect()]
    for peer in peers:
        peer.say("subscribe", ONE)
        await turns()
        peer.read()
        peer.wire.room = 0
    await exchange.publish({ONE: 1})
    await exchange.publish({ONE: 2})
    lag = exchange.gateway.lag_totals()
    assert lag == connection_snapshots.lag_totals(exchange.gateway.connections)
    assert (lag.slow, lag.quotes) == (2, 4)


async def test_a_subscription_counts_for_its_client_until_it_ends(exchange: Exchange) -> None:
    peer = exchange.connect()
    connection = exchange.connection_of(peer)
    assert connection is not None
    (usage,) = connection.clients
    assert (usage.name, usage.connections) == ("127.0.0.1", 1)
    peer.say("subscribe", ONE, OTHER)
    assert usage.subscriptions == 2
    peer.say("unsubscribe", ONE)
    assert usage.subscriptions == 1
    peer.leave()
    await turns()
    assert (usage.subscriptions, usage.connections) == (0, 0)


# ---------------------------------------------------------------- refusals


async def test_above_the_limit_of_connections_an_upgrade_is_refused_with_when_to_try_again(
    exchange: Exchange,
) -> None:
    first, _ = exchange.connect(), exchange.connect()
    third = exchange.visit(head())
    assert refused(third) == (
        503,
        "connection_limit",
        "the limit of 2 connections is reached",
        True,
        "5",
    )
    assert exchange.gateway.refused == {"connection_limit": 1}
    first.leave()
    await turns()
    third.transport.reset()
    await turns()
    exchange.connect()
    assert exchange.gateway.refused == {"connection_limit": 1}


async def test_a_refused_subscription_of_a_quotes_connection_has_its_own_status(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(symbol: str) -> None:
        if symbol == OTHER:
            raise UnknownSymbolError("not here")

    monkeypatch.setattr(exchange.hub, "check_symbol", unknown)
    visitor = exchange.visit(head(f"/quotes/{OTHER}"))
    assert refused(visitor) == (404, "unknown_symbol", f"unknown symbol {OTHER}", False, None)
    assert exchange.hub.feeds == {}
    assert exchange.gateway.refused == {"unknown_symbol": 1}


async def test_a_bad_request_is_told_so_even_when_the_service_is_full(exchange: Exchange) -> None:
    exchange.connect(), exchange.connect()
    visitor = exchange.visit(head("/quotes/AAPL?slow=never"))
    assert refused(visitor)[:2] == (400, "invalid_option")


async def test_without_http_on_this_port_other_paths_are_not_found(exchange: Exchange) -> None:
    visitor = exchange.visit(head("/livez"))
    assert refused(visitor) == (
        404,
        "not_found",
        "this port serves only /quotes/{symbol} and /stream",
        False,
        None,
    )
    assert visitor.wire.ended, "our half"
    visitor.send(head("/stream"))
    assert exchange.gateway.opened == 0, "what comes after a refusal is discarded"
    assert exchange.gateway.refused == {"not_found": 1}


@in_virtual_time
async def test_new_subscriptions_above_their_rate_are_refused_before_the_upgrade() -> None:
    async with Exchange.running(timeless(subscribe_rate=0.25)) as exchange:
        exchange.gateway.capacity = Capacity(10, 10)
        exchange.connect(f"/quotes/{ONE}")
        visitor = exchange.visit(head(f"/quotes/{ONE}"))
        assert refused(visitor) == (
            429,
            "subscribe_rate",
            "more than 0.25 new subscriptions per second",
            True,
            "4",
        )
        await asyncio.sleep(4.0)
        exchange.connect(f"/quotes/{ONE}")
        assert exchange.gateway.opened == 2


# ---------------------------------------------------------------- proxies


def forwarded(**headers: bytes) -> bytes:
    return head("/stream", **headers)


async def test_behind_a_trusted_proxy_the_client_is_the_one_that_it_names() -> None:
    async with Exchange.running(timeless(trusted_proxy="127.0.0.1")) as exchange:
        visitor = exchange.visit()
        (pending,) = exchange.gateway.pending
        assert pending.clients == (), "not known yet"
        visitor.send(forwarded(x_forwarded_for=b"192.0.2.7"))
        (connection,) = exchange.gateway.connections
        assert (connection.client, connection.clients[0].connections) == ("192.0.2.7", 1)
        assert connection.peer.startswith("192.0.2.7")
        direct = exchange.visit(forwarded(x_forwarded_for=b"192.0.2.8"), host="192.0.2.9")
        assert direct.response is not None
        clients = {each.client for each in exchange.gateway.connections}
        assert clients == {"192.0.2.7", "192.0.2.9"}, "others are not trusted"


async def test_a_request_whose_proxy_names_two_clients_is_refused_on_every_path() -> None:
    async with Exchange.running(timeless(trusted_proxy="127.0.0.1")) as exchange:
        names = {"x_forwarded_for": b"192.0.2.7", "forwarded": b"for=192.0.2.8"}
        for path in ("/stream", "/livez"):
            assert refused(exchange.visit(head(path, **names)))[:2] == (400, "bad_forwarded")
        assert exchange.gateway.opened == 0
        assert exchange.gateway.refused == {"bad_forwarded": 2}


@in_virtual_time
async def test_the_limits_of_a_client_behind_a_proxy_are_its_own() -> None:
    options = timeless(trusted_proxy="127.0.0.1", client_connections=1)
    async with Exchange.running(options) as exchange:
        for name in (b"192.0.2.7", b"192.0.2.8"):
            exchange.connect("/stream", x_forwarded_for=name)
        visitor = exchange.visit(forwarded(x_forwarded_for=b"192.0.2.8"))
        assert refused(visitor)[1:3] == (
            "client_connections",
            "192.0.2.8 has the maximum of 1 open connections",
        )


# ---------------------------------------------------------------- limits per client


async def test_a_client_above_its_connections_is_told_so_and_far_above_them_reset() -> None:
    options = timeless(client_connections=1)
    async with Exchange.running(options) as exchange:
        exchange.connect()
        visitors = [exchange.visit(head()) for _ in range(17)]
        assert refused(visitors[0])[:4] == (
            429,
            "client_connections",
            "127.0.0.1 has the maximum of 1 open connections",
            True,
        )
        assert [each.response is not None for each in visitors] == [True] * 16 + [False]
        assert [each.wire.was_reset for each in visitors] == [False] * 16 + [True]
        assert exchange.gateway.refused == {"client_connections": 17}
        other = exchange.visit(head(), host="192.0.2.7")
        assert other.response is not None
        assert other.response.status == 101


@in_virtual_time
async def test_http_requests_of_a_client_are_limited_and_the_refusal_says_when() -> None:
    async with Exchange.running(timeless(client_request_rate=0.1)) as exchange:
        visitors = [exchange.visit(head("/livez")) for _ in range(2)]
        assert refused(visitors[0])[1] == "not_found"
        assert refused(visitors[1]) == (
            429,
            "client_request_rate",
            "127.0.0.1 sends more than 0.1 requests per second",
            True,
            "10",
        )


@in_virtual_time
async def test_new_feeds_of_a_client_are_limited_and_those_that_are_open_are_not() -> None:
    async with Exchange.running(timeless(client_feed_rate=0.1)) as exchange:
        peer = exchange.connect()
        peer.say("subscribe", ONE, OTHER)
        peer.read()
        error, subscribed = peer.messages
        assert subscribed["symbols"] == [ONE]
        assert (error["code"], error["retry_after_ms"]) == ("client_feed_rate", 10_000)
        other = exchange.connect()
        other.say("subscribe", ONE)
        other.read()
        assert other.messages[-1]["symbols"] == [ONE]


# ---------------------------------------------------------------- room


@in_virtual_time
async def test_when_all_places_are_taken_the_oldest_silent_connection_makes_room() -> None:
    async with Exchange.running(timeless()) as exchange:
        gateway = exchange.gateway
        gateway.capacity = Capacity(1, 2)
        told = exchange.visit(head("/nowhere"))
        oldest = exchange.visit()
        await asyncio.sleep(0.5)
        younger = exchange.visit()
        newcomer = exchange.visit()
        await turns()
        assert newcomer.wire.was_reset, "nobody has been silent for a second"
        assert gateway.refused == {"not_found": 1, "connection_limit": 1}
        await asyncio.sleep(0.5)
        newcomer = exchange.visit()
        await turns()
        reset = [each.wire.was_reset for each in (told, oldest, younger, newcomer)]
        assert reset == [False, True, False, False]
        assert gateway.refused == {"not_found": 1, "connection_limit": 1, "evicted": 1}
        assert gateway.sockets == 3


@in_virtual_time
async def test_an_upgrade_above_the_limit_of_files_needs_a_silent_connection_to_make_room() -> None:
    async with Exchange.running(timeless()) as exchange:
        gateway = exchange.gateway
        gateway.capacity = Capacity(2, 5)
        exchange.connect()
        silent = exchange.visit()
        exchange.visit(head("/nowhere"))
        assert refused(exchange.visit(head()))[1] == "connection_limit", "too early"
        await asyncio.sleep(1.0)
        exchange.connect()
        assert silent.wire.was_reset
        assert len(gateway.connections) == 2
        assert gateway.refused["evicted"] == 1


# ---------------------------------------------------------------- TLS


async def test_a_client_that_cannot_begin_with_tls_is_counted_and_logged(
    exchange: Exchange, caplog: pytest.LogCaptureFixture
) -> None:
    visitor = exchange.visit()
    (pending,) = exchange.gateway.pending
    answer = pending.handshake_failed(HandshakeFailure.NOT_TLS, "an HTTP request")
    assert answer is not None
    assert b'"code":"tls_required"' in answer
    assert exchange.gateway.refused == {"tls_required": 1}
    assert caplog.messages == [f"TLS handshake with {pending.peer} failed: an HTTP request"]
    assert pending.peer == f"127.0.0.1:{visitor.wire.fileno()}"
    visitor.transport.reset()


@in_virtual_time
async def test_a_client_has_as_long_for_its_request_as_for_its_tls_handshake() -> None:
    async with Exchange.running(timeless()) as exchange:
        exchange.visit()
        exchange.visit()
        first, second = exchange.gateway.pending
        await asyncio.sleep(3.0)
        first.handshake_completed()
        assert first.deadline == now() + 5.0
        assert list(exchange.gateway.pending) == [second, first], "by their deadlines"


# ---------------------------------------------------------------- the drain


@in_virtual_time
async def test_a_drain_tells_every_client_when_to_come_back_and_ends_with_the_last_connection() -> (
    None
):
    async with Exchange.running(timeless()) as exchange:
        gateway = exchange.gateway
        peers = [exchange.connect(f"/quotes/{ONE}"), exchange.connect()]
        closing = exchange.connect()
        connection = exchange.connection_of(closing)
        assert connection is not None
        connection.close(CloseCode.KICKED)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(random, "randrange", lambda spread: spread - 1)
            draining = asyncio.create_task(gateway.drain(60.0))
            await asyncio.sleep(1.0)
        for peer in peers:
            peer.read()
            assert peer.messages == [{"type": "going_away", "retry_after_ms": 4_999}]
            assert (peer.close_code, peer.close_reason) == (1001, "the service is shutting down")
            peer.send(raw_websocket.close(1001))
        closing.read()
        assert (closing.close_code, closing.messages) == (4411, []), "it was told to go already"
        began = now()
        assert gateway.draining
        assert not draining.done()
        await asyncio.sleep(20.0)
        assert not draining.done(), "one has not answered"
        closing.send(raw_websocket.close(4411))
        await draining
        assert now() == began + 20.0
        assert gateway.closed == {"4411": 1, "1001": 2}
        assert gateway.sockets == 0


@in_virtual_time
async def test_a_drain_ends_what_is_still_open_after_its_timeout() -> None:
    async with Exchange.running(timeless()) as exchange:
        gateway = exchange.gateway
        peer, visitor = exchange.connect(), exchange.visit()
        began = now()
        await gateway.drain(60.0)
        assert now() == began + 60.0
        assert peer.wire.was_reset
        assert visitor.wire.was_reset
        assert gateway.sockets == 0
        assert gateway.closed == {"1001": 1}


@in_virtual_time
async def test_during_a_drain_upgrades_are_refused_and_new_sockets_reset() -> None:
    async with Exchange.running(timeless()) as exchange:
        early = exchange.visit()
        draining = asyncio.create_task(exchange.gateway.drain(3.0))
        await turns()
        early.send(head())
        assert refused(early) == (
            503,
            "draining",
            "the service is shutting down; try again shortly",
            True,
            "5",
        )
        late = exchange.visit(head())
        await turns()
        assert (late.wire.was_reset, late.response) == (True, None)
        await draining
        assert exchange.gateway.refused == {"draining": 1}


@in_virtual_time
async def test_a_drain_with_nothing_connected_takes_no_time() -> None:
    async with Exchange.running(timeless()) as exchange:
        began = now()
        await exchange.gateway.drain(60.0)
        assert now() == began


async def test_a_pending_connection_counts_for_its_client_until_it_ends(
    exchange: Exchange,
) -> None:
    visitor = exchange.visit()
    (pending,) = exchange.gateway.pending
    (usage,) = pending.clients
    assert (usage.name, usage.connections) == ("127.0.0.1", 1)
    visitor.transport.reset()
    await turns()
    assert usage.connections == 0


async def test_all_are_told_to_come_back_within_the_timeout_of_the_drain() -> None:
    async with Exchange.running(timeless()) as exchange:
        peer = exchange.connect(f"/quotes/{ONE}")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(random, "randrange", lambda spread: spread - 1)
            draining = asyncio.create_task(exchange.gateway.drain(2.0))
            await asyncio.sleep(0.1)
        peer.read()
        assert peer.messages == [{"type": "going_away", "retry_after_ms": 1_599}]
        peer.send(raw_websocket.close(1001))
        await draining
