"""Reads and changes a file of API keys, one command at a time, and never leaves half a file."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from qcfeed import files
from qcfeed.access.keys import KeyDocument, decode, encode
from qcfeed.errors import ConfigError, NotAllowedError, NotFoundError, QcfeedError, UnreachableError

LOCK_TIMEOUT = 5.0
"""Seconds to wait for another command that changes a file in the same directory."""
_MAX_BYTES = 8 * 2**20


def read(path: Path) -> KeyDocument:
    """The keys in ``path``. Raises a QcfeedError if it does not exist or cannot be used."""
    try:
        content, _ = files.read_trusted(path, _MAX_BYTES)
    except FileNotFoundError as error:
        raise NotFoundError(
            f"there is no file {path}", hint=f"`qcfeed keys add NAME --keys {path}` creates it"
        ) from error
    except OSError as error:
        raise _error("read", path, error) from error
    try:
        return decode(content)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.message}", hint="restore it from a copy") from error


def change(path: Path, to: Callable[[KeyDocument], KeyDocument]) -> None:
    """Replace the keys in ``path`` with what ``to`` makes of them; it creates the file.

    A reader finds the old file or the new one, and of two commands at once, one waits for the other. The
    file has mode 0600; an existing one keeps its owner, also if root changes it.
    """
    try:
        target = files.expand(path).resolve()  # a link stays a link
        with _locked(target.parent):
            before = _stat(target)
            document = to(KeyDocument([]) if before is None else read(target))
            _replace(target, encode(document), before)
    except QcfeedError:
        raise
    except (OSError, RuntimeError) as error:  # RuntimeError: a link to itself
        raise _error("change", path, error) from error


def _stat(target: Path) -> os.stat_result | None:
    """None if there is no such file. Raises OSError, also for a link to itself."""
    try:
        return target.stat()
    except FileNotFoundError:
        return None


def _replace(target: Path, content: bytes, before: os.stat_result | None) -> None:
    fresh = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            if before is not None and (before.st_uid, before.st_gid) != (
                os.geteuid(),
                os.getegid(),
            ):
                os.fchown(descriptor, before.st_uid, before.st_gid)
            stream.write(content)
            stream.flush()
            os.fsync(descriptor)
        fresh.replace(target)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold the lock of ``directory``: the file itself is replaced, so its lock would be another one."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + LOCK_TIMEOUT
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    raise OSError(
                        errno.EBUSY, "another program has locked its directory"
                    ) from error
                time.sleep(0.02)
        yield
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _error(what: str, path: Path, error: Exception) -> QcfeedError:
    why = error.strerror if isinstance(error, OSError) else error
    kind = NotAllowedError if isinstance(error, PermissionError) else UnreachableError
    return kind(f"cannot {what} {path}: {why}", hint=f"check `ls -la {path}`, and its directory")
