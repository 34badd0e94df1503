"""Frames that violate RFC 6455 and messages that are too big get the right close code."""

from __future__ import annotations

import struct

import pytest

from tests.integration.service.conftest import Start
from tests.support.raw_websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    close,
    frame,
    request,
)
from tests.support.running_service import Running

MASK = b"\x00\x00\x00\x00"

MALFORMED = {
    "unmasked": (b"\x81\x02hi", 1002),
    "reserved bit 1": (frame(TEXT, b"{}", rsv=4), 1002),
    "reserved bit 2": (frame(TEXT, b"{}", rsv=2), 1002),
    "reserved bit 3": (frame(PING, b"", rsv=1), 1002),
    "reserved opcode 3": (frame(0x3, b""), 1002),
    "reserved opcode 15": (frame(0xF, b""), 1002),
    "fragmented ping": (frame(PING, b"", final=False), 1002),
    "fragmented close": (frame(CLOSE, b"", final=False), 1002),
    "ping of 126 bytes": (frame(PING, b"x" * 126), 1002),
    "close of 126 bytes": (close(1000, b"x" * 124), 1002),
    "close of 1 byte": (frame(CLOSE, b"\x03"), 1002),
    "close 999": (close(999), 1002),
    "close 1004": (close(1004), 1002),
    "close 1005": (close(1005), 1002),
    "close 1006": (close(1006), 1002),
    "close 1015": (close(1015), 1002),
    "close 2999": (close(2999), 1002),
    "close 5000": (close(5000), 1002),
    "close 65535": (close(65_535), 1002),
    "close with bad UTF-8": (close(1000, b"\xff"), 1007),
    "continuation of nothing": (frame(CONTINUATION, b"x"), 1002),
    "text inside a text": (frame(TEXT, b"{", final=False) + frame(TEXT, b"}"), 1002),
    "bad UTF-8": (frame(TEXT, b"\xc3\x28"), 1007),
    "a surrogate in UTF-8": (frame(TEXT, b"\xed\xa0\x80"), 1007),
    "UTF-8 cut off": (frame(TEXT, b"\xe2\x82"), 1007),
    "bad UTF-8 over fragments": (
        frame(TEXT, b"\xe2\x82", final=False) + frame(CONTINUATION, b"\x28"), 1007
    ),
    "2 bytes of length for 5": (b"\x81\xfe\x00\x05" + MASK + b"hello", 1002),
    "8 bytes of length for 5": (b"\x81\xff" + struct.pack("!Q", 5) + MASK + b"hello", 1002),
    "8 bytes of length for 65535": (b"\x81\xff" + struct.pack("!Q", 65_535) + MASK, 1002),
    "length of 2**63": (b"\x81\xff" + struct.pack("!Q", 1 << 63) + MASK, 1002),
    "binary": (frame(BINARY, b"\x00"), 1003),
    "binary, fragmented": (frame(BINARY, b"\x00", final=False), 1003),
    "no frames at all": (b"GET / HTTP/1.1\r\n\r\n", 1002),
}  # fmt: skip


@pytest.mark.parametrize("target", ["/stream", "/quotes/AAPL"])
@pytest.mark.parametrize(("sent", "code"), MALFORMED.values(), ids=MALFORMED)
async def test_a_malformed_frame_has_its_close_code(
    running: Running, sent: bytes, code: int, target: str
) -> None:
    async with await running.client(target) as client:
        client.send(sent)
        assert (await client.closing()).code == code
        # Further input is ignored, and nothing more is sent.
        client.send(request("ping"))
        client.finish()
        assert await client.ended() == "eof"
    assert running.service.gateway.closed == {str(code): 1}
    await running.balanced()


TOO_BIG = {
    "at once": [frame(TEXT, b"x" * 1_001)],
    "in bytes, not letters": [frame(TEXT, "\u20ac".encode() * 334)],
    "fragmented": [frame(TEXT, b"x" * 600, final=False), frame(CONTINUATION, b"x" * 600)],
    "in many fragments": [
        frame(TEXT, b"x", final=False),
        *[frame(CONTINUATION, b"x", final=False)] * 1_000,
    ],
    "announced": [b"\x81\xff" + struct.pack("!Q", 1 << 40) + MASK + b"x" * 2_000],
}


@pytest.mark.parametrize("sent", TOO_BIG.values(), ids=TOO_BIG)
async def test_a_message_too_big_is_closed_with_1009(start: Start, sent: list[bytes]) -> None:
    running = await start(max_message_size=1_000)
    async with await running.stream("AAPL") as client:
        client.send(*sent)
        end = await client.closing()
        assert (end.code, end.payload[2:]) == (1009, b"messages are limited to 1000 bytes")
    await running.balanced()


async def test_a_message_of_the_maximum_size_is_read(start: Start) -> None:
    running = await start(max_message_size=1_000)
    ping = b'{"action":"ping"}'
    async with await running.stream() as client:
        client.send(frame(TEXT, ping + b" " * (1_000 - len(ping))))
        await client.message("pong")
        client.send(frame(TEXT, b"", final=False))
        client.send(*[frame(CONTINUATION, b"", final=False)] * 100, frame(PING))
        assert (await client.frame()).opcode == PONG
        client.send(frame(CONTINUATION, ping))
        await client.message("pong")
    await running.balanced()


async def test_the_rest_of_a_too_big_message_is_discarded(start: Start) -> None:
    running = await start(max_message_size=1_000)
    async with await running.stream() as client:
        client.send(b"\x81\xff" + struct.pack("!Q", 1 << 40) + MASK)
        for _ in range(100):
            client.send(b"x" * 100_000)
            await client.flush()
        assert (await client.closing()).code == 1009
        client.finish()
        assert await client.ended() == "eof"
    await running.balanced()
