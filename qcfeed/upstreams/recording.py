"""Recordings of a feed: our own, and raw captures of the Coinbase Exchange feed.

Our own are JSON lines, one message each, in gzip when the file's name ends in ``.gz``:

    {"at":1710900900.25,"message":{"type":"quote","symbol":"AAPL",...}}

A raw capture has the Unix time of receipt before each message; lines that start with ``ws`` tell
of the connection and of what was sent. Which of them a file is, and whether it is compressed, is
told by its content.
"""

from __future__ import annotations

import gzip
import itertools
import re
import zlib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from qcfeed.errors import ConfigError
from qcfeed.model.messages import ServerMessage

_FLUSH_EVERY = 0.1
_MAX_LINE = 64 * 1024 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
_RAW_LINE = re.compile(rb"(\d+(?:\.\d+)?): (\{.*)", re.DOTALL)


class RecordedMessage(msgspec.Struct, frozen=True):
    """One line of a recording of ours: a message and the Unix time it came at, in seconds."""

    at: float
    message: ServerMessage


class RecordingWriter:
    """Writes a recording, replacing what was there, as `tcpdump -w` does.

    A recorder that is killed leaves a file that can be read: at most the lines of its last tenth
    of a second are missing. Raises ConfigError when the file cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._flushed = 0.0
        compressed = self._path.name.endswith(".gz")
        try:
            self._file = (gzip.open if compressed else Path.open)(self._path, "wb")
        except OSError as error:
            raise self._refusal(error) from error

    def write(self, at: float, message: ServerMessage) -> None:
        """Add one message that came at ``at`` (Unix seconds)."""
        try:
            self._file.write(msgspec.json.encode(RecordedMessage(at, message)) + b"\n")
            if not 0 <= at - self._flushed < _FLUSH_EVERY:
                self._file.flush()
                self._flushed = at
        except OSError as error:
            raise self._refusal(error) from error

    def close(self) -> None:
        """Finish the file; nothing can be written after it."""
        try:
            self._file.close()
        except OSError as error:
            raise self._refusal(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _refusal(self, error: OSError) -> ConfigError:
        return ConfigError(
            f"cannot write the recording {self._path}: {error.strerror or error}",
            hint="give a file in a directory that exists, with room, and that you may write to",
        )


class RecordingReader:
    """Gives ``(at, message)`` in the file's order: a wire message, or a raw one as bytes.

    Reads a line at a time. ``truncated`` is true when the last line turned out to be incomplete
    (its writer was killed); that line is left out. Raises ConfigError, with the number of the
    line, for a file that cannot be read or is neither kind of recording.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.truncated = False

    def __iter__(self) -> Iterator[tuple[float, ServerMessage | bytes]]:
        parse = None
        for number, line in self._lines():
            if not line.strip() or line.startswith(b"ws"):
                continue
            parse = parse or (_parse_raw if _RAW_LINE.match(line) else _parse_own)
            try:
                entry = parse(line)
            except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
                if not line.endswith(b"\n"):
                    self.truncated = True
                    return
                raise self._garbled(number, error) from error
            yield entry

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        try:
            with self._open() as file:
                for number in itertools.count(1):
                    line = file.readline(_MAX_LINE)
                    if len(line) == _MAX_LINE:
                        raise self._garbled(number, "it does not end within 64 MiB")
                    if not line:
                        return
                    yield number, line
        except EOFError:
            self.truncated = True
        except (gzip.BadGzipFile, zlib.error) as error:
            raise ConfigError(f"the recording {self.path} is damaged: {error}") from error
        except OSError as error:
            raise ConfigError(
                f"cannot read the recording {self.path}: {error.strerror or error}",
                hint="`qcfeed watch AAPL --record FILE` makes one",
            ) from error

    def _open(self) -> gzip.GzipFile | BufferedReader:
        with self.path.open("rb") as file:
            compressed = file.read(2) == _GZIP_MAGIC
        return gzip.open(self.path, "rb") if compressed else self.path.open("rb")

    def _garbled(self, number: int, why: object) -> ConfigError:
        return ConfigError(
            f"{self.path}, line {number}, is not a recording's: {why}",
            hint="wanted is a file of `qcfeed watch --record`, or a raw Coinbase capture",
        )


_own = msgspec.json.Decoder(RecordedMessage)
_raw = msgspec.json.Decoder(msgspec.Raw)


def _parse_own(line: bytes) -> tuple[float, ServerMessage]:
    entry = _own.decode(line)
    return entry.at, entry.message


def _parse_raw(line: bytes) -> tuple[float, bytes]:
    match = _RAW_LINE.match(line)
    if match is None:
        raise ValueError("no time and message")
    return float(match[1]), bytes(_raw.decode(match[2]))
