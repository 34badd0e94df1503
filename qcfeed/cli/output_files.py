"""The one writer of files that commands leave behind: never half a file, never silently over another.

A file is written under a temporary name beside its own and then given its name. Evidence of an incident
exists once, so an existing file is replaced only with --force.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Annotated

import typer

from qcfeed.errors import NeedsConfirmationError, UsageError

Force = Annotated[bool, typer.Option("--force", help="Replace existing files.")]

PRIVATE = 0o600
"""The mode of evidence, which may name people and hosts."""
PUBLIC = 0o644
"""The mode of files for other programs; the umask may take bits away."""


def check(path: Path | None, *, force: bool) -> None:
    """Refuse early, before slow requests, what ``write`` would refuse; None is no file.

    Raises NeedsConfirmationError if the file exists and ``force`` is not set, and UsageError if it cannot
    be a file or its directory cannot be written.
    """
    if path is None:
        return
    try:
        _refuse_existing(path, force=force)
        directory = _target(path).parent
    except OSError as error:
        raise _unwritable(path, error) from error
    if not os.access(directory, os.W_OK | os.X_OK):
        code = errno.EACCES if directory.is_dir() else errno.ENOENT
        raise _unwritable(path, OSError(code, os.strerror(code)))


def check_different(*paths: Path | None) -> None:
    """Raise UsageError if two of the files are the same."""
    given = [_target(path) for path in paths if path is not None]
    if len(set(given)) < len(given):
        raise UsageError(f"{given[0]} is named twice", hint="give each output a file of its own")


def make_directory(path: Path) -> None:
    """Create a directory and its parents, if it does not exist. Raises UsageError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error


def write(path: Path, content: bytes, *, force: bool, mode: int = PRIVATE) -> None:
    """Write a whole file. Raises what ``check`` does."""
    import tempfile  # imported here: slow to import, and most commands write no file

    try:
        _refuse_existing(path, force=force)
        target = _target(path)
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fchmod(descriptor, mode & ~_umask())
                os.fsync(descriptor)
            _give_name(Path(name), target, force=force)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error


def _refuse_existing(path: Path, *, force: bool) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a device, a pipe or a socket, not a file")
    if not force:
        raise _exists(path)


def _give_name(written: Path, target: Path, *, force: bool) -> None:
    """Rename; or, unless ``force``, link, which fails if a file has come to have that name meanwhile."""
    if force:
        written.replace(target)
        return
    try:
        target.hardlink_to(written)
    except FileExistsError:
        raise _exists(target) from None
    except OSError:  # a file system without hard links
        written.replace(target)


def _exists(path: Path) -> NeedsConfirmationError:
    return NeedsConfirmationError(
        f"{path} already exists", hint="nothing was written; --force replaces it"
    )


def _unwritable(path: Path, error: OSError) -> UsageError:
    return UsageError(
        f"cannot write {path}: {error.strerror or error}",
        hint="choose another file, in a directory that you can write to",
    )


def _target(path: Path) -> Path:
    """The file itself, if ``path`` is a symbolic link: the link stays."""
    return path.resolve()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
