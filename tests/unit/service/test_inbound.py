from __future__ import annotations

import pytest
from wsproto.frame_protocol import FrameProtocol

from qcfeed.core.messages import CloseCode
from qcfeed.service.inbound import Close, Inbound, Ping, Text, Violation


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


def test_an_unanswered_pong_is_no_news() -> None:
    assert list(Inbound(100, compressed=False).feed(client().pong(b"late"))) == []
