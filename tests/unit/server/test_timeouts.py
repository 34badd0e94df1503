"""The timeouts of a connection, just before and at each limit (docs/reference/protocol.md, time limits)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from qcfeed.model.messages import CloseCode
from qcfeed.net.poller import READ
from qcfeed.ws.connection import Connection, State
from tests.support import raw_websocket
from tests.support.modelled_kernel import Exchange, Peer, symbols, timeless

PING, STALL = 20.0, 10.0
(ONE,) = symbols(1)


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    exchange = Exchange(timeless(ping_interval=PING, stall_timeout=STALL, send_buffer=4_608))
    yield exchange
    await exchange.stop()


async def connected(exchange: Exchange) -> tuple[Peer, Connection]:
    peer = exchange.connect("/stream")
    peer.say("subscribe", ONE)
    await exchange.publish({ONE: 1})
    peer.read()
    connection = exchange.connection_of(peer)
    assert connection is not None
    return peer, connection


async def test_a_silent_peer_is_pinged_after_the_interval_and_not_before(
    exchange: Exchange,
) -> None:
    peer, connection = await connected(exchange)
    check = exchange.gateway.timeouts.check
    assert not check(connection, connection.last_received_at + PING - 0.001)
    assert connection.pinged_at is None
    assert check(connection, connection.last_received_at + PING)
    assert connection.pinged_at is not None
    assert bytes(peer.wire.unread) == b"\x89\x00"


async def test_a_peer_that_does_not_answer_a_ping_is_closed_with_4412(exchange: Exchange) -> None:
    peer, connection = await connected(exchange)
    check = exchange.gateway.timeouts.check
    check(connection, connection.last_received_at + PING)
    pinged = connection.pinged_at
    assert pinged is not None
    assert not check(connection, pinged + STALL - 0.001)
    assert connection.connected
    assert check(connection, pinged + STALL)
    peer.read()
    assert peer.close_code == CloseCode.NO_PONG == 4412


async def test_any_data_counts_as_the_answer_to_a_ping(exchange: Exchange) -> None:
    peer, connection = await connected(exchange)
    check = exchange.gateway.timeouts.check
    check(connection, connection.last_received_at + PING)
    pinged = connection.pinged_at
    assert pinged is not None
    peer.say("ping")
    assert connection.pinged_at is None
    assert not check(connection, pinged + STALL)
    assert connection.connected


async def test_a_ping_interval_of_0_disables_pings() -> None:
    exchange = Exchange(timeless(ping_interval=0.0, stall_timeout=STALL, send_buffer=4_608))
    _, connection = await connected(exchange)
    assert not exchange.gateway.timeouts.check(connection, connection.last_received_at + 1e9)
    assert connection.pinged_at is None
    await exchange.stop()


async def test_a_peer_that_reads_nothing_for_the_stall_timeout_is_dropped(
    exchange: Exchange,
) -> None:
    peer, connection = await connected(exchange)
    check = exchange.gateway.timeouts.check
    peer.wire.room = 0
    await exchange.publish({ONE: 1})
    since = connection.progress_at
    assert connection.stalled_since == since
    assert not check(connection, since + STALL - 0.001)
    assert connection.connected
    assert check(connection, since + STALL)
    assert not connection.connected
    assert exchange.gateway.closed == {"4408": 1}
    assert exchange.gateway.disconnected_slow == 1


async def test_any_progress_restarts_the_stall_timeout(exchange: Exchange) -> None:
    peer, connection = await connected(exchange)
    check = exchange.gateway.timeouts.check
    peer.wire.room = 10
    await exchange.publish({ONE: 1})
    since = connection.progress_at
    peer.read(5)
    assert not check(connection, since + STALL), "it has just taken something"
    assert connection.progress_at == since + STALL
    assert not check(connection, since + 2 * STALL - 0.001)
    assert check(connection, since + 2 * STALL)


async def test_a_close_that_is_not_answered_within_five_seconds_is_aborted(
    exchange: Exchange,
) -> None:
    peer, connection = await connected(exchange)
    check = exchange.gateway.timeouts.check
    connection.close(CloseCode.KICKED, "go")
    deadline = connection.deadline
    assert deadline is not None
    assert deadline - exchange.gateway.now() == pytest.approx(5.0, abs=4.0)
    assert not check(connection, deadline - 0.001)
    assert connection.state is State.CLOSING
    assert check(connection, deadline)
    assert exchange.gateway.closed == {"4411": 1}, "counted once, as it was closed"
    peer.read()
    assert peer.close_code == 4411


async def test_a_close_can_have_its_own_timeout(exchange: Exchange) -> None:
    _, connection = await connected(exchange)
    before = exchange.gateway.now()
    connection.close(CloseCode.KICKED, "go", within=1e6)
    assert connection.deadline is not None
    assert connection.deadline >= before + 1e6


async def test_replies_to_a_client_that_does_not_read_are_limited(exchange: Exchange) -> None:
    peer, connection = await connected(exchange)
    peer.wire.room = 0
    await exchange.publish({ONE: 1})
    answer = len(raw_websocket.frame(raw_websocket.TEXT, b'{"type":"pong"}')) - 4
    for _ in range(4_608 // answer):
        peer.say("ping")
    assert connection.connected, "as much as one write"
    peer.say("ping")
    assert not connection.connected
    assert exchange.gateway.closed == {"4408": 1}


async def test_the_limit_of_replies_restarts_once_the_client_reads(exchange: Exchange) -> None:
    peer, connection = await connected(exchange)
    for _ in range(2):
        peer.wire.room = 0
        await exchange.publish({ONE: 1})
        for _ in range(200):
            peer.say("ping")
        peer.drain()
    assert connection.connected
    assert [each["type"] for each in peer.messages].count("pong") == 400


async def test_a_stalled_peer_that_closes_gets_its_answer_behind_what_is_unsent(
    exchange: Exchange,
) -> None:
    peer, connection = await connected(exchange)
    peer.wire.room = 0
    await exchange.publish({ONE: 1})
    assert connection.stalled_since is not None
    peer.wire.incoming += raw_websocket.close(1000)
    peer.transport.ready(READ)
    peer.drain()
    assert peer.close_code == 1000
    assert len(peer.quotes()) == 2
