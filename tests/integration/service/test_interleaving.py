"""Control frames among quotes at full rate: every frame is complete and in order."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections import Counter

import pytest

from qcfeed.model.symbol import Symbol
from tests.integration.service.conftest import Start
from tests.support.raw_websocket import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    Frame,
    RawClient,
    close,
    frame,
    head,
)
from tests.support.running_service import Running

SYMBOLS = ["AAPL", "MSFT", "TSLA"]
MANY = 6_000
"""Frames to check."""


class Checked:
    """Reads frames, and fails at the first invalid one."""

    def __init__(self, client: RawClient, *, compressed: bool = False) -> None:
        self.client = client
        self.seen: Counter[int] = Counter()
        self.pongs: list[bytes] = []
        self.told = 0
        """Quotes that were conflated or dropped."""
        self.packed = 0
        self._compressed = compressed
        self._last: dict[str, int] = {}

    async def frame(self) -> Frame:
        got = await self.client.frame()
        assert got.final, "a server that does not fragment sent a fragment"
        assert got.opcode in (TEXT, PING, PONG, CLOSE), got
        assert got.rsv in ((0, 4) if self._compressed and got.opcode == TEXT else (0,)), got
        if got.opcode != TEXT:
            assert len(got.payload) < 126
        self.seen[got.opcode] += 1
        if got.opcode == TEXT:
            self._text(got)
        elif got.opcode == PONG:
            self.pongs.append(got.payload)
        return got

    def _text(self, got: Frame) -> None:
        payload = got.payload
        if got.rsv:
            self.packed += 1
            payload = zlib.decompressobj(-15).decompress(payload + b"\x00\x00\xff\xff")
        said = json.loads(payload)
        if said["type"] != "quote":
            return
        symbol, seq = said["symbol"], said["seq"]
        told = said.get("conflated", 0) + said.get("dropped", 0)
        self.told += told
        if symbol in self._last:
            assert seq == self._last[symbol] + told + 1
        self._last[symbol] = seq

    async def closing(self) -> Frame:
        while (got := await self.frame()).opcode != CLOSE:
            pass
        return got


async def connected(running: Running, query: str) -> RawClient:
    client = await RawClient.connect(running.port)
    client.send(head(f"/stream{query}", sec_websocket_extensions=b"permessage-deflate"))
    assert (await client.response()).status == 101
    client.send(frame(TEXT, json.dumps({"action": "subscribe", "symbols": SYMBOLS}).encode()))
    return client


async def pinging(checked: Checked) -> int:
    """Read, and send pings of various lengths between frames; returns how many."""
    pings = 0
    while checked.seen.total() < MANY:
        await checked.frame()
        if checked.seen.total() % 7 == 0:
            checked.client.send(frame(PING, b"%d " % pings + b"p" * (pings % 120)))
            pings += 1
    return pings


@pytest.mark.parametrize("query", ["", "?slow=disconnect", "?compress=1"])
async def test_pings_both_ways_and_a_close_amid_quotes_at_full_rate(
    start: Start, query: str
) -> None:
    running = await start(upstream="sim:?rate=max", ping_interval=0.02, request_rate=0)
    async with await connected(running, query) as client:
        checked = Checked(client, compressed="compress" in query)
        pings = await pinging(checked)
        client.send(close(1000, b"enough"))
        assert (await checked.closing()).code == 1000
        assert await client.ended() in ("eof", "reset")
    await running.balanced()
    assert checked.pongs == [b"%d " % n + b"p" * (n % 120) for n in range(len(checked.pongs))]
    assert pings - 200 < len(checked.pongs) <= pings
    assert checked.seen[TEXT] > MANY / 2
    assert checked.told == 0, "a reader that keeps up lost quotes"
    assert bool(checked.packed) == ("compress" in query)


async def test_a_slow_client_among_requests_and_quotes(start: Start) -> None:
    """Small buffers, so writes often stop in the middle of a frame."""
    running = await start(
        upstream="sim:?rate=max", send_buffer=4_608, max_lag=64, ping_interval=0.02
    )
    client = await RawClient.upgraded(running.port, "/quotes/AAPL", receive_buffer=2_304)
    async with client:
        checked = Checked(client)
        for number in range(100):
            client.send(frame(PING, b"%d" % number))
            for _ in range(10):
                await checked.frame()
            await asyncio.sleep(0.001)
        while len(checked.pongs) < 100:
            await checked.frame()
        client.send(close(1000))
        assert (await checked.closing()).code == 1000
    await running.balanced()
    assert checked.pongs == [b"%d" % number for number in range(100)]


async def test_the_services_own_close_amid_quotes_at_full_rate(start: Start) -> None:
    running = await start(upstream="sim:?rate=max")
    async with await running.client("/quotes/AAPL") as client:
        checked = Checked(client)
        while checked.seen[TEXT] < 1_000:
            await checked.frame()
        running.service.hub.cancel([Symbol("AAPL")], "amid it all")
        end = await checked.closing()
        assert (end.code, end.payload[2:]) == (4410, b"amid it all")
        client.send(close(4410))
        assert await client.ended() == "eof"
    await running.balanced()
