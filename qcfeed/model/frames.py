"""WebSocket frames as a server sends them: unmasked, so all subscribers can share a frame's bytes."""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator
from enum import IntEnum

FINAL = 0x80
"""The FIN bit: the last frame of its message. Here a message is always a single frame."""
COMPRESSED = 0x40
"""The RSV1 bit, which permessage-deflate uses (RFC 7692 section 6)."""


class Opcode(IntEnum):
    """The opcodes that the service sends (RFC 6455 section 5.2)."""

    TEXT = 0x1
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


def frame(opcode: Opcode, payload: bytes, *, compressed: bool = False) -> bytes:
    """A final, unfragmented frame (RFC 6455 section 5.2)."""
    first = FINAL | opcode | (COMPRESSED if compressed else 0)
    size = len(payload)
    # 126 and 127 in place of the length announce a length of 16 and of 64 bits (RFC 6455 section 5.2).
    if size < 126:
        return bytes((first, size)) + payload
    if size < 0x10000:
        return _medium_head(first, 126, size) + payload
    return _large_head(first, 127, size) + payload


_medium_head = struct.Struct("!BBH").pack
_large_head = struct.Struct("!BBQ").pack


def split(data: bytes) -> Iterator[bytes]:
    """Split joined frames into single ones."""
    start = 0
    while start < len(data):
        size, body = data[start + 1], start + 2
        if size >= 126:
            width = 2 if size == 126 else 8
            size, body = int.from_bytes(data[body : body + width], "big"), body + width
        yield data[start : body + size]
        start = body + size


def payload(whole: bytes) -> bytes:
    """The payload of a frame that ``frame`` made."""
    start = {126: 4, 127: 10}.get(whole[1], 2)
    return whole[start:]


def text(message: bytes) -> bytes:
    """A text frame; ``message`` is UTF-8."""
    return frame(Opcode.TEXT, message)


@functools.lru_cache(maxsize=64)
def close(code: int, reason: str = "") -> bytes:
    """A close frame. The reason is cut to 123 bytes: a control frame has at most 125 (5.5.1)."""
    # Decoding with "ignore" drops a character that the cut would split.
    text = reason.encode()[:123].decode("utf-8", "ignore").encode()
    return frame(Opcode.CLOSE, struct.pack("!H", code) + text)
