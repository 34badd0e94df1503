"""Reads files that may be anything: of bounded size, and never waiting for long."""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path

PIPE_TIMEOUT = 5.0
"""Seconds within which a pipe must deliver its content, as in ``--config <(decrypt config)``."""
_CHUNK = 2**18
_PAUSE = 0.02


def read(path: Path, limit: int) -> tuple[bytes, int]:
    """The content of a file or pipe, and its mode.

    Raises OSError, with a message in ``strerror``: as open does, for a directory or a device, for more
    than ``limit`` bytes, and for a pipe that is not closed in time.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISREG(mode):
            content = _read_file(descriptor, limit)
        elif stat.S_ISFIFO(mode):
            content = _read_pipe(descriptor, limit)
        elif stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        else:
            raise OSError(errno.EINVAL, "it is a device or a socket, not a file")
    finally:
        os.close(descriptor)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"it has more than {limit:,} bytes")
    return content, stat.S_IMODE(mode)


def read_trusted(path: Path, limit: int) -> tuple[bytes, int]:
    """Like ``read``, of a file that decides what others may do.

    Raises OSError also if another user may write the file, or owns it.
    """
    path = expand(path)
    content, mode = read(path, limit)
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise OSError(
            errno.EPERM,
            f"other users may write it (mode {mode:o}): `chmod go-w`, then check its content",
        )
    if path.stat().st_uid not in (0, os.geteuid()):
        raise OSError(errno.EPERM, "it belongs to another user")
    return content, mode


def expand(path: str | Path) -> Path:
    """``path`` with ``~`` replaced by the home directory. Raises OSError if the user has none."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise OSError(errno.ENOENT, "no home directory is known for `~`; set HOME") from error


def check_is_file(path: Path) -> None:
    """Raise OSError unless ``path`` is a regular file, which can be opened without waiting."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a device or a pipe, not a file")


def _read_file(descriptor: int, limit: int) -> bytes:
    content = bytearray()
    while len(content) <= limit and (piece := os.read(descriptor, _CHUNK)):
        content += piece
    return bytes(content)


def _read_pipe(descriptor: int, limit: int) -> bytes:
    """Read until the writer closes. An end before the first byte may mean that no writer has come yet."""
    content = bytearray()
    deadline = time.monotonic() + PIPE_TIMEOUT
    while time.monotonic() < deadline and len(content) <= limit:
        try:
            piece = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            time.sleep(_PAUSE)
            continue
        if piece:
            content += piece
        elif content:
            return bytes(content)
        else:
            time.sleep(_PAUSE)
    if len(content) > limit:
        return bytes(content)
    raise OSError(errno.ETIMEDOUT, f"the pipe was not written and closed within {PIPE_TIMEOUT:g} s")
