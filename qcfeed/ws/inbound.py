"""What one client sends: frames taken apart, and put together to messages of a bounded size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias, cast

from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, FrameProtocol, Opcode, ParseFailed

from qcfeed.model.messages import CloseCode
from qcfeed.ws.extensions import Inflating


class Text(NamedTuple):
    """A whole message."""

    text: str


class Ping(NamedTuple):
    payload: bytes


class Pong(NamedTuple):
    """An answer to a ping of ours, or none."""


class Close(NamedTuple):
    """Its close frame; ``code`` is 1005 where it gave none."""

    code: int


class Violation(NamedTuple):
    """What is to be told with ``code``. ``final``: nothing that follows can have a meaning."""

    code: CloseCode
    reason: str
    final: bool = False


Heard: TypeAlias = Text | Ping | Pong | Close | Violation

_PONG = Pong()
_USUAL = (CloseReason.NORMAL_CLOSURE, CloseReason.GOING_AWAY)


def only(data: bytes) -> Pong | Close | None:
    """What ``data`` is, if it is all that one who only listens sends: a pong, or a usual close frame.

    None for whatever else it may be, which is for ``Inbound`` to read: it need not be made for these
    (RFC 6455 section 5.2: a final frame, masked, of no payload or a close code).
    """
    first = data[:2]
    if len(data) == 8 and first == b"\x88\x82":
        code = (data[6] ^ data[2]) << 8 | data[7] ^ data[3]
        return Close(code) if code in _USUAL else None
    if len(data) == 6 and first == b"\x8a\x80":
        return _PONG
    if len(data) == 6 and first == b"\x88\x80":
        return Close(CloseReason.NO_STATUS_RCVD)
    return None


class Inbound:
    """Made when a client first sends something of its own: most only listen. Frames by wsproto."""

    __slots__ = ("_frames", "_limit", "_size", "_text")

    def __init__(self, limit: int, *, compressed: bool) -> None:
        """``limit``: bytes of a message, inflated."""
        self._limit = limit
        extensions: list[Extension] = [Inflating(limit)] if compressed else []
        self._frames = FrameProtocol(client=False, extensions=extensions)
        self._text: list[str] = []
        self._size = 0

    def feed(self, data: bytes) -> Iterator[Heard]:
        """What these bytes complete."""
        self._frames.receive_bytes(data)
        try:
            for frame in self._frames.received_frames():
                heard = self._of_frame(frame.opcode, frame.payload, frame.message_finished)
                if heard is not None:
                    yield heard
        except ParseFailed as error:
            code = CloseCode(error.code)
            reason = self._too_big() if code is CloseCode.MESSAGE_TOO_BIG else str(error)
            yield Violation(code, reason, final=True)

    @property
    def pending(self) -> int:
        """Pieces kept of a message that is not finished."""
        return len(self._text)

    def _of_frame(self, opcode: Opcode, payload: object, finished: bool) -> Heard | None:
        if opcode is Opcode.CLOSE:
            return Close(cast("tuple[int, str]", payload)[0])
        if opcode is Opcode.PONG:
            return _PONG
        if opcode is Opcode.PING:
            return Ping(cast("bytes", payload))
        if opcode is Opcode.TEXT:
            return self._of_text(cast("str", payload), finished)
        return Violation(CloseCode.UNSUPPORTED_DATA, "messages are JSON text")

    def _of_text(self, piece: str, finished: bool) -> Heard | None:
        if piece:  # a message may have any number of empty fragments
            self._text.append(piece)
            self._size += len(piece) if piece.isascii() else len(piece.encode())
        if not finished and self._size <= self._limit:
            return None
        text, size = "".join(self._text), self._size
        self._text.clear()
        self._size = 0
        if size > self._limit:
            return Violation(CloseCode.MESSAGE_TOO_BIG, self._too_big())
        return Text(text)

    def _too_big(self) -> str:
        return f"a message has at most {self._limit} bytes"
