"""A WebSocket connection: what it answers, how it ends, and what is counted, without a kernel or time."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator

import pytest

from qcfeed.feed.lifecycle import Demand
from qcfeed.model.messages import CloseCode
from qcfeed.ws.connection import ConnectionState, WebSocketConnection
from tests.support import raw_websocket
from tests.support.modelled_kernel import Exchange, Peer, symbols, timeless, turns
from tests.support.raw_websocket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame
from tests.support.virtual_time import in_virtual_time

LIMIT = 8
ONE, OTHER = symbols(2)


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    exchange = Exchange(timeless(max_lag=LIMIT, send_buffer=4_608, max_message_size=1_000))
    yield exchange
    await exchange.stop()


def connected(exchange: Exchange, target: str = "/stream") -> tuple[Peer, WebSocketConnection]:
    peer = exchange.connect(target)
    connection = exchange.connection_of(peer)
    assert connection is not None
    return peer, connection


# ---------------------------------------------------------------- the start


async def test_the_latest_quote_comes_in_the_same_write_as_the_answer_to_the_upgrade(
    exchange: Exchange,
) -> None:
    connected(exchange, f"/quotes/{ONE}")
    await exchange.publish({ONE: 2})
    peer, connection = connected(exchange, f"/quotes/{ONE}")
    assert peer.wire.sends == 1
    assert [each["seq"] for each in peer.quotes()] == [2]
    assert connection.subscribers[ONE].lag == 0
    await exchange.publish({ONE: 1})
    peer.read()
    assert [each["seq"] for each in peer.quotes()] == [2, 3]
    assert peer.wire.sends == 2


async def test_a_new_connection_is_open_uncompressed_and_has_asked_for_nothing(
    exchange: Exchange,
) -> None:
    _, stream = connected(exchange)
    assert (stream.state, stream.connected, stream.writable) == (ConnectionState.OPEN, True, True)
    assert (stream.compressed, stream.single_symbol, stream.subscribers) == (False, False, {})
    assert (stream.missed_at, stream.missed_quotes, stream.unsent) == (None, 0, 0)
    assert (stream.throttle, stream.deadline, stream.pinged_at, stream.stalled_since) == (
        None,
        None,
        None,
        None,
    )
    assert (stream.client, stream.identity, stream.name) == ("127.0.0.1", None, None)
    assert stream.backlog.limit == LIMIT
    assert stream.opened_at == stream.last_received_at
    _, quotes = connected(exchange, f"/quotes/{ONE}?slow=disconnect")
    assert (quotes.single_symbol, quotes.subscribers.keys()) == (True, {ONE})
    assert (quotes.backlog.policy, stream.backlog.policy) == ("disconnect", "conflate")
    assert quotes.serial != stream.serial


async def test_the_first_frames_may_come_with_the_request(exchange: Exchange) -> None:
    peer = exchange.connect("/stream", raw_websocket.request("subscribe", ONE))
    assert [each["type"] for each in peer.messages] == ["subscribed"]


# ---------------------------------------------------------------- frames


async def test_a_ping_is_answered_with_its_payload_and_anything_counts_as_received(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer, connection = connected(exchange)
    connection.ping()
    assert connection.pinged_at is not None
    before = connection.last_received_at
    monkeypatch.setattr(exchange.gateway, "now", lambda: before + 3.0)
    peer.send(frame(PING, b"are you there"))
    peer.read()
    assert peer.pongs == [b"are you there"]
    assert (connection.last_received_at, connection.pinged_at) == (before + 3.0, None)
    assert connection.throttle is not None, "it is charged"


@pytest.mark.parametrize(
    "flood",
    [frame(PING), frame(PONG), frame(TEXT, b"x", final=False)],
    ids=["pings", "pongs", "fragments"],
)
@in_virtual_time
async def test_small_frames_are_charged_as_an_eighth_of_a_request_and_the_rest_waits_unread(
    flood: bytes,
) -> None:
    async with Exchange.running(timeless(request_rate=1.0)) as exchange:
        peer, connection = connected(exchange)
        rest = flood if flood[0] & 0x80 else frame(CONTINUATION, b"x", final=False)
        # Ten seconds' worth of requests may come at once, and each needs a whole one to be left.
        peer.send(flood + 72 * rest)
        peer.read()
        assert peer.messages == []
        peer.send(rest + raw_websocket.close(1000))
        peer.read()
        assert [(each["type"], each["code"]) for each in peer.messages] == [
            ("error", "request_rate")
        ]
        assert peer.messages[0]["retry_after_ms"] == 125
        assert (peer.transport.is_reading(), connection.connected) == (False, True)
        await asyncio.sleep(0.499)
        assert connection.connected, "its close waits unread"
        await asyncio.sleep(0.001)
        assert (connection.connected, exchange.gateway.closed) == (False, {"1000": 1})
        assert exchange.gateway.refused == {"request_rate": 1}


@in_virtual_time
async def test_a_paused_connection_is_paused_once_and_no_longer_when_it_ends() -> None:
    async with Exchange.running(timeless()) as exchange:
        peer, connection = connected(exchange)
        connection.pause_input(2.0)
        connection.pause_input(9.0)
        peer.wire.incoming += raw_websocket.request("ping")
        await asyncio.sleep(1.999)
        assert not peer.transport.is_reading()
        await asyncio.sleep(0.001)
        assert peer.transport.is_reading()
        connection.pause_input(2.0)
        connection.abort("test")
        await asyncio.sleep(10.0)
        assert not peer.transport.is_reading(), "it has ended"


@in_virtual_time
async def test_when_all_requests_take_too_much_time_the_next_one_waits_unparsed() -> None:
    async with Exchange.running(timeless()) as exchange:
        peer, _ = connected(exchange)
        peer.send(frame(PING))  # so that there is a parser
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(exchange.gateway, "busy_for", lambda: 3.0)
            peer.send(raw_websocket.request("ping"))
            peer.read()
            assert (peer.messages, peer.transport.is_reading()) == ([], False)
        await asyncio.sleep(2.999)
        peer.read()
        assert peer.messages == []
        await asyncio.sleep(0.001)
        peer.read()
        assert peer.messages == [{"type": "pong"}]


async def test_a_message_in_pieces_of_one_byte_is_one_request(exchange: Exchange) -> None:
    peer, _ = connected(exchange)
    for byte in raw_websocket.request("ping"):
        peer.send(bytes([byte]))
    peer.read()
    assert [each["type"] for each in peer.messages] == ["pong"]


@pytest.mark.parametrize(
    ("sent", "code", "final"),
    [
        (frame(BINARY, b"x"), CloseCode.UNSUPPORTED_DATA, False),
        (frame(TEXT, b"x" * 1_001), CloseCode.MESSAGE_TOO_BIG, False),
        (frame(TEXT, b"\xff"), CloseCode.INVALID_TEXT, True),
        (frame(0x3, b""), CloseCode.PROTOCOL_ERROR, True),
    ],
)
async def test_a_violation_is_closed_with_its_code_and_a_broken_stream_is_not_read_further(
    exchange: Exchange, sent: bytes, code: CloseCode, final: bool
) -> None:
    peer, connection = connected(exchange)
    peer.say("subscribe", ONE)
    peer.send(sent + raw_websocket.request("ping"))
    peer.read()
    assert peer.close_code == code
    assert exchange.gateway.closed == {str(int(code)): 1}
    assert [each["type"] for each in peer.messages] == ["subscribed"], "nothing else is answered"
    assert connection.state is ConnectionState.CLOSING
    assert exchange.hub.subscriptions == 0
    assert peer.wire.ended == final, "our half ends, as no close frame can be expected"
    peer.send(raw_websocket.close(int(code)))
    await turns()
    assert (connection.state is ConnectionState.CLOSED) == (not final)
    assert exchange.gateway.closed == {str(int(code)): 1}, "counted once"


async def test_after_broken_frames_a_closing_connection_keeps_nothing_of_what_still_comes(
    exchange: Exchange,
) -> None:
    peer, connection = connected(exchange)
    connection.close(CloseCode.KICKED)
    peer.send(frame(0x3))
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(16):
        peer.send(bytes(65_536))
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 65_536
    peer.send(raw_websocket.close(1000))
    await turns()
    assert connection.state is ConnectionState.CLOSING


async def test_a_message_that_is_refused_while_closing_breaks_no_frames(exchange: Exchange) -> None:
    peer, connection = connected(exchange)
    connection.close(CloseCode.KICKED)
    peer.send(frame(BINARY, b"x"))
    peer.send(raw_websocket.close(1000))
    await turns()
    assert connection.state is ConnectionState.CLOSED


# ---------------------------------------------------------------- ends


@pytest.mark.parametrize(
    ("sent", "answered", "counted"),
    [
        (raw_websocket.close(1000), 1000, "1000"),
        (raw_websocket.close(1001, b"bye"), 1001, "1001"),
        (frame(CLOSE), 1000, "1005"),
        (raw_websocket.close(3999), 3999, "other"),
        (raw_websocket.close(4411), 4411, "4411"),
    ],
)
async def test_a_close_frame_is_answered_with_its_code_and_counted_by_it(
    exchange: Exchange, sent: bytes, answered: int, counted: str
) -> None:
    peer, connection = connected(exchange)
    peer.say("subscribe", ONE, OTHER)
    peer.send(sent)
    peer.read()
    assert peer.close_code == answered
    assert exchange.gateway.closed == {counted: 1}
    assert (connection.connected, connection.writable) == (False, False)
    assert connection.subscribers == {}
    assert {each.lifecycle.demand for each in exchange.hub.feeds.values()} == {Demand.LINGERING}
    await turns()
    assert connection.state is ConnectionState.CLOSED
    assert (peer.wire.ended, peer.wire.was_reset) == (True, False)
    assert exchange.gateway.sockets == 0


async def test_a_connection_that_ends_without_a_close_frame_is_counted_by_how_it_ended(
    exchange: Exchange,
) -> None:
    closed = exchange.gateway.closed
    peer, connection = connected(exchange)
    peer.say("subscribe", ONE)
    peer.leave()
    assert (closed, connection.subscribers) == ({"eof": 1}, {})
    await turns()
    assert connection.state is ConnectionState.CLOSED
    peer, connection = connected(exchange)
    peer.leave(ConnectionResetError("reset"))
    await turns()
    assert (closed, connection.state) == ({"eof": 1, "lost": 1}, ConnectionState.CLOSED)
    peer, connection = connected(exchange)
    peer.leave(TimeoutError("timed out"))  # the network failed, and nothing was unsent
    await turns()
    assert closed == {"eof": 1, "lost": 2}
    peer, connection = connected(exchange)
    peer.say("subscribe", ONE)
    peer.wire.room = 0
    await exchange.publish({ONE: 1})
    peer.leave(TimeoutError("timed out"))  # the kernel's own stall timeout
    await turns()
    assert closed == {"eof": 1, "lost": 2, "4408": 1}
    assert exchange.gateway.disconnected_slow == 1


async def test_a_closed_connection_discards_what_it_is_asked_to_send(exchange: Exchange) -> None:
    peer, connection = connected(exchange)
    connection.abort("test")
    await turns()
    assert (connection.state, peer.wire.was_reset) == (ConnectionState.CLOSED, True)
    sends = peer.wire.sends
    connection.write(b"late")
    assert connection.push(b"late") == 4, "as if it were sent: the batch goes on"
    connection.close(CloseCode.KICKED)
    connection.abort("again")
    connection.data_received(raw_websocket.request("ping"))
    assert peer.wire.sends == sends
    assert exchange.gateway.closed == {"test": 1}


async def test_a_connection_is_counted_once_by_the_first_reason_for_its_end(
    exchange: Exchange,
) -> None:
    peer, connection = connected(exchange)
    connection.close(CloseCode.KICKED, "by an operator")
    deadline = connection.deadline
    connection.close(CloseCode.GOING_AWAY, "again")
    connection.eof_received()
    connection.abort("timeout")
    await turns()
    peer.read()
    assert (peer.close_code, peer.close_reason) == (CloseCode.KICKED, "by an operator")
    assert connection.deadline == deadline
    assert exchange.gateway.closed == {"4411": 1}
    assert peer.wire.was_reset


async def test_a_stalled_peer_that_closes_ends_only_when_it_has_read(exchange: Exchange) -> None:
    peer, connection = connected(exchange)
    peer.say("subscribe", ONE)
    peer.read()
    peer.wire.room = 0
    await exchange.publish({ONE: 1})
    peer.send(raw_websocket.close(1000) + raw_websocket.request("ping"))
    await turns()
    assert (connection.state, peer.wire.ended) == (ConnectionState.CLOSING, False)
    peer.drain()
    assert peer.close_code == 1000
    assert [each["type"] for each in peer.messages] == ["subscribed", "quote"], "no pong"
    assert peer.wire.ended, "our half"
    assert connection.state is ConnectionState.CLOSING, "until the peer has ended its own"
    peer.leave()
    await turns()
    assert connection.state is ConnectionState.CLOSED
    assert exchange.gateway.closed == {"1000": 1}


# ---------------------------------------------------------------- stalls


async def test_a_stalled_connection_is_not_writable_until_its_peer_has_read_everything(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer, connection = connected(exchange)
    peer.say("subscribe", ONE)
    peer.read()
    monkeypatch.setattr(exchange.gateway, "now", lambda: 500.0)
    peer.wire.room = 100
    await exchange.publish({ONE: 1})
    assert (connection.writable, connection.stalled_since) == (False, 500.0)
    assert connection.progress_at == 500.0
    assert connection.unsent == 163 + 4 - 100
    connection.catch_up()
    assert connection.unsent == 163 + 4 - 100, "nothing is added to what is unsent"
    monkeypatch.setattr(exchange.gateway, "now", lambda: 600.0)
    connection.check_progress(600.0)
    assert connection.progress_at == 500.0, "the peer has read nothing"
    await exchange.publish({ONE: LIMIT + 1})
    peer.drain()
    assert (connection.writable, connection.stalled_since, connection.unsent) == (True, None, 0)
    assert (connection.missed_at, connection.missed_quotes) == (600.0, LIMIT)


async def test_progress_is_any_byte_that_left_our_buffers(exchange: Exchange) -> None:
    peer, connection = connected(exchange)
    peer.say("subscribe", ONE)
    peer.read()
    peer.wire.room = 100
    await exchange.publish({ONE: 1})
    since = connection.progress_at
    peer.read(1)
    connection.check_progress(since + 5.0)
    assert connection.progress_at == since + 5.0
    connection.check_progress(since + 6.0)
    assert connection.progress_at == since + 5.0, "only what is new"


async def test_a_connection_over_its_limit_is_told_how_many_quotes_it_has_not_read(
    exchange: Exchange,
) -> None:
    peer, connection = connected(exchange, "/stream?slow=disconnect")
    peer.say("subscribe", ONE)
    peer.wire.room = 0
    await exchange.publish({ONE: 1})
    await exchange.publish({ONE: LIMIT + 3})
    peer.drain()
    assert (peer.close_code, peer.close_reason) == (
        CloseCode.TOO_SLOW,
        f"{LIMIT + 3} quotes unread: read faster, subscribe to fewer symbols, or connect with ?slow=conflate",
    )
    assert connection.state is ConnectionState.CLOSING


# ---------------------------------------------------------------- a feed that ends


async def test_a_feed_that_ends_closes_a_connection_without_other_symbols(
    exchange: Exchange,
) -> None:
    only, _ = connected(exchange, f"/quotes/{ONE}")
    both, connection = connected(exchange)
    both.say("subscribe", ONE, OTHER)
    exchange.hub.cancel([ONE], "bad prices")
    for peer in (only, both):
        peer.read()
    assert (only.close_code, only.close_reason) == (CloseCode.FEED_CANCELLED, "bad prices")
    assert (both.close_code, connection.subscribers.keys()) == (None, {OTHER})
    (usage,) = connection.clients
    assert usage.subscriptions == 1, "the other connection has none left"
    exchange.hub.cancel([OTHER], "bad prices, too")
    both.read()
    assert (both.close_code, both.close_reason) == (CloseCode.FEED_CANCELLED, "bad prices, too")


async def test_compressed_quotes_are_compressed_in_every_way_in_which_they_are_sent(
    exchange: Exchange,
) -> None:
    connected(exchange, f"/quotes/{ONE}")
    await exchange.publish({ONE: 1})
    peer = exchange.connect(
        f"/quotes/{ONE}?compress=1", sec_websocket_extensions=b"permessage-deflate"
    )
    connection = exchange.connection_of(peer)
    assert connection is not None
    assert connection.compressed
    assert peer.compressed == 1, "the latest quote, with the answer"
    await exchange.publish({ONE: 1})
    peer.read()
    assert peer.compressed == 2, "pushed, as no other feed has news"
    peer.say("ping")
    peer.read()
    assert (peer.compressed, peer.messages[-1]["type"]) == (2, "pong"), "too short to be worth it"
    assert [each["seq"] for each in peer.quotes()] == [1, 2]
