"""Parses a client's frames and assembles them into messages of limited size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias, cast

from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, FrameProtocol, Opcode, ParseFailed

from qcfeed.model.messages import CloseCode
from qcfeed.ws.extensions import BoundedInflate


class TextMessage(NamedTuple):
    """A complete text message."""

    text: str


class PingFrame(NamedTuple):
    """A ping, to be answered with the same payload."""

    payload: bytes


class PongFrame(NamedTuple):
    """A pong, solicited or not."""


class Fragment(NamedTuple):
    """A fragment of a message that is not complete yet."""


class CloseFrame(NamedTuple):
    """A close frame; ``code`` is 1005 if it has none (RFC 6455 section 7.1.5)."""

    code: int


class Violation(NamedTuple):
    """A protocol violation, to be answered with ``code``. ``final``: no further input can be parsed."""

    code: CloseCode
    reason: str
    final: bool = False


InboundEvent: TypeAlias = TextMessage | PingFrame | PongFrame | Fragment | CloseFrame | Violation

_PONG = PongFrame()
_FRAGMENT = Fragment()
_USUAL = (CloseReason.NORMAL_CLOSURE, CloseReason.GOING_AWAY)
"""Close codes that are valid for sure; the parser judges all others (RFC 6455 section 7.4)."""


def parse_bare_frame(data: bytes) -> PongFrame | CloseFrame | None:
    """Parse ``data`` if it is a single pong without payload, or a plain close frame; else None.

    Clients that only listen send nothing else, so most connections never need an ``Inbound``
    (RFC 6455 section 5.2: a final, masked frame with no payload, or with a close code only).
    """
    # 0x88 is a final close frame, 0x8a a final pong; 0x80 in the second byte says that a mask follows.
    first = data[:2]
    # A length of 2: the close code, behind the mask of four bytes with which it is XORed.
    if len(data) == 8 and first == b"\x88\x82":
        code = (data[6] ^ data[2]) << 8 | data[7] ^ data[3]
        return CloseFrame(code) if code in _USUAL else None
    if len(data) == 6 and first == b"\x8a\x80":
        return _PONG
    if len(data) == 6 and first == b"\x88\x80":
        return CloseFrame(CloseReason.NO_STATUS_RCVD)
    return None


class Inbound:
    """Reads a client's messages; frames are parsed by wsproto. Created on the first frame that needs it."""

    __slots__ = ("_frames", "_limit", "_size", "_text")

    def __init__(self, limit: int, *, compressed: bool) -> None:
        """``limit``: maximum bytes of a message, after decompression."""
        self._limit = limit
        extensions: list[Extension] = [BoundedInflate(limit)] if compressed else []
        self._frames = FrameProtocol(client=False, extensions=extensions)
        self._text: list[str] = []
        self._size = 0

    def feed(self, data: bytes) -> Iterator[InboundEvent]:
        """The events that these bytes complete."""
        self.receive(data)
        return self.events()

    def receive(self, data: bytes) -> None:
        """Keep these bytes until ``events`` parses them."""
        self._frames.receive_bytes(data)

    def events(self) -> Iterator[InboundEvent]:
        """The events that the bytes received complete, parsed one by one: a caller may stop in between."""
        try:
            for frame in self._frames.received_frames():
                yield self._of_frame(frame.opcode, frame.payload, frame.message_finished)
        except ParseFailed as error:
            code = CloseCode(error.code)
            reason = self._too_big() if code is CloseCode.MESSAGE_TOO_BIG else str(error)
            yield Violation(code, reason, final=True)

    @property
    def pending(self) -> int:
        """Fragments kept of an unfinished message."""
        return len(self._text)

    def _of_frame(self, opcode: Opcode, payload: object, finished: bool) -> InboundEvent:
        if opcode is Opcode.CLOSE:
            return CloseFrame(cast("tuple[int, str]", payload)[0])
        if opcode is Opcode.PONG:
            return _PONG
        if opcode is Opcode.PING:
            return PingFrame(cast("bytes", payload))
        if opcode is Opcode.TEXT:
            return self._of_text(cast("str", payload), finished)
        return self.of_binary(cast("bytearray", payload), finished)

    def of_binary(self, piece: bytearray, finished: bool) -> InboundEvent:  # noqa: ARG002
        """A piece of a binary message. This service has none; tests/conformance echoes them."""
        return Violation(CloseCode.UNSUPPORTED_DATA, "messages must be JSON text")

    def _of_text(self, piece: str, finished: bool) -> InboundEvent:
        if piece:  # an unlimited number of empty fragments must not grow the list
            self._text.append(piece)
            self._size += len(piece) if piece.isascii() else len(piece.encode())
        # Counted over all fragments: the limit is one of messages, and wsproto has none.
        if not finished and self._size <= self._limit:
            return _FRAGMENT
        text, size = "".join(self._text), self._size
        self._text.clear()
        self._size = 0
        if size > self._limit:
            return Violation(CloseCode.MESSAGE_TOO_BIG, self._too_big())
        return TextMessage(text)

    def _too_big(self) -> str:
        return f"messages are limited to {self._limit} bytes"
