"""Negotiates permessage-deflate (RFC 7692), and decompresses what clients send.

Outgoing messages are compressed in ws/compression.py.
"""

from __future__ import annotations

import zlib

from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits

from qcfeed import numbers
from qcfeed.ws.compression import WINDOW_BITS

NAME = "permessage-deflate"

_AGREED = "server_no_context_takeover; client_no_context_takeover"
_FLAGS = {"server_no_context_takeover", "client_no_context_takeover"}
_WINDOWS = {"server_max_window_bits", "client_max_window_bits"}
_TAIL = b"\x00\x00\xff\xff"
"""Senders leave this out at the end of each message; it is added back (RFC 7692 section 7.2.2)."""
# The reserved bits that a frame may set: RSV1 marks a compressed message.
_RSV = {False: RsvBits(False, False, False), True: RsvBits(True, False, False)}


def negotiate(offers: bytes) -> str | None:
    """The response to a client's ``Sec-WebSocket-Extensions``: the first acceptable offer, or None.

    Always without context takeover, on both sides (section 7.1.1).
    """
    for offer in offers.decode("latin-1").split(","):
        name, *parameters = (part.strip() for part in offer.split(";"))
        if name == NAME and (answer := _answer(parameters)) is not None:
            return answer
    return None


def _answer(parameters: list[str]) -> str | None:
    """The response to one offer; None if a parameter is unknown, repeated or invalid (section 7.1)."""
    given = dict(_parameter(each) for each in parameters)
    if len(given) < len(parameters) or not given.keys() <= _FLAGS | _WINDOWS:
        return None
    if any(given[flag] for flag in _FLAGS & given.keys()):
        return None
    for name in _WINDOWS & given.keys():
        # zlib cannot compress with 8 bits, which RFC 7692 allows (section 7.1.2.1).
        least = WINDOW_BITS if name == "server_max_window_bits" else 8
        if not (
            _is_window(given[name], least) or (name != "server_max_window_bits" and not given[name])
        ):
            return None
    window = f"; server_max_window_bits={WINDOW_BITS}" if "server_max_window_bits" in given else ""
    return f"{NAME}; {_AGREED}{window}"


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = (part.strip() for part in text.partition("="))
    return name, value.strip('"') if equals else ""


def _is_window(text: str, least: int) -> bool:
    bits = numbers.whole(text, 15)
    return bits is not None and bits >= least and not text.startswith("0")


class BoundedInflate(Extension):
    """Decompresses a client's messages, each up to ``limit`` bytes.

    wsproto's own extension inflates a frame completely, a thousandfold in the worst case, before its
    size can be checked.
    """

    name = NAME

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._left = 0
        self._control = False
        self._inflate: zlib._Decompress | None = None
        """The decompressor of the current message; None if it is not compressed."""

    def enabled(self) -> bool:
        return True

    def offer(self) -> bool:
        return True

    def frame_inbound_header(
        self,
        proto: FrameDecoder | FrameProtocol,  # noqa: ARG002 - wsproto's signature, here and below
        opcode: Opcode,
        rsv: RsvBits,
        payload_length: int,  # noqa: ARG002
    ) -> CloseReason | RsvBits:
        """The reserved bits that may be set: RSV1, on a message's first frame (section 6)."""
        self._control = opcode.iscontrol()
        if self._control or opcode is Opcode.CONTINUATION:
            return _RSV[False]
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS) if rsv.rsv1 else None
        self._left = self._limit
        return _RSV[True]

    def frame_inbound_payload_data(
        self,
        proto: FrameDecoder | FrameProtocol,  # noqa: ARG002
        data: bytes,
    ) -> bytes | CloseReason:
        if self._control or self._inflate is None:
            return data
        return self._read(self._inflate, data)

    def frame_inbound_complete(
        self,
        proto: FrameDecoder | FrameProtocol,  # noqa: ARG002
        fin: bool,
    ) -> bytes | CloseReason | None:
        if self._control or self._inflate is None or not fin:
            return None
        inflate, self._inflate = self._inflate, None
        return self._read(inflate, _TAIL)

    def _read(self, inflate: zlib._Decompress, data: bytes) -> bytes | CloseReason:
        try:
            # One byte more than allowed is enough to detect a message that is too big.
            got = inflate.decompress(data, self._left + 1)
        except zlib.error:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        self._left -= len(got)
        return CloseReason.MESSAGE_TOO_BIG if self._left < 0 else got
