"""Beyond a limit there is a clear refusal, and connected clients are not affected."""

from __future__ import annotations

import asyncio
from collections import Counter

import aiohttp
import pytest

from qcfeed.server import capacity
from qcfeed.ws import pending
from tests.integration.service.conftest import Start
from tests.support.raw_websocket import RawClient, collect, head
from tests.support.running_service import until


async def test_max_connections(start: Start) -> None:
    running = await start(max_connections=2)
    async with await running.client() as first, await running.stream() as second:
        async with await RawClient.connect(running.port) as third:
            third.send(head())
            answer = await third.response()
            assert answer.status == 503
            assert answer.headers["retry-after"] == "5"
            said = answer.json()
            assert (said["code"], said["retryable"]) == ("connection_limit", True)
            assert await third.ended() == "eof"
        # Health checks are still answered.
        async with aiohttp.ClientSession() as session, session.get(f"{running.http}/livez") as got:
            assert got.status == 200
        await second.leave()
        await until(lambda: len(running.service.gateway.connections) == 1, "there is room again")
        async with await running.client() as third:
            await third.message("quote")
            await first.message("quote")
    await running.balanced()


async def test_a_flood_of_connects_over_the_limit(start: Start, patient: None) -> None:
    running = await start(max_connections=100, upstream="sim:?rate=50")
    outcomes: Counter[str] = Counter()

    async with await running.client() as inside:
        seen: list[int] = []
        reading = asyncio.create_task(collect(inside, seen))
        await until(lambda: seen, "quotes come")
        await asyncio.gather(*(_until_told(running.port, outcomes) for _ in range(2_000)))
        before = len(seen)
        await until(lambda: len(seen) >= before + 5, "quotes go on")
        reading.cancel()
        await asyncio.wait([reading])
        assert seen == list(range(seen[0], seen[0] + len(seen)))
        assert outcomes.total() == 2_000
        assert outcomes["101"] <= 100
        assert outcomes["503"] >= 100
        assert set(outcomes) <= {"101", "503", "reset"}
        refused = running.service.gateway.refused
        # On a busy machine some send their request so late that they have made room for others.
        assert refused["connection_limit"] + refused["evicted"] == (
            outcomes["503"] + outcomes["reset"]
        )
    await running.balanced()


async def _until_told(port: int, outcomes: Counter[str]) -> None:
    """Connect, request an upgrade, record the response, and disconnect."""
    client = await RawClient.connect(port)
    try:
        client.send(head())
        outcomes[str((await client.response()).status)] += 1
    except (ConnectionError, asyncio.IncompleteReadError):
        outcomes["reset"] += 1
    finally:
        await client.leave()


async def test_far_above_the_limit_connections_are_reset_without_a_response(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capacity, "REFUSAL_SLOTS", 3)
    running = await start(max_connections=1)
    async with await running.client():
        refused = [await RawClient.connect(running.port) for _ in range(3)]
        for client in refused:
            client.send(head())
            assert (await client.response()).status == 503
        assert running.service.gateway.sockets == 4
        try:
            async with await RawClient.connect(running.port) as fifth:
                end = await fifth.ended()
        except ConnectionResetError:  # before it knew that it was connected
            end = "reset"
        assert end == "reset"
        for client in refused:
            await client.leave()
    await running.balanced()
    async with await running.client() as client:
        await client.message("quote")


async def test_silent_connections_do_not_lock_out_subscribers(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capacity, "REFUSAL_SLOTS", 3)
    monkeypatch.setattr(pending, "SILENT_AFTER", 0.0)
    running = await start(max_connections=2)
    silent = [await RawClient.connect(running.port) for _ in range(20)]
    async with await running.client() as first, await running.client() as second:
        await first.message("quote")
        await second.message("quote")
        assert running.service.gateway.sockets <= 5
    assert running.service.gateway.refused["evicted"] >= 15
    for client in silent:
        await client.leave()
    await running.balanced()
