"""The bundles that a service saves by itself: where they are, and how they are written and removed."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path

from qcfeed import files, rfc3339
from qcfeed.control import paths
from qcfeed.errors import NotAllowedError
from qcfeed.formats import size

LEAST_FREE = 64 * 2**20
"""Bytes that the disk must have left: the service's logs need it more."""
LEAST_SHARE = 0.02
"""The same as a share of the disk."""
_FORM = "%Y%m%dT%H%M%SZ"


def directory(configured: str | None) -> Path:
    """The directory of the bundles: ``--evidence-dir``, or ``evidence`` in the state directory."""
    return files.expand(configured) if configured else paths.state_directory() / "evidence"


def check_room(where: Path) -> str:
    """How much the disk of a directory has left. Raises NotAllowedError if that is too little.

    The directory need not exist yet.
    """
    present = next(each for each in (where, *where.absolute().parents) if each.exists())
    found = os.statvfs(present)
    free, whole = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    if free < max(LEAST_FREE, LEAST_SHARE * whole):
        raise NotAllowedError(
            f"the disk of {where} is nearly full: {size(free)} of {size(whole)} are free",
            hint="make room, or give --evidence-dir a directory on another disk",
        )
    return f"{size(free)} free"


def saved(where: Path, instance: str) -> list[Path]:
    """The bundles of one instance, the newest last."""
    pattern = re.compile(rf"{re.escape(instance)}-\d{{8}}T\d{{6}}Z\.tar\.gz")
    try:
        return sorted(each for each in where.iterdir() if pattern.fullmatch(each.name))
    except OSError:  # it does not exist yet
        return []


def saved_at(file: Path) -> str:
    """When a bundle was saved, by its name."""
    stamp = re.search(r"(\d{8}T\d{6}Z)", file.name)
    when = datetime.strptime(stamp[1] if stamp else "", _FORM).replace(tzinfo=UTC)
    return rfc3339.seconds(when.timestamp())


def new_file(where: Path, instance: str) -> Path:
    """The name of a bundle that is saved now."""
    return where / f"{instance}-{datetime.now(UTC):{_FORM}}.tar.gz"


def write(file: Path, content: bytes) -> None:
    """Write a bundle with mode 0600, whole or not at all; its directory is created with mode 0700.

    Raises OSError.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        part.replace(file)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def prune(where: Path, instance: str, keep: int) -> None:
    """Remove all but the newest ``keep`` bundles of one instance."""
    for old in saved(where, instance)[:-keep]:
        with contextlib.suppress(FileNotFoundError):  # removed by somebody else
            old.unlink()
