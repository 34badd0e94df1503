"""Reads and writes recordings of a feed, and reads raw captures of the Coinbase Exchange feed.

A recording has one JSON message per line, compressed with gzip if the file name ends in ``.gz``:

    {"at":1710900900.25,"message":{"type":"quote","symbol":"AAPL",...}}

In a raw capture each line is the Unix time of receipt and the message; lines that start with ``ws``
are about the connection and are skipped. Format and compression are detected from the content.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from qcfeed.errors import ConfigError
from qcfeed.files import check_is_file
from qcfeed.model.json_errors import JSON_ERRORS
from qcfeed.model.messages import ServerMessage

_FLUSH_EVERY = 0.1
_MAX_LINE = 64 * 1024 * 1024
_MAX_LINES = 20_000_000
_MAX_SKIPPED = 100_000
"""Empty lines, and lines about the connection, in one file."""
_LATEST = 253_402_300_800.0
"""The year 10,000 in Unix seconds: later times have no date."""
_GZIP_MAGIC = b"\x1f\x8b"
_RAW_LINE = re.compile(rb"(\d+(?:\.\d+)?): (\{.*)", re.DOTALL)


class RecordedMessage(msgspec.Struct, frozen=True):
    """One line of a recording: a message and the Unix time of its receipt, in seconds."""

    at: float
    message: ServerMessage


class RecordingWriter:
    """Writes a recording; replaces an existing file, as `tcpdump -w` does.

    If the process is killed the file stays readable; at most the last tenth of a second is missing.
    Raises ConfigError if the file cannot be written.
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
        """Add one message, received at ``at`` (Unix seconds)."""
        try:
            self._file.write(msgspec.json.encode(RecordedMessage(at, message)) + b"\n")
            if not 0 <= at - self._flushed < _FLUSH_EVERY:
                self._file.flush()
                self._flushed = at
        except OSError as error:
            raise self._refusal(error) from error

    def close(self) -> None:
        """Complete and close the file."""
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
            hint="choose a file in an existing, writable directory with free space",
        )


class RecordingReader:
    """Iterates over ``(at, message)`` in the file's order; raw messages are bytes.

    Reads line by line. An incomplete last line, of a writer that was killed, is skipped, and
    ``truncated`` is set. Raises ConfigError with the line number for an unreadable or invalid file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.truncated = False

    def __iter__(self) -> Iterator[tuple[float, ServerMessage | bytes]]:
        parse = None
        skipped = 0
        for number, line in self._lines():
            if not line.strip() or line.startswith(b"ws"):
                skipped += 1
                if skipped > _MAX_SKIPPED:
                    raise self._invalid_line(number, f"over {_MAX_SKIPPED:,} without a message")
                continue
            parse = parse or (_parse_raw if _RAW_LINE.match(line) else _parse_own)
            try:
                entry = parse(line)
            except (ValueError, *JSON_ERRORS) as error:
                if not line.endswith(b"\n"):
                    self.truncated = True
                    return
                raise self._invalid_line(number, error) from error
            yield entry

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        try:
            check_is_file(self.path)
            with self._open() as file:
                for number in range(1, _MAX_LINES):
                    line = file.readline(_MAX_LINE)
                    if len(line) == _MAX_LINE:
                        raise self._invalid_line(number, "longer than 64 MiB")
                    if not line:
                        return
                    yield number, line
                raise self._invalid_line(_MAX_LINES, "too many lines")
        except EOFError:
            self.truncated = True
        except (gzip.BadGzipFile, zlib.error) as error:
            raise ConfigError(f"the recording {self.path} is damaged: {error}") from error
        except OSError as error:
            raise ConfigError(
                f"cannot read the recording {self.path}: {error.strerror or error}",
                hint="`qcfeed watch AAPL --record FILE` creates one",
            ) from error

    def _open(self) -> gzip.GzipFile | BufferedReader:
        with self.path.open("rb") as file:
            compressed = file.read(2) == _GZIP_MAGIC
        return gzip.open(self.path, "rb") if compressed else self.path.open("rb")

    def _invalid_line(self, number: int, why: object) -> ConfigError:
        return ConfigError(
            f"{self.path}, line {number}, is not a line of a recording: {why}",
            hint="give a file written by `qcfeed watch --record`, or a raw Coinbase capture",
        )


_own = msgspec.json.Decoder(RecordedMessage)
_raw = msgspec.json.Decoder(msgspec.Raw)


def _parse_own(line: bytes) -> tuple[float, ServerMessage]:
    entry = _own.decode(line)
    return _checked(entry.at), entry.message


def _parse_raw(line: bytes) -> tuple[float, bytes]:
    match = _RAW_LINE.match(line)
    if match is None:
        raise ValueError("no time and message")
    return _checked(float(match[1])), bytes(_raw.decode(match[2]))


def _checked(at: float) -> float:
    if not 0 <= at < _LATEST:
        raise ValueError("its time is not between the years 1970 and 9999")
    return at
