"""WebSocket frames as a server sends them: unmasked, so that one frame's bytes serve everybody."""

from __future__ import annotations

import struct
from enum import IntEnum


class Opcode(IntEnum):
    """RFC 6455 section 5.2."""

    TEXT = 0x1
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


def frame(opcode: Opcode, payload: bytes) -> bytes:
    """A final, unfragmented frame (RFC 6455 section 5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 0x10000:
        return struct.pack("!BBH", 0x80 | opcode, 126, size) + payload
    return struct.pack("!BBQ", 0x80 | opcode, 127, size) + payload


def payload(whole: bytes) -> bytes:
    """What is in a frame that ``frame`` made."""
    start = {126: 4, 127: 10}.get(whole[1], 2)
    return whole[start:]


def text(message: bytes) -> bytes:
    """A text frame; ``message`` is UTF-8."""
    return frame(Opcode.TEXT, message)


def close(code: int, reason: str = "") -> bytes:
    """A close frame. The reason is cut to the 123 bytes that a control frame has left (5.5.1)."""
    told = reason.encode()[:123].decode("utf-8", "ignore").encode()
    return frame(Opcode.CLOSE, struct.pack("!H", code) + told)
