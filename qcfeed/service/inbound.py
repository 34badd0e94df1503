"""What one client sends: frames taken apart, and put together to messages of a bounded size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias, cast

from wsproto.extensions import Extension
from wsproto.frame_protocol import FrameProtocol, Opcode, ParseFailed

from qcfeed.core.messages import CloseCode
from qcfeed.service.extensions import Inflating


class Text(NamedTuple):
    """A whole message."""

    text: str


class Ping(NamedTuple):
    payload: bytes


class Close(NamedTuple):
    """Its close frame; ``code`` is 1005 where it gave none."""

    code: int


class Violation(NamedTuple):
    """What is to be told with ``code``. ``final``: nothing that follows can have a meaning."""

    code: CloseCode
    reason: str
    final: bool = False


Heard: TypeAlias = Text | Ping | Close | Violation


class Inbound:
    """Made when a client first sends something: most only listen. Frames by wsproto (RFC 6455)."""

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
            return None
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
