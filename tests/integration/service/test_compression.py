"""Messages are compressed only for clients that offer and request it, and once for all of them."""

from __future__ import annotations

import json
import zlib

import pytest

from tests.integration.service.conftest import Start
from tests.support.raw_websocket import (
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    RawClient,
    frame,
    head,
    request,
)
from tests.support.running_service import Running, until
from tests.support.websockets_client import connect_async

RSV1 = 4
OFFER = {"sec_websocket_extensions": b"permessage-deflate; client_max_window_bits"}
ASK = b'{"action":"ping"}'


def deflated(data: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-15)
    return (deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH)).removesuffix(
        b"\x00\x00\xff\xff"
    )


async def compressing(running: Running, target: str = "/stream?compress=1") -> RawClient:
    client = await RawClient.connect(running.port)
    client.send(head(target, **OFFER))
    answer = await client.response()
    assert answer.headers["sec-websocket-extensions"] == (
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    )
    return client


async def test_a_real_client_reads_compressed_quotes(start: Start) -> None:
    running = await start(upstream="sim:?rate=200")
    async with connect_async(f"{running.ws}/quotes/AAPL?compress=1") as client:
        extension = client.response.headers["sec-websocket-extensions"]  # type: ignore[union-attr]
        assert extension.startswith("permessage-deflate; server_no_context_takeover")
        seqs = [json.loads(await client.recv())["seq"] for _ in range(20)]
        assert seqs == list(range(seqs[0], seqs[0] + 20))
        await client.send(ASK.decode())
        await client.ping()
    await running.balanced()
    assert running.service.gateway.deflater.compressed >= 20


@pytest.mark.parametrize(
    ("target", "offer"),
    [
        ("/quotes/AAPL", OFFER),
        ("/quotes/AAPL?compress=0", OFFER),
        ("/quotes/AAPL?compress=1", {}),
        ("/quotes/AAPL?compress=1", {"sec_websocket_extensions": b"x-other"}),
    ],
)
async def test_compression_needs_both_the_offer_and_the_option(
    running: Running, target: str, offer: dict[str, bytes]
) -> None:
    async with await RawClient.connect(running.port) as client:
        client.send(head(target, **offer))
        answer = await client.response()
        assert answer.status == 101
        assert "sec-websocket-extensions" not in answer.headers
        assert (await client.message("quote"))["symbol"] == "AAPL"
        client.send(frame(TEXT, deflated(ASK), rsv=RSV1))
        assert (await client.closing()).code == 1002
    await running.balanced()
    assert running.service.gateway.deflater.compressed == 0


async def test_an_invalid_compress_option_is_refused(running: Running) -> None:
    status, code = await running.refusal(head("/stream?compress=yes", **OFFER))
    assert (status, code) == (400, "invalid_option")


async def test_each_quote_is_compressed_once_for_all_connections(start: Start) -> None:
    running = await start(upstream="sim:?rate=500")
    clients = [await compressing(running, "/quotes/AAPL?compress=1") for _ in range(10)]
    async with await running.client() as plain:
        while (await plain.message("quote"))["seq"] < 50:
            pass
    for client in clients:
        await client.leave()
    quotes = running.service.hub.quotes
    await running.balanced()
    assert 50 <= running.service.gateway.deflater.compressed <= quotes + 5


async def test_a_client_may_compress_its_messages(running: Running) -> None:
    async with await compressing(running) as client:
        client.send(frame(TEXT, deflated(ASK), rsv=RSV1))
        await client.message("pong")
        whole = deflated(ASK + b" " * 200)
        client.send(frame(TEXT, whole[:5], final=False, rsv=RSV1), frame(PING, b"amid"))
        client.send(frame(CONTINUATION, whole[5:9], final=False), frame(CONTINUATION, whole[9:]))
        assert (await client.frame()).opcode == PONG
        await client.message("pong")
        client.send(frame(TEXT, ASK))
        await client.message("pong")
        client.send(request("ping"))
        await client.message("pong")
    await running.balanced()


BOMB = deflated(b" " * (16 << 20))

WRONG = {
    "a compressed ping": (frame(PING, b"", rsv=RSV1), 1002),
    "a continuation marked again": (
        frame(TEXT, deflated(ASK)[:4], final=False, rsv=RSV1)
        + frame(CONTINUATION, deflated(ASK)[4:], rsv=RSV1),
        1002,
    ),
    "another reserved bit": (frame(TEXT, deflated(ASK), rsv=6), 1002),
    "no deflate at all": (frame(TEXT, b"\xff" * 40, rsv=RSV1), 1007),
    "bad UTF-8 inside": (frame(TEXT, deflated(b"\xc3\x28"), rsv=RSV1), 1007),
    "a megabyte of blanks": (frame(TEXT, deflated(b" " * (1 << 20)), rsv=RSV1), 1009),
    "a bomb in fragments": (
        frame(TEXT, BOMB[:30], final=False, rsv=RSV1) + frame(CONTINUATION, BOMB[30:]),
        1009,
    ),
}


@pytest.mark.parametrize(("sent", "code"), WRONG.values(), ids=WRONG)
async def test_invalid_compressed_messages_have_their_close_codes(
    running: Running, sent: bytes, code: int
) -> None:
    async with await compressing(running) as client:
        client.send(sent)
        assert (await client.closing()).code == code
        client.finish()
        assert await client.ended() == "eof"
    await running.balanced()


async def test_without_compression_writes_go_straight_to_the_transport(
    running: Running,
) -> None:
    async with await running.client(), await compressing(running):
        plain, packed = sorted(running.service.gateway.connections, key=lambda each: each.serial)
        assert plain.write == plain.transport.write
        assert packed.write != packed.transport.write
        assert (plain.compressed, packed.compressed) == (False, True)
        await until(lambda: plain.subscribers, "it has its symbol")
    await running.balanced()
