"""RFC 6455 from the client's side, by the families of the Autobahn test suite.

That suite's server echoes; this one answers requests and sends quotes. So a message that must be taken
is a request here (``{"action":"ping"}``, padded, gets a pong message), or text that is no request and gets an
error; either way the connection stays. What is refused is in test_malformed_frames.py as far as one
frame is enough to show it, and here where it takes several, or pieces. Families 12 and 13 are
test_compression.py. A family's cases share a service; each has a connection of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TypeVar

import pytest

from tests.integration.service.conftest import Start
from tests.support.raw_websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    RawClient,
    close,
    frame,
)
from tests.support.running_service import Running

Case = TypeVar("Case")

REQUEST = b'{"action":"ping"}'
WHOLE, OCTETS = 1 << 20, 1
"""Sizes in bytes of the pieces in which data is sent."""
PIECES = pytest.mark.parametrize("piece", [WHOLE, OCTETS], ids=["whole", "octets"])


async def each(
    running: Running,
    cases: Mapping[str, Case],
    check: Callable[[RawClient, Case], Awaitable[None]],
) -> None:
    """Run ``check`` for each case on its own /stream, which sends only answers."""
    for name, case in cases.items():
        async with await running.client("/stream") as client:
            try:
                await check(client, case)
            except (AssertionError, TimeoutError, OSError, EOFError) as error:
                raise AssertionError(f"{name}: {error!r}") from error
    await running.balanced()


def named(*cases: Case) -> dict[str, Case]:
    return {repr(case)[:60]: case for case in cases}


def padded(size: int) -> bytes:
    return REQUEST + b" " * (size - len(REQUEST))


def fragments(*pieces: bytes) -> Iterator[bytes]:
    yield frame(TEXT, pieces[0], final=False)
    for middle in pieces[1:-1]:
        yield frame(CONTINUATION, middle, final=False)
    yield frame(CONTINUATION, pieces[-1])


THREE = tuple(fragments(REQUEST[:5], REQUEST[5:9], REQUEST[9:]))


async def chop(client: RawClient, data: bytes, size: int) -> None:
    """Send in pieces that reach the service separately."""
    for start in range(0, len(data), size):
        client.send(data[start : start + size])
        await asyncio.sleep(0)


async def is_answered(client: RawClient) -> None:
    assert (await client.message())["type"] == "pong"


async def is_well(client: RawClient) -> None:
    """It has sent nothing more, and still answers."""
    client.send(frame(PING, b"well?"))
    got = await client.frame()
    assert (got.opcode, got.payload) == (PONG, b"well?")


async def ends(client: RawClient, code: int) -> None:
    """The next frame is a close frame."""
    got = await client.frame()
    assert (got.opcode, got.code, got.final, got.rsv) == (CLOSE, code, True, 0)


# ---------------------------------------------------------------- 1: framing


@pytest.mark.parametrize("piece", [WHOLE, 997])
async def test_1_1_a_message_of_any_length_in_any_pieces(running: Running, piece: int) -> None:
    async def check(client: RawClient, size: int) -> None:
        await chop(client, frame(TEXT, padded(size)), piece)
        await is_answered(client)
        await is_well(client)

    await each(running, named(17, 125, 126, 127, 128, 65_535, 65_536), check)


async def test_1_1_octet_by_octet_and_empty(running: Running) -> None:
    async def check(client: RawClient, text: bytes) -> None:
        await chop(client, frame(TEXT, text), OCTETS)
        said = await client.message()
        assert (said["type"], said.get("code")) in (("pong", None), ("error", "bad_request"))
        await is_well(client)

    await each(running, named(padded(200), b""), check)


async def test_1_2_binary_messages_are_refused(running: Running) -> None:
    async def check(client: RawClient, size: int) -> None:
        client.send(frame(BINARY, b"\xfe" * size))
        await ends(client, 1003)

    await each(running, named(0, 125, 126, 65_536), check)


# ---------------------------------------------------------------- 2: pings and pongs


@PIECES
async def test_2_a_ping_is_answered_with_its_payload(running: Running, piece: int) -> None:
    async def check(client: RawClient, payload: bytes) -> None:
        await chop(client, frame(PING, payload), piece)
        got = await client.frame()
        assert (got.opcode, got.payload, got.final, got.rsv) == (PONG, payload, True, 0)

    await each(running, named(b"", b"hello", b"\x00\xff\xfe\xfd\xfc", b"\xfe" * 125), check)


async def test_2_7_an_unsolicited_pong_is_ignored(running: Running) -> None:
    async def check(client: RawClient, payload: bytes) -> None:
        client.send(frame(PONG, payload), frame(PING, b"and this"))
        assert (await client.frame()).payload == b"and this"

    await each(running, named(b"", b"unasked", b"\xff" * 125), check)


@PIECES
async def test_2_10_ten_pings_ten_pongs_in_order(running: Running, piece: int) -> None:
    async def check(client: RawClient, count: int) -> None:
        await chop(client, b"".join(frame(PING, b"%d" % n) for n in range(count)), piece)
        got = [await client.frame() for _ in range(count)]
        assert [one.payload for one in got] == [b"%d" % n for n in range(count)]

    await each(running, named(10), check)


# ---------------------------------------------------------------- 3 and 4: reserved bits, opcodes


async def test_3_a_reserved_bit_fails_the_connection_after_valid_messages(running: Running) -> None:
    async def check(client: RawClient, bad: tuple[int, int]) -> None:
        opcode, rsv = bad
        payload = b"\x03\xe8" if opcode == CLOSE else b""
        client.send(frame(TEXT, REQUEST), frame(opcode, payload, rsv=rsv), frame(PING))
        await is_answered(client)
        await ends(client, 1002)

    opcodes = (TEXT, BINARY, PING, PONG, CLOSE)
    await each(running, named(*((op, rsv) for op in opcodes for rsv in range(1, 8))), check)


async def test_4_a_reserved_opcode_fails_the_connection_after_valid_messages(
    running: Running,
) -> None:
    async def check(client: RawClient, bad: tuple[int, bytes]) -> None:
        client.send(frame(TEXT, REQUEST), frame(*bad), frame(PING))
        await is_answered(client)
        await ends(client, 1002)

    opcodes = (*range(3, 8), *range(11, 16))
    await each(running, named(*((op, data) for op in opcodes for data in (b"", b"data"))), check)


# ---------------------------------------------------------------- 5: fragmentation


async def test_5_1_control_frames_must_not_be_fragmented(running: Running) -> None:
    async def check(client: RawClient, opcode: int) -> None:
        client.send(frame(opcode, b"", final=False), frame(CONTINUATION, b""))
        await ends(client, 1002)

    await each(running, named(PING, PONG, CLOSE), check)


async def test_5_3_a_message_in_fragments_in_any_pieces(running: Running) -> None:
    async def check(client: RawClient, piece: int) -> None:
        await chop(client, b"".join(THREE), piece)
        await is_answered(client)
        await is_well(client)

    await each(running, named(WHOLE, 7, OCTETS), check)


@PIECES
async def test_5_6_control_frames_are_allowed_between_fragments(
    running: Running, piece: int
) -> None:
    async def check(client: RawClient, amid: bytes) -> None:
        first, second, last = THREE
        sent = first + frame(PING, b"1") + amid + second + frame(PING, b"2") + last
        await chop(client, sent, piece)
        assert [(await client.frame()).payload for _ in range(2)] == [b"1", b"2"]
        await is_answered(client)

    await each(running, named(b"", frame(PONG, b"x")), check)


@PIECES
async def test_5_9_a_continuation_without_a_message_is_refused(
    running: Running, piece: int
) -> None:
    async def check(client: RawClient, final: bool) -> None:
        await chop(client, frame(CONTINUATION, b"more", final=final) + frame(TEXT, REQUEST), piece)
        await ends(client, 1002)

    await each(running, named(True, False), check)


async def test_5_15_a_continuation_after_the_last_fragment_is_refused(running: Running) -> None:
    async def check(client: RawClient, final: bool) -> None:
        client.send(*THREE, frame(CONTINUATION, b"more", final=final))
        await is_answered(client)
        await ends(client, 1002)

    await each(running, named(True, False), check)


async def test_5_19_a_slow_message_is_accepted(running: Running) -> None:
    async def check(client: RawClient, sent: tuple[bytes, ...]) -> None:
        for fragment in sent[:-1]:
            client.send(fragment, frame(PING, b"still"))
            assert (await client.frame()).payload == b"still"
        client.send(sent[-1])
        await is_answered(client)

    await each(running, named(THREE), check)


# ---------------------------------------------------------------- 6: UTF-8

# Based on Markus Kuhn's "UTF-8 decoder capability and stress test", like the suite's cases.
VALID = {
    "Greek": "\u03ba\u1f79\u03c3\u03bc\u03b5".encode(),
    "first of 1 byte": b"\x00",
    "first of 2 bytes": b"\xc2\x80",
    "first of 3 bytes": b"\xe0\xa0\x80",
    "first of 4 bytes": b"\xf0\x90\x80\x80",
    "last of 1 byte": b"\x7f",
    "last of 2 bytes": b"\xdf\xbf",
    "last of 3 bytes": b"\xef\xbf\xbf",
    "before the surrogates": b"\xed\x9f\xbf",
    "after the surrogates": b"\xee\x80\x80",
    "replacement character": b"\xef\xbf\xbd",
    "last of all": b"\xf4\x8f\xbf\xbf",
    "non-characters": b"\xf0\x9f\xbf\xbe\xf0\x9f\xbf\xbf",
}
INVALID = {
    "a lone continuation": b"\x80",
    "the last continuation": b"\xbf",
    "ten continuations": bytes(range(0x80, 0x8A)),
    "lonely starts of 2": b"\xc0 \xc1 ",
    "lonely starts of 3": b"\xe0 \xe1 ",
    "lonely starts of 4": b"\xf0 \xf1 ",
    "5 bytes": b"\xf8\x88\x80\x80\x80",
    "6 bytes": b"\xfc\x84\x80\x80\x80\x80",
    "beyond the last": b"\xf4\x90\x80\x80",
    "cut off, then another": b"\xe0\x80\xf0\x80\x80",
    "overlong slash of 2": b"\xc0\xaf",
    "overlong slash of 3": b"\xe0\x80\xaf",
    "overlong slash of 4": b"\xf0\x80\x80\xaf",
    "the longest overlong": b"\xe0\x9f\xbf",
    "overlong nothing": b"\xc0\x80",
    "the first surrogate": b"\xed\xa0\x80",
    "the last surrogate": b"\xed\xbf\xbf",
    "a pair of surrogates": b"\xed\xa0\x80\xed\xb0\x80",
    "no UTF-8 at all": b"\xfe\xff",
}


def whole(text: bytes) -> bytes:
    return frame(TEXT, b"'" + text + b"'")


def a_fragment_an_octet(text: bytes) -> bytes:
    return b"".join(fragments(b"'", *(text[n : n + 1] for n in range(len(text))), b"'"))


@pytest.mark.parametrize("sent", [whole, a_fragment_an_octet])
async def test_6_valid_utf_8_is_accepted(running: Running, sent: Callable[[bytes], bytes]) -> None:
    async def check(client: RawClient, text: bytes) -> None:
        client.send(sent(text))
        assert (await client.message())["code"] == "bad_request"
        await is_well(client)

    await each(running, VALID, check)


@pytest.mark.parametrize("sent", [whole, a_fragment_an_octet])
async def test_6_invalid_utf_8_is_refused(running: Running, sent: Callable[[bytes], bytes]) -> None:
    async def check(client: RawClient, text: bytes) -> None:
        client.send(sent(text))
        await ends(client, 1007)

    await each(running, INVALID, check)


async def test_6_4_invalid_utf_8_is_detected_early(running: Running) -> None:
    async def check(client: RawClient, sent: bytes) -> None:
        client.send(sent)
        await ends(client, 1007)

    early = {
        "in the first fragment": frame(TEXT, b"'\xf4\x90", final=False),
        "in the middle of a frame": frame(TEXT, b"'\xf4\x90\x80\x80" + b" " * 100)[:20],
    }
    await each(running, early, check)


# ---------------------------------------------------------------- 7: closing

AFTER = {
    "another close": close(1001),
    "a ping": frame(PING, b"?"),
    "a message": frame(TEXT, REQUEST),
    "a malformed frame": b"\xff\xff\xff",
    "the rest of a message": frame(CONTINUATION, b"x"),
}


async def test_7_1_nothing_is_sent_after_a_close(running: Running) -> None:
    async def check(client: RawClient, after: bytes) -> None:
        client.send(frame(TEXT, REQUEST), close(1000), after)
        await is_answered(client)
        await ends(client, 1000)
        # Input after it is unread, so the kernel closes with a reset.
        assert await client.ended() in ("eof", "reset")

    await each(running, AFTER, check)


async def test_7_1_5_a_close_in_the_middle_of_a_message(running: Running) -> None:
    async def check(client: RawClient, rest: bytes) -> None:
        client.send(THREE[0], close(1000), rest)
        await ends(client, 1000)

    await each(running, named(b"", THREE[1] + THREE[2]), check)


CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
GOODBYES = {
    "no code": (frame(CLOSE), 1000),
    "a reason": (close(1000, b"bye"), 1000),
    "the longest reason": (close(1000, b"x" * 123), 1000),
    "a reason in UTF-8": (close(1000, "\u00e9".encode() * 61), 1000),
    **{str(code): (close(code), code) for code in CODES},
}


@PIECES
async def test_7_3_a_close_is_answered_with_its_code(running: Running, piece: int) -> None:
    async def check(client: RawClient, goodbye: tuple[bytes, int]) -> None:
        sent, code = goodbye
        await chop(client, sent, piece)
        await ends(client, code)
        assert await client.ended() == "eof"

    await each(running, GOODBYES, check)


async def test_7_9_invalid_close_codes_are_refused(running: Running) -> None:
    async def check(client: RawClient, code: int) -> None:
        client.send(close(code, b"why not"))
        await ends(client, 1002)

    wrong = (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65_535)
    await each(running, named(*wrong), check)


# ---------------------------------------------------------------- 9: limits


async def test_9_a_long_message_in_fragments_and_pieces(start: Start) -> None:
    running = await start(max_message_size=1 << 20)

    async def check(client: RawClient, piece: int) -> None:
        text = padded(1 << 17)
        sent = fragments(*(text[n : n + 4_096] for n in range(0, len(text), 4_096)))
        await chop(client, b"".join(sent), piece)
        await client.flush()
        await is_answered(client)
        client.send(frame(TEXT, padded((1 << 20) + 1)))
        await ends(client, 1009)

    await each(running, named(64, 997, 16_384), check)
