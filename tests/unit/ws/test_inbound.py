from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.frame_protocol import FrameProtocol

from qcfeed.model.messages import CloseCode
from qcfeed.ws.inbound import (
    CloseFrame,
    Fragment,
    Inbound,
    InboundEvent,
    PingFrame,
    PongFrame,
    TextMessage,
    Violation,
    parse_bare_frame,
)


def client() -> FrameProtocol:
    return FrameProtocol(client=True, extensions=[])


def test_messages_are_assembled_from_any_pieces() -> None:
    peer = client()
    data = peer.send_data("sub", fin=False) + peer.ping(b"you?") + peer.send_data("scribe")
    data += peer.close(1000)
    inbound, heard = Inbound(100, compressed=False), []
    for n in range(len(data)):
        heard += inbound.feed(data[n : n + 1])
    assert [each for each in heard if each != Fragment()] == [
        PingFrame(b"you?"),
        TextMessage("subscribe"),
        CloseFrame(1000),
    ]
    assert inbound.pending == 0


def test_empty_fragments_are_not_kept() -> None:
    peer, inbound = client(), Inbound(10, compressed=False)
    data = peer.send_data("", fin=False)
    for _ in range(100):
        data += peer.send_data("", fin=False)
    assert list(inbound.feed(data)) == [Fragment()] * 101
    assert inbound.pending == 0
    assert list(inbound.feed(peer.send_data("text"))) == [TextMessage("text")]


@pytest.mark.parametrize("pieces", [["x" * 11], ["x" * 6, "x" * 5], ["é" * 6]])
def test_the_size_limit_applies_to_fragmented_messages_too(pieces: list[str]) -> None:
    peer, inbound = client(), Inbound(10, compressed=False)
    *first, last = pieces
    data = b"".join(peer.send_data(piece, fin=False) for piece in first) + peer.send_data(last)
    *fragments, violation = inbound.feed(data)
    assert fragments == [Fragment()] * len(first)
    assert isinstance(violation, Violation)
    assert violation.code is CloseCode.MESSAGE_TOO_BIG
    assert not violation.final
    assert inbound.pending == 0


def test_a_binary_message_is_refused_and_later_messages_are_still_read() -> None:
    peer = client()
    binary, close = Inbound(100, compressed=False).feed(peer.send_data(b"\x01") + peer.close(1001))
    assert isinstance(binary, Violation)
    assert (binary.code, binary.final) == (CloseCode.UNSUPPORTED_DATA, False)
    assert close == CloseFrame(1001)


def test_nothing_is_read_after_an_invalid_frame() -> None:
    (violation,) = Inbound(100, compressed=False).feed(b"\x8f\x80\0\0\0\0")  # opcode 15
    assert isinstance(violation, Violation)
    assert (violation.code, violation.final) == (CloseCode.PROTOCOL_ERROR, True)


def test_a_pong_is_recognised() -> None:
    assert list(Inbound(100, compressed=False).feed(client().pong(b"late"))) == [PongFrame()]


@pytest.mark.parametrize(
    ("sent", "heard"),
    [
        (client().close(1000), CloseFrame(1000)),
        (client().close(1001), CloseFrame(1001)),
        (client().close(), CloseFrame(1005)),
        (client().pong(), PongFrame()),
        (client().close(1000, "bye"), None),
        (client().close(4000), None),
        (client().close(1000) + b"x", None),
        (client().ping(), None),
        (client().send_data("subscribe"), None),
    ],
)
def test_bare_close_and_pong_bypass_the_parser(sent: bytes, heard: InboundEvent | None) -> None:
    assert parse_bare_frame(bytes(sent)) == heard


@given(
    first=st.sampled_from([0x88, 0x8A, 0x08, 0x89, 0xC8, 0x81]),
    second=st.sampled_from([0x80, 0x82, 0x00, 0x02, 0x81]),
    mask=st.binary(min_size=4, max_size=4),
    code=st.one_of(st.just(b""), st.integers(995, 1020).map(lambda n: n.to_bytes(2, "big"))),
    more=st.sampled_from([b"", b"\0"]),
)
def test_bare_frames_parse_the_same_as_with_the_parser(
    first: int, second: int, mask: bytes, code: bytes, more: bytes
) -> None:
    masked = bytes(byte ^ key for byte, key in zip(code, mask, strict=False))
    data = bytes((first, second)) + mask + masked + more
    heard = parse_bare_frame(data)
    assert heard is None or list(Inbound(100, compressed=False).feed(data)) == [heard]
