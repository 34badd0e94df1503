"""Decompressing a message never takes more memory than its limit."""

from __future__ import annotations

import tracemalloc
import zlib

import pytest

from qcfeed.model.messages import CloseCode
from qcfeed.ws.inbound import Inbound, InboundEvent, TextMessage, Violation
from tests.support.raw_websocket import CONTINUATION, TEXT, frame

LIMIT = 65_536
COMPRESSED = 4
"""RSV1, the first of the three reserved bits."""


def deflated(text: bytes) -> bytes:
    """Compressed as in RFC 7692 section 7.2.1."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH)
    return data.removesuffix(b"\x00\x00\xff\xff")


def heard(*pieces: bytes) -> tuple[list[InboundEvent], int]:
    """The events in these bytes, and the peak memory of reading them."""
    inbound = Inbound(LIMIT, compressed=True)
    tracemalloc.start()
    try:
        found = [each for piece in pieces for each in inbound.feed(piece)]
        return found, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_message_of_exactly_the_limit_is_accepted() -> None:
    (text,), _ = heard(frame(TEXT, deflated(b"x" * LIMIT), rsv=COMPRESSED))
    assert text == TextMessage("x" * LIMIT)


def test_a_message_one_byte_over_the_limit_is_refused() -> None:
    (refusal,), _ = heard(frame(TEXT, deflated(b"x" * (LIMIT + 1)), rsv=COMPRESSED))
    assert isinstance(refusal, Violation)
    assert refusal.code is CloseCode.MESSAGE_TOO_BIG


@pytest.mark.parametrize("pieces", [1, 7])
def test_64_kilobytes_that_would_become_64_megabytes_take_a_few_hundred_kilobytes(
    pieces: int,
) -> None:
    bomb = deflated(bytes(64 << 20))
    assert len(bomb) < LIMIT + 1_000
    size = -(-len(bomb) // pieces)
    frames = [
        frame(
            TEXT if start == 0 else CONTINUATION,
            bomb[start : start + size],
            final=start + size >= len(bomb),
            rsv=COMPRESSED if start == 0 else 0,
        )
        for start in range(0, len(bomb), size)
    ]
    found, memory = heard(*frames[:1])
    assert isinstance(found[0], Violation)
    assert found[0].code is CloseCode.MESSAGE_TOO_BIG
    assert memory < 16 * LIMIT
