from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import FrameProtocol, Opcode

from qcfeed.model import frames
from qcfeed.ws import compression
from qcfeed.ws.compression import Deflater

LONG = b'{"type":"quote","symbol":"AAPL","bid":189.99,"bid_size":300,"ask":190.01,"ask_size":100}'


def received(data: bytes) -> list[tuple[Opcode, str | bytes]]:
    """The frames, decoded by another implementation of RFC 7692."""
    agreed = PerMessageDeflate(server_no_context_takeover=True)
    agreed.finalize("permessage-deflate; server_no_context_takeover")
    peer = FrameProtocol(client=True, extensions=[agreed])
    peer.receive_bytes(data)
    return [(frame.opcode, frame.payload) for frame in peer.received_frames()]


@given(st.lists(st.text(max_size=300).map(str.encode), max_size=6))
def test_compressed_messages_decompress_to_the_original(messages: list[bytes]) -> None:
    data = b"".join(frames.text(each) for each in messages)
    packed = Deflater().pack(data)
    assert received(packed) == [(Opcode.TEXT, each.decode()) for each in messages]
    assert len(packed) <= len(data)


def test_a_message_is_compressed_once_for_all_consumers() -> None:
    deflater = Deflater()
    one, other = frames.text(LONG + b"1"), frames.text(LONG + b"2")
    joined = one + other
    first = deflater.pack(joined)
    assert deflater.pack(joined) is first
    assert deflater.pack(bytes(bytearray(joined))) == first
    assert deflater.pack(one) + deflater.pack(other) == first
    assert deflater.compressed == 2


def test_control_frames_and_short_messages_are_not_compressed() -> None:
    data = frames.text(b"{}") + frames.frame(frames.Opcode.PING, b"x" * 100) + frames.close(1000)
    deflater = Deflater()
    assert deflater.pack(data) == data
    assert deflater.compressed == 0


def test_a_message_that_would_grow_is_not_compressed() -> None:
    data = frames.text(bytes(range(32, 127)))
    assert len(data) >= compression.WORTHWHILE
    assert Deflater().pack(data) == data


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "REMEMBERED", 10)
    deflater = Deflater()
    for number in range(100):
        deflater.pack(frames.text(LONG + b"%d" % number))
        assert len(deflater) <= 10


@pytest.mark.parametrize("sizes", [[], [0], [125, 126, 0xFFFF, 0x10000, 3]])
def test_joined_frames_are_split(sizes: list[int]) -> None:
    whole = [frames.text(b"x" * size) for size in sizes]
    assert list(frames.split(b"".join(whole))) == whole
