"""A fuzz target, and the forms in which readers get their bytes."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

KIB, MIB = 2**10, 2**20


@dataclass(frozen=True, slots=True)
class Target:
    """One reader. ``words`` help a fuzzer that knows nothing of the format.

    ``calls`` and ``memory`` bound the work (function calls) and the peak memory (bytes) for each byte of
    input, ``least_calls`` and ``least_memory`` those of any input.
    """

    name: str
    read: Callable[[bytes], object]
    errors: tuple[type[Exception], ...] = ()
    words: tuple[str, ...] = ()
    calls: int = 50
    least_calls: int = 20_000
    memory: int = 100
    least_memory: int = MIB


def pieces(raw: bytes) -> Iterator[bytes]:
    """``raw`` in pieces, whose size is in its first byte, as a network may deliver it."""
    size = raw[0] if raw and raw[0] else max(len(raw), 1)
    for start in range(1, len(raw), size):
        yield raw[start : start + size]


@functools.cache
def directory() -> Path:
    made = tempfile.TemporaryDirectory()
    _kept.append(made)  # removed at exit
    return Path(made.name)


_kept: list[tempfile.TemporaryDirectory[str]] = []


def file_of(raw: bytes) -> Path:
    path = directory() / "file"
    path.write_bytes(raw)
    return path


def text_of(raw: bytes) -> str:
    """As command lines and environments give text: any bytes, undecodable ones as surrogates."""
    return raw.decode("utf-8", "surrogateescape")
