"""Clients of servers that flood them: every wait ends in time, and memory stays bounded."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import aclosing, suppress

import pytest

from qcfeed.client.endpoint import Endpoint
from qcfeed.client.raw_peer import RawPeer, locate
from qcfeed.client.refusals import RetryableError
from qcfeed.client.stream import Connected, Received, stream
from qcfeed.errors import QcfeedError, UnreachableError
from qcfeed.model.symbol import Symbol
from tests.support import flooding_server as hostile
from tests.support.flooding_server import flooding, text, upgraded
from tests.support.patience import PATIENCE

AAPL, MSFT = Symbol("AAPL"), Symbol("MSFT")
WATCHED = 0.3
ROOM = 8 * 2**20
"""Bytes that a client may take at most."""


def quote(symbol: str) -> str:
    return (
        f'{{"type":"quote","symbol":"{symbol}","bid":1,"bid_size":1,"ask":2,"ask_size":1,"last":1,'
        '"ts":"","epoch":"a","seq":1}'
    )


def others() -> Iterator[bytes]:
    """Quotes of ever new symbols."""
    number = 0
    while True:
        yield b"".join(text(quote(f"S{number + each}")) for each in range(300))
        number += 300


FLOODS: dict[str, Callable[[], tuple[bytes, Iterator[bytes] | bytes]]] = {
    "pings": lambda: (b"", hostile.PING),
    "empty pings": lambda: (b"", hostile.EMPTY_PING),
    "other symbols": lambda: (b"", others()),
    "endless fragments": lambda: (hostile.FIRST_FRAGMENT, hostile.FRAGMENT),
    "empty fragments": lambda: (b"\x01\x00", b"\x00\x00"),
    "a huge frame": lambda: (hostile.HUGE_FRAME, b"f" * 65_536),
    "statuses": lambda: (b"", text('{"type":"status","symbol":"AAPL","state":"stale","age_ms":1}')),
}
ANSWERS = {
    "an endless body": (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
    "endless chunks": (b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "endless headers": (b"HTTP/1.1 200 OK\r\n", b"a: b\r\n"),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a redirect": (b"HTTP/1.1 302 Found\r\nLocation: /stream\r\nContent-Length: 0\r\n\r\n", b""),
    "nothing": (b"", b""),
}


@pytest.fixture(autouse=True)
def _bounded_memory(request: pytest.FixtureRequest) -> Iterator[None]:
    if "ping" in request.node.name or "empty" in request.node.name:
        yield  # nothing is stored, and tracing so many frames takes long
        return
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * ROOM


async def follow(port: int) -> list[Received]:
    """What a client of two symbols is told in WATCHED seconds."""
    told: list[Received] = []
    async with asyncio.timeout(PATIENCE):  # it ends by the inner one
        with suppress(TimeoutError, UnreachableError):
            async with (
                asyncio.timeout(WATCHED),
                aclosing(stream(Endpoint("ws", "127.0.0.1", port), [AAPL, MSFT])) as events,
            ):
                async for event in events:
                    if isinstance(event, Received):
                        told = [*told[-9:], event]
                    assert isinstance(event, Received | Connected) or told == []
    return told


@pytest.mark.parametrize("flood", FLOODS)
async def test_a_watch_ends_when_its_time_is_over(flood: str) -> None:
    once, more = FLOODS[flood]()
    with flooding(upgraded, once, more) as port:
        told = await follow(port)
        while flood == "statuses" and not told:  # a busy machine may not connect in that time
            told = await follow(port)
    assert bool(told) == (flood == "statuses")


@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_watch_ends_while_it_is_answered(answer: str) -> None:
    head, more = ANSWERS[answer]
    with flooding(lambda _: head, b"", more) as port:
        assert await follow(port) == []


@pytest.mark.parametrize("flood", FLOODS)
async def test_a_raw_peer_keeps_its_timeouts_and_its_memory(flood: str) -> None:
    once, more = FLOODS[flood]()
    with flooding(upgraded, once, more) as port:
        peer = await connected(port)
        with suppress(TimeoutError, QcfeedError):
            async with asyncio.timeout(WATCHED):
                await peer.quote()
        with suppress(TimeoutError, QcfeedError, RetryableError):
            async with asyncio.timeout(WATCHED):
                await peer.close()


@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_raw_peer_ends_while_it_is_answered(answer: str) -> None:
    head, more = ANSWERS[answer]
    with flooding(lambda _: head, b"", more) as port:
        connecting = asyncio.wait_for(connected(port), WATCHED)
        with pytest.raises((TimeoutError, QcfeedError, RetryableError)):
            await connecting


async def connected(port: int) -> RawPeer:
    endpoint = Endpoint("ws", "127.0.0.1", port)
    return await RawPeer.connect(endpoint, await locate(endpoint), "/quotes/AAPL")
