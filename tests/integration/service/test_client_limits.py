"""One client cannot use up what others need; each refusal says when to try again."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
import pytest

from qcfeed.server import clients
from tests.integration.service.conftest import FAR, Start
from tests.support.patience import PATIENCE
from tests.support.raw_websocket import CLOSE, PING, TEXT, RawClient, frame, head, request
from tests.support.running_service import Running, until
from tests.support.scripted_upstream import ScriptedUpstream

OTHER = "127.0.0.2"


async def _refused(running: Running, source: str = "127.0.0.1") -> tuple[int, str, int]:
    """Status, code and Retry-After of a refused upgrade."""
    async with await RawClient.connect(running.port, source=source) as client:
        client.send(head())
        answer = await client.response()
        assert await client.ended() == "eof"
    return answer.status, answer.json()["code"], int(answer.headers["retry-after"])


async def test_open_connections_are_limited_per_client(start: Start) -> None:
    running = await start(client_connections=2)
    async with await running.client(), await running.client() as second:
        status, code, wait = await _refused(running)
        assert (status, code) == (429, "client_connections")
        assert wait >= 1
        async with await running.client(source=OTHER) as other:
            await other.message("quote")
        await second.leave()
        await until(lambda: running.service.gateway.sockets == 1, "there is room again")
        async with await running.client() as third:
            await third.message("quote")
    assert running.service.gateway.refused["client_connections"] == 1
    await running.balanced()
    assert len(running.service.gateway.clients.table) == 0


async def test_far_above_its_limit_a_client_is_reset_without_an_answer(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "ANSWERED", 2)
    running = await start(client_connections=1)
    silent = [await RawClient.connect(running.port) for _ in range(3)]
    await until(lambda: running.service.gateway.sockets == 3, "they wait")
    with contextlib.suppress(ConnectionResetError):  # while it connects, or afterwards
        async with await RawClient.connect(running.port) as fourth:
            assert await fourth.ended() == "reset"
    assert running.service.gateway.refused["client_connections"] == 1
    for each in silent:
        await each.leave()
    await running.balanced()


async def test_new_connections_per_second_are_limited_per_client(start: Start) -> None:
    running = await start(client_connect_rate=1 / FAR)  # a burst of one
    async with await running.client():
        status, code, wait = await _refused(running)
        assert (status, code) == (429, "client_connect_rate")
        assert FAR - PATIENCE < wait <= FAR
        assert (await running.exchange(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"))[0] == 429
        async with await running.client(source=OTHER) as other:
            await other.message("quote")
    await running.balanced()


async def test_subscriptions_and_symbols_are_limited_over_all_connections_of_a_client(
    start: Start,
) -> None:
    running = await start(client_subscriptions=3, client_symbols=2)
    async with await running.stream("AAPL", "MSFT") as first, await running.stream() as second:
        second.send(request("subscribe", "TSLA", "AAPL", "MSFT"))
        error = await second.message("error")
        assert (error["code"], error["symbol"]) == ("client_symbols", "TSLA")
        assert [each["code"] for each in error["refused"]] == [
            "client_symbols",
            "client_subscriptions",
        ]
        assert (await second.message("subscribed"))["symbols"] == ["AAPL"]
        assert await running.refusal() == (429, "client_subscriptions")
        async with await running.stream("TSLA", source=OTHER):
            pass
        first.send(request("unsubscribe", "AAPL", "MSFT"))
        await first.message("subscribed")
        second.send(request("subscribe", "TSLA"))
        assert (await second.message("subscribed"))["symbols"] == ["AAPL", "TSLA"]
    await running.balanced()
    assert len(running.service.gateway.clients.table) == 0


async def test_a_cancelled_feed_no_longer_counts(start: Start) -> None:
    running = await start(client_subscriptions=2)
    async with await running.stream("AAPL", "MSFT") as client:
        running.service.hub.cancel(["AAPL"], "by the test")  # type: ignore[list-item]
        assert (await client.message("error"))["code"] == "feed_cancelled"
        client.send(request("subscribe", "TSLA"))
        assert (await client.message("subscribed"))["symbols"] == ["MSFT", "TSLA"]
    await running.balanced()


async def test_a_flood_of_requests_gets_one_error_per_pause_and_then_4429(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qcfeed.access.request_throttle.LEAST_PAUSE", 0.02)
    monkeypatch.setattr("qcfeed.access.request_throttle.LONGEST_PAUSE", 0.02)
    running = await start(request_rate=2)
    async with await running.stream() as client, await running.client() as bystander:
        client.send(request("ping") * 5_000)
        errors = []
        while (received := await client.frame()).opcode == TEXT:
            if b'"error"' in received.payload:
                errors.append(received.payload)
        assert received.opcode == CLOSE
        assert received.code == 4429
        assert 1 <= len(errors) <= 11
        assert all(b'"request_rate"' in each and b'"retry_after_ms"' in each for each in errors)
        await bystander.message("quote")
    await running.balanced()


async def test_a_client_that_waits_as_told_goes_on(start: Start) -> None:
    running = await start(request_rate=2)  # so few that none is allowed again while these are read
    async with await running.stream() as client:
        client.send(request("ping") * 21)
        error = await client.message("error")
        assert (error["code"], error["retryable"]) == ("request_rate", True)
        await asyncio.sleep(error["retry_after_ms"] / 1000)
        client.send(request("ping"))
        await client.message("pong")
    await running.balanced()


@pytest.mark.parametrize("flood", [frame(PING, b"x"), frame(0xA), frame(TEXT, b"", final=False)])
async def test_a_flood_of_small_frames_is_paused(start: Start, flood: bytes) -> None:
    running = await start(request_rate=5)
    async with await running.stream() as client:
        rest = frame(0, b"", final=False)
        client.send(flood + (rest if flood[0] == TEXT else flood) * 2_000)
        assert (await client.message("error"))["code"] == "request_rate"
    await running.balanced()


async def test_the_requests_of_a_client_are_limited_over_all_its_connections(start: Start) -> None:
    running = await start(client_request_rate=1 / FAR)  # a burst of one
    async with await running.stream() as first, await running.stream() as second:
        first.send(request("ping"))
        await first.message("pong")
        second.send(request("ping"))
        error = await second.message("error")
        assert error["code"] == "client_request_rate"
        assert 0 < error["retry_after_ms"] <= FAR * 1000
        async with await running.stream(source=OTHER) as other:
            other.send(request("ping"))
            await other.message("pong")
    await running.balanced()


async def test_http_requests_count_as_requests_of_their_client(start: Start) -> None:
    running = await start(client_request_rate=1 / FAR)  # a burst of one
    async with aiohttp.ClientSession() as session:
        answers = []
        for _ in range(2):
            async with session.get(f"{running.http}/livez") as response:
                answers.append((response.status, response.headers.get("Retry-After")))
    assert answers[0] == (200, None)
    assert answers[1][0] == 429
    assert answers[1][1] is not None
    await running.balanced()


async def test_one_client_cannot_open_all_feeds_of_symbols_that_may_not_exist(
    start: Start, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "lists", lambda _: False)
    running = await start(request_rate=0)
    monkeypatch.setattr("qcfeed.access.client_limits.UNLISTED_RATE", 1.0)
    names = [f"X{number}-USD" for number in range(500)]
    async with await running.stream() as client, await running.stream() as other:
        client.send(request("subscribe", *names))
        error = await client.message("error")
        assert error["code"] == "client_feed_rate"
        assert error["retry_after_ms"] > 0
        assert len(error["refused"]) == 20
        accepted = len((await client.message("subscribed"))["symbols"])
        assert accepted + error["refused_total"] == 500
        assert 400 <= accepted < 500
        other.send(request("subscribe", "Y-USD"))
        assert (await other.message("subscribed"))["symbols"] == ["Y-USD"]
        async with await running.client("/quotes/Z-USD"):
            pass
    await running.balanced()
