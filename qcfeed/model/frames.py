"""WebSocket frames as a server sends them: unmasked, so that one frame's bytes serve everybody."""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator
from enum import IntEnum

FINAL = 0x80
"""The last frame of its message, and here always the only one."""
COMPRESSED = 0x40
"""The first reserved bit, as permessage-deflate uses it (RFC 7692 section 6)."""


class Opcode(IntEnum):
    """RFC 6455 section 5.2."""

    TEXT = 0x1
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


def frame(opcode: Opcode, payload: bytes, *, compressed: bool = False) -> bytes:
    """A final, unfragmented frame (RFC 6455 section 5.2)."""
    first = FINAL | opcode | (COMPRESSED if compressed else 0)
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 0x10000:
        return struct.pack("!BBH", first, 126, size) + payload
    return struct.pack("!BBQ", first, 127, size) + payload


def split(data: bytes) -> Iterator[bytes]:
    """Whole frames that were joined, one by one."""
    start = 0
    while start < len(data):
        size, body = data[start + 1], start + 2
        if size >= 126:
            width = 2 if size == 126 else 8
            size, body = int.from_bytes(data[body : body + width], "big"), body + width
        yield data[start : body + size]
        start = body + size


def payload(whole: bytes) -> bytes:
    """What is in a frame that ``frame`` made."""
    start = {126: 4, 127: 10}.get(whole[1], 2)
    return whole[start:]


def text(message: bytes) -> bytes:
    """A text frame; ``message`` is UTF-8."""
    return frame(Opcode.TEXT, message)


@functools.lru_cache(maxsize=64)
def close(code: int, reason: str = "") -> bytes:
    """A close frame. The reason is cut to the 123 bytes that a control frame has left (5.5.1)."""
    told = reason.encode()[:123].decode("utf-8", "ignore").encode()
    return frame(Opcode.CLOSE, struct.pack("!H", code) + told)
