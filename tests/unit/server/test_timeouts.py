"""The timeouts of a connection, just before and at each limit (docs/reference/protocol.md, time limits)."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator

import pytest

from qcfeed.model.messages import CloseCode
from qcfeed.net.poller import READ
from qcfeed.server.timeouts import MAX_DUE_PER_TURN
from qcfeed.ws.connection import ConnectionState, WebSocketConnection
from tests.support import raw_websocket
from tests.support.modelled_kernel import Exchange, Peer, symbols, timeless, turns
from tests.support.virtual_time import in_virtual_time

PING, STALL = 20.0, 10.0
(ONE,) = symbols(1)


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    exchange = Exchange(timeless(ping_interval=PING, stall_timeout=STALL, send_buffer=4_608))
    yield exchange
    await exchange.stop()


async def connected(exchange: Exchange) -> tuple[Peer, WebSocketConnection]:
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
    assert connection.state is ConnectionState.CLOSING
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


# ---------------------------------------------------------------- the periodic sweeps


@pytest.mark.parametrize(
    ("ping", "stall", "shortest"),
    [(20.0, 10.0, 5.0), (2.0, 10.0, 2.0), (20.0, 1.0, 1.0), (0.0, 10.0, 5.0)],
    ids=["close", "ping", "stall", "no pings"],
)
@in_virtual_time
async def test_every_connection_is_checked_four_times_within_the_shortest_timeout(
    ping: float, stall: float, shortest: float
) -> None:
    options = timeless(ping_interval=ping, stall_timeout=stall)
    checked: dict[WebSocketConnection, list[float]] = defaultdict(list)

    async with Exchange.running(options) as exchange:
        connections = [(await connected(exchange))[1] for _ in range(24)]
        timeouts = exchange.gateway.timeouts
        assert len(timeouts) == 24
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(timeouts, "check", lambda each, at: checked[each].append(at) or False)
            timeouts.start()
            await asyncio.sleep(100 * shortest)
            timeouts.stop()
        assert checked.keys() == set(connections)
        for times in checked.values():
            gaps = [later - before for before, later in itertools.pairwise(times)]
            assert gaps == pytest.approx([shortest / 4] * len(gaps))
        moments = sorted({at for times in checked.values() for at in times})
        gaps = [later - before for before, later in itertools.pairwise(moments)]
        assert gaps == pytest.approx([shortest / 4 / 8] * len(gaps)), "an eighth of them at a time"
        before = sum(map(len, checked.values()))
        await asyncio.sleep(100.0)
        assert sum(map(len, checked.values())) == before, "it was stopped"
        connections[0].abort("test")
        await turns()
        assert len(timeouts) == 23


@in_virtual_time
async def test_silent_peers_are_pinged_and_then_closed_by_the_sweeps() -> None:
    options = timeless(ping_interval=PING, stall_timeout=STALL)
    async with Exchange.running(options) as exchange:
        peer, connection = await connected(exchange)
        exchange.gateway.timeouts.start()
        await asyncio.sleep(PING + 5 / 4)
        assert connection.pinged_at is not None
        await asyncio.sleep(STALL + 5 / 4)
        peer.read()
        assert peer.close_code == CloseCode.NO_PONG
        assert peer.close_reason == "no pong within 10 s"
        await asyncio.sleep(5.0 + 5 / 4)
        assert (connection.state, peer.wire.was_reset) == (ConnectionState.CLOSED, True)
        assert exchange.gateway.closed == {"4412": 1}
        exchange.gateway.timeouts.stop()


@in_virtual_time
async def test_only_so_many_connections_are_closed_per_turn_and_the_rest_in_the_next_ones() -> None:
    options = timeless(ping_interval=PING, stall_timeout=STALL)
    per_turn: list[int] = []
    async with Exchange.running(options) as exchange:
        connections = [(await connected(exchange))[1] for _ in range(8 * 40)]
        for each in connections:
            each.close(CloseCode.KICKED)
        await asyncio.sleep(6.0)
        exchange.gateway.timeouts.start()
        for _ in range(20):
            ended = sum(each.transport.is_closing() for each in connections)
            per_turn.append(ended - sum(per_turn))
            await asyncio.sleep(0)
        due = [each for each in per_turn if each]
        assert due == [MAX_DUE_PER_TURN, MAX_DUE_PER_TURN, 40 - 2 * MAX_DUE_PER_TURN]
        await asyncio.sleep(5 / 4)
        assert all(each.state is ConnectionState.CLOSED for each in connections)
        exchange.gateway.timeouts.stop()


@in_virtual_time
async def test_a_bug_in_one_check_ends_no_other_timeout() -> None:
    async with Exchange.running(timeless(ping_interval=PING, stall_timeout=STALL)) as exchange:
        _, connection = await connected(exchange)
        timeouts, calls, reported = exchange.gateway.timeouts, [], []

        def check(_: WebSocketConnection, at: float) -> bool:
            calls.append(at)
            raise RuntimeError("a bug")

        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: reported.append(str(context["exception"]))
        )
        timeouts.start()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(timeouts, "check", check)
            await asyncio.sleep(10.0)
            timeouts.stop()
        assert len(calls) in (7, 8), "ten seconds, but for the first sweep"
        assert reported == ["a bug"] * len(calls)
        assert connection.connected


@in_virtual_time
async def test_clients_that_send_no_request_are_ended_after_five_seconds_in_the_order_of_their_deadlines() -> (
    None
):
    async with Exchange.running(timeless()) as exchange:
        exchange.gateway.timeouts.start()
        first = exchange.visit()
        await asyncio.sleep(1.0)
        second = exchange.visit()
        await asyncio.sleep(1.0)
        first.send(raw_websocket.head("/nowhere"))  # refused: it has five seconds to leave
        assert exchange.gateway.sockets == 2
        await asyncio.sleep(3.99)
        assert (first.wire.was_reset, second.wire.was_reset) == (False, False)
        await asyncio.sleep(0.01 + 5 / 32)
        assert (first.wire.was_reset, second.wire.was_reset) == (False, True)
        await asyncio.sleep(0.99 - 5 / 32)
        assert not first.wire.was_reset
        await asyncio.sleep(0.01 + 5 / 32)
        assert first.wire.was_reset
        assert exchange.gateway.sockets == 0
        exchange.gateway.timeouts.stop()


@in_virtual_time
async def test_many_clients_without_a_request_are_ended_a_few_per_turn() -> None:
    async with Exchange.running(timeless()) as exchange:
        exchange.gateway.capacity = exchange.gateway.capacity._replace(connections=1_000)
        visitors = [exchange.visit() for _ in range(40)]
        await asyncio.sleep(5.0)
        exchange.gateway.timeouts.start()
        counts = []
        for _ in range(4):
            counts.append(sum(each.wire.was_reset for each in visitors))
            await asyncio.sleep(0)
        assert counts == [16, 16, 32, 40]
        exchange.gateway.timeouts.stop()
