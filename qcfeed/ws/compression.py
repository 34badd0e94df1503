"""Messages compressed once for all who asked for it (RFC 7692, permessage-deflate).

Without context takeover a message's compressed bytes depend on the message alone, so that, as with
frames, the same bytes serve everybody. A quote of 170 bytes becomes one of 135: there is little in
it that repeats.
"""

from __future__ import annotations

import zlib

from qcfeed.model import frames

WINDOW_BITS = 9
"""The smallest window that zlib makes without a header: whatever a client allows, it is no more."""

WORTHWHILE = 64
"""Bytes of a message from which on it is compressed."""

REMEMBERED = 2_048
"""Messages that are kept compressed, for those who read them a little later."""

_TAIL = b"\x00\x00\xff\xff"
"""What a flush ends with, and a message does not (RFC 7692 section 7.2.1)."""


class Deflater:
    """Compresses what is written to whoever asked for it; memory is bounded. Cost: 10 us a message."""

    def __init__(self) -> None:
        self.compressed = 0
        """Messages compressed so far, each once."""
        self._packed: dict[bytes, bytes] = {}
        self._latest: tuple[bytes, bytes] = b"", b""

    def __len__(self) -> int:
        """Messages that it remembers."""
        return len(self._packed)

    def pack(self, data: bytes) -> bytes:
        """Whole frames, with every text message compressed where that makes it smaller."""
        before, packed = self._latest
        if data is before:  # readers at the same place are given the very same bytes
            return packed
        packed = b"".join(self._frame(each) for each in frames.split(data))
        self._latest = data, packed
        return packed

    def _frame(self, whole: bytes) -> bytes:
        if whole[0] != frames.FINAL | frames.Opcode.TEXT or len(whole) < WORTHWHILE:
            return whole
        packed = self._packed.get(whole)
        if packed is None:
            if len(self._packed) >= REMEMBERED:
                self._packed.clear()
            packed = self._packed[whole] = min(_deflate(whole), whole, key=len)
            self.compressed += 1
        return packed


def _deflate(whole: bytes) -> bytes:
    deflate = zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, -WINDOW_BITS, 1)
    data = deflate.compress(frames.payload(whole)) + deflate.flush(zlib.Z_SYNC_FLUSH)
    return frames.frame(frames.Opcode.TEXT, data.removesuffix(_TAIL), compressed=True)
