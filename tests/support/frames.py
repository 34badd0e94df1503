"""Parses frames sent to a subscriber, with wsproto."""

from __future__ import annotations

from typing import cast

from wsproto.frame_protocol import FrameProtocol

from qcfeed.model import messages
from qcfeed.model.messages import Quote


def quotes(data: bytes) -> list[Quote]:
    """The quotes in complete, uncompressed frames."""
    peer = FrameProtocol(client=True, extensions=[])
    peer.receive_bytes(data)
    return [
        cast("Quote", messages.decode(cast("str", frame.payload)))
        for frame in peer.received_frames()
    ]


def sent_quotes(data: bytes) -> list[tuple[int, int, int]]:
    """(seq, conflated, dropped) of each quote."""
    return [(quote.seq, quote.conflated, quote.dropped) for quote in quotes(data)]
