from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.frame_protocol import FrameProtocol

from qcfeed.model.messages import CloseCode
from qcfeed.ws.inbound import (
    Close,
    Inbound,
    InboundEvent,
    Ping,
    Pong,
    Text,
    Violation,
    parse_bare_frame,
)


def client() -> FrameProtocol:
    return FrameProtocol(client=True, extensions=[])


def test_messages_come_whole_however_they_are_cut() -> None:
    peer = client()
    data = peer.send_data("sub", fin=False) + peer.ping(b"you?") + peer.send_data("scribe")
    data += peer.close(1000)
    inbound, heard = Inbound(100, compressed=False), []
    for n in range(len(data)):
        heard += inbound.feed(data[n : n + 1])
    assert heard == [Ping(b"you?"), Text("subscribe"), Close(1000)]
    assert inbound.pending == 0


def test_empty_fragments_are_not_kept() -> None:
    peer, inbound = client(), Inbound(10, compressed=False)
    data = peer.send_data("", fin=False)
    for _ in range(100):
        data += peer.send_data("", fin=False)
    assert list(inbound.feed(data)) == []
    assert inbound.pending == 0
    assert list(inbound.feed(peer.send_data("text"))) == [Text("text")]


@pytest.mark.parametrize("pieces", [["x" * 11], ["x" * 6, "x" * 5], ["é" * 6]])
def test_a_message_is_bounded_in_bytes_also_in_pieces(pieces: list[str]) -> None:
    peer, inbound = client(), Inbound(10, compressed=False)
    *first, last = pieces
    data = b"".join(peer.send_data(piece, fin=False) for piece in first) + peer.send_data(last)
    (violation,) = inbound.feed(data)
    assert isinstance(violation, Violation)
    assert violation.code is CloseCode.MESSAGE_TOO_BIG
    assert not violation.final
    assert inbound.pending == 0


def test_what_is_no_text_is_unsupported_and_what_follows_is_still_heard() -> None:
    peer = client()
    binary, close = Inbound(100, compressed=False).feed(peer.send_data(b"\x01") + peer.close(1001))
    assert isinstance(binary, Violation)
    assert (binary.code, binary.final) == (CloseCode.UNSUPPORTED_DATA, False)
    assert close == Close(1001)


def test_after_a_frame_that_is_none_nothing_has_a_meaning() -> None:
    (violation,) = Inbound(100, compressed=False).feed(b"\x8f\x80\0\0\0\0")  # opcode 15
    assert isinstance(violation, Violation)
    assert (violation.code, violation.final) == (CloseCode.PROTOCOL_ERROR, True)


def test_a_pong_is_heard_as_such() -> None:
    assert list(Inbound(100, compressed=False).feed(client().pong(b"late"))) == [Pong()]


@pytest.mark.parametrize(
    ("sent", "heard"),
    [
        (client().close(1000), Close(1000)),
        (client().close(1001), Close(1001)),
        (client().close(), Close(1005)),
        (client().pong(), Pong()),
        (client().close(1000, "bye"), None),
        (client().close(4000), None),
        (client().close(1000) + b"x", None),
        (client().ping(), None),
        (client().send_data("subscribe"), None),
    ],
)
def test_what_one_who_only_listens_sends_needs_no_parser(
    sent: bytes, heard: InboundEvent | None
) -> None:
    assert parse_bare_frame(bytes(sent)) == heard


@given(
    first=st.sampled_from([0x88, 0x8A, 0x08, 0x89, 0xC8, 0x81]),
    second=st.sampled_from([0x80, 0x82, 0x00, 0x02, 0x81]),
    mask=st.binary(min_size=4, max_size=4),
    code=st.one_of(st.just(b""), st.integers(995, 1020).map(lambda n: n.to_bytes(2, "big"))),
    more=st.sampled_from([b"", b"\0"]),
)
def test_what_is_said_without_the_parser_is_what_the_parser_says(
    first: int, second: int, mask: bytes, code: bytes, more: bytes
) -> None:
    masked = bytes(byte ^ key for byte, key in zip(code, mask, strict=False))
    data = bytes((first, second)) + mask + masked + more
    heard = parse_bare_frame(data)
    assert heard is None or list(Inbound(100, compressed=False).feed(data)) == [heard]
