"""What clients of /quotes/{symbol} and /stream receive, and the errors for invalid requests."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from tests.integration.service.conftest import Start
from tests.support.patience import PATIENCE
from tests.support.raw_websocket import PING, PONG, TEXT, frame, request
from tests.support.running_service import Running, until
from tests.support.websockets_client import connect_async


async def test_a_websockets_client_gets_quotes_at_once_and_in_order(running: Running) -> None:
    async with asyncio.timeout(PATIENCE), connect_async(f"{running.ws}/quotes/AAPL") as client:
        quotes = [json.loads(await client.recv()) for _ in range(20)]
    assert {quote["symbol"] for quote in quotes} == {"AAPL"}
    assert {quote["type"] for quote in quotes} == {"quote"}
    assert len({quote["epoch"] for quote in quotes}) == 1
    assert [quote["seq"] for quote in quotes] == list(range(1, 21))
    assert all(quote["bid"] <= quote["last"] <= quote["ask"] for quote in quotes)
    assert all(quote["ts"].endswith("Z") for quote in quotes)
    await running.balanced()


async def test_an_aiohttp_client_with_compression_offered_is_served(running: Running) -> None:
    async with (
        asyncio.timeout(PATIENCE),
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{running.ws}/quotes/aapl", compress=15) as client,
    ):
        assert (await client.receive_json())["seq"] == 1
        assert client.compress == 0
    await running.balanced()


async def test_the_second_subscriber_gets_the_last_quote_at_once(start: Start) -> None:
    running = await start(upstream="sim:?rate=0.001", stale_after=200)
    async with await running.client() as first:
        quote = await first.message()
        async with await running.client("/quotes/aapl") as second:
            assert await second.message() == quote
            assert running.feed().log.head == 1
    await running.balanced()


async def test_a_stale_quote_is_not_replayed(start: Start) -> None:
    running = await start(upstream="sim:?rate=0.001", stale_after=0.2)
    async with await running.client() as first:
        await first.message("quote")
        while (await first.message("status"))["state"] != "stale":
            pass
        async with await running.client() as second:
            assert (await second.message())["state"] == "stale"
            second.send(request("ping"))
            assert (await second.message())["type"] == "pong"


async def test_subscribe_unsubscribe_and_ping(running: Running) -> None:
    async with await running.stream("AAPL", "MSFT") as client:
        seen: set[str] = set()
        while seen != {"AAPL", "MSFT"}:
            seen.add((await client.message("quote"))["symbol"])
        client.send(request("subscribe", "msft", "TSLA"))
        assert (await client.message("subscribed"))["symbols"] == ["AAPL", "MSFT", "TSLA"]
        client.send(request("unsubscribe", "AAPL", "tsla", "NEVER"))
        assert (await client.message("subscribed"))["symbols"] == ["MSFT"]
        seen = {(await client.message("quote"))["symbol"] for _ in range(5)}
        assert seen == {"MSFT"}
        client.send(request("ping"))
        assert await client.message("pong") == {"type": "pong"}
        assert running.service.hub.subscriptions == 1
    await running.balanced()


async def test_an_unsubscribed_symbol_is_silent_until_it_is_subscribed_again(
    running: Running,
) -> None:
    async with await running.stream("AAPL") as client:
        epoch = (await client.message("quote"))["epoch"]
        client.send(request("unsubscribe", "AAPL"))
        assert (await client.message("subscribed"))["symbols"] == []
        await until(lambda: not running.service.hub.feeds, "the feed is gone")
        client.send(request("subscribe", "AAPL"))
        assert (await client.message("subscribed"))["symbols"] == ["AAPL"]
        quote = await client.message()
        assert quote["seq"] == 1
        assert quote["epoch"] != epoch


BAD_REQUESTS = {
    "path": (request("subscribe", "../x"), "invalid_symbol"),
    "empty name": (request("subscribe", ""), "invalid_symbol"),
    "long s, upper-cased an S": (request("subscribe", "\u017fPY"), "invalid_symbol"),
    "full width": (request("subscribe", "\uff21\uff21\uff30\uff2c"), "invalid_symbol"),
    "Cyrillic A": (request("subscribe", "\u0410APL"), "invalid_symbol"),
    "10 kB name": (request("subscribe", "A" * 10_000), "invalid_symbol"),
    "unknown": (request("subscribe", "NOSUCH"), "unknown_symbol"),
    "empty text": (frame(TEXT, b""), "bad_request"),
    "no JSON": (frame(TEXT, b"subscribe AAPL"), "bad_request"),
    "deep": (frame(TEXT, b"[" * 50_000), "bad_request"),
    "deep inside": (
        frame(TEXT, b'{"action":"subscribe","symbols":' + b"[" * 50_000),
        "bad_request",
    ),
    "deep and unknown": (frame(TEXT, b'{"x":' + b"[" * 50_000), "bad_request"),
    "unknown action": (frame(TEXT, b'{"action":"fly"}'), "bad_request"),
    "number": (frame(TEXT, b'{"action":"subscribe","symbols":[1]}'), "bad_request"),
    "no list": (frame(TEXT, b'{"action":"subscribe","symbols":"AAPL"}'), "bad_request"),
    "lone surrogate": (
        frame(TEXT, b'{"action":"subscribe","symbols":["\\ud800"]}'),
        "bad_request",
    ),
    "unknown field": (frame(TEXT, b'{"action":"subscribe","extra":1}'), "bad_request"),
    "null": (frame(TEXT, b"null"), "bad_request"),
}


@pytest.mark.parametrize(("sent", "code"), BAD_REQUESTS.values(), ids=BAD_REQUESTS)
async def test_a_bad_request_gets_an_error_and_the_connection_stays_open(
    running: Running, sent: bytes, code: str
) -> None:
    async with await running.stream("AAPL") as client:
        client.send(sent)
        error = await client.message("error")
        assert error["code"] == code
        assert "retryable" not in error
        assert len(error.get("symbol", "")) <= 32
        assert len(error["message"]) < 400
        client.send(request("ping"))
        await client.message("pong")
        assert (await client.message("quote"))["symbol"] == "AAPL"
        assert set(running.service.hub.feeds) == {"AAPL"}
    await running.balanced()


async def test_good_symbols_beside_bad_ones_are_served(running: Running) -> None:
    async with await running.stream() as client:
        client.send(request("subscribe", "nosuch", "AAPL", "../../etc/passwd", "MSFT"))
        error = await client.message("error", "subscribed")
        assert (error["code"], error["symbol"]) == ("unknown_symbol", "NOSUCH")
        assert error["refused"] == [
            {"symbol": "nosuch", "code": "unknown_symbol"},
            {"symbol": "../../etc/passwd", "code": "invalid_symbol"},
        ]
        assert (await client.message("subscribed"))["symbols"] == ["AAPL", "MSFT"]
    await running.balanced()


async def test_a_connection_to_quotes_accepts_no_other_symbol(running: Running) -> None:
    async with await running.client() as client:
        for action in ("subscribe", "unsubscribe"):
            client.send(request(action, "AAPL"))
            assert (await client.message("error"))["code"] == "fixed_symbol"
        client.send(request("ping"))
        await client.message("pong")
        assert set(running.service.hub.feeds) == {"AAPL"}


async def test_symbol_limit(start: Start) -> None:
    running = await start(max_symbols=2)
    async with await running.stream("AAPL") as client:
        client.send(request("subscribe", "MSFT", "AAPL"))
        assert (await client.message("subscribed"))["symbols"] == ["AAPL", "MSFT"]
        client.send(request("subscribe", "MSFT", "TSLA"))
        error = await client.message("error")
        assert (error["code"], error["symbol"]) == ("symbol_limit", "TSLA")
        assert (await client.message("subscribed"))["symbols"] == ["AAPL", "MSFT"]
        client.send(request("subscribe", *["AMZN"] * 3))
        assert (await client.message("error"))["code"] == "symbol_limit"
        client.send(request("unsubscribe", "AAPL"), request("subscribe", "TSLA"))
        assert (await client.message("subscribed"))["symbols"] == ["MSFT"]
        assert (await client.message("subscribed"))["symbols"] == ["MSFT", "TSLA"]
        assert running.service.gateway.refused["symbol_limit"] == 2
    await running.balanced()


async def test_subscribe_rate(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a fake clock: half a second per subscription."""
    running = await start(subscribe_rate=2.0)
    gateway = running.service.gateway
    now = gateway.now()
    monkeypatch.setattr(gateway, "now", lambda: now)
    async with await running.stream("AAPL", "MSFT") as client:
        client.send(request("subscribe", "TSLA"))
        error = await client.message("error")
        assert (error["code"], error["retryable"]) == ("subscribe_rate", True)
        assert (await client.message("subscribed"))["symbols"] == ["AAPL", "MSFT"]
        assert await running.refusal() == (429, "subscribe_rate")
        now += 0.6
        client.send(request("subscribe", "TSLA"))
        said = await client.message("error", "subscribed")
        assert said.get("symbols") == ["AAPL", "MSFT", "TSLA"]


async def test_pings_are_answered_with_their_payload(running: Running) -> None:
    async with await running.stream() as client:
        for payload in (b"", b"are you there", b"\x00" * 125):
            client.send(frame(PING, payload))
            pong = await client.frame()
            assert (pong.opcode, pong.payload) == (PONG, payload)
        client.send(frame(PONG, b"nobody asked"))
        client.send(request("ping"))
        await client.message("pong")


async def test_a_ping_between_the_fragments_of_a_message(running: Running) -> None:
    async with await running.stream() as client:
        client.send(
            frame(TEXT, b'{"action":', final=False),
            frame(PING, b"now"),
            frame(0, b"", final=False),
            frame(0, b'"ping"', final=False),
            frame(0, b"}"),
        )
        assert (await client.frame()).opcode == PONG
        await client.message("pong")


async def test_frames_in_pieces_of_one_byte(running: Running) -> None:
    async with await running.stream() as client:
        for byte in request("subscribe", "AAPL"):
            client.send(bytes((byte,)))
            await asyncio.sleep(0)
        assert (await client.message("subscribed"))["symbols"] == ["AAPL"]
