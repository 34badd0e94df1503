"""A file that is read again when it changes. If the new content is invalid, the old content stays in use."""

from __future__ import annotations

import asyncio
import logging
import stat
from collections.abc import Callable
from pathlib import Path

from qcfeed import files
from qcfeed.errors import ConfigError

log = logging.getLogger("qcfeed.access")


Use = Callable[[], None]


class WatchedFile:
    """Reads ``path``. ``parse`` turns its content into a call that puts it into use, or raises ConfigError.

    ``parse`` runs in a thread when the file has changed, because a large file takes time, and one on another
    machine may take forever; the call is made in the loop. ``named_by``: the option that names the file.
    ``private``: whether this content must not be readable for everybody.
    """

    def __init__(
        self,
        path: str,
        named_by: str,
        limit: int,
        parse: Callable[[bytes], Use],
        private: Callable[[bytes], bool] = lambda _content: False,
    ) -> None:
        self._path = Path(path)
        self._named_by = named_by
        self._limit = limit
        self._parse = parse
        self._private = private
        self._signature: tuple[int, ...] | None = None
        self.problem: str | None = None
        """Why the file as it is now is not used; None if it is."""

    def load(self) -> None:
        """Read the file. Raises ConfigError."""
        self._parsed()()

    def _parsed(self) -> Use:
        self._signature = self._look()
        try:
            use = self._parse(self._read())
        except ConfigError as error:
            self.problem = f"{self._named_by} {self._path}: {error.message}"
            raise ConfigError(self.problem, hint=error.hint) from error
        self.problem = None
        return use

    def _changes(self) -> Use | None:
        """The call that puts the new content into use; None if nothing has changed. Runs in a thread. Raises ConfigError."""
        return self._parsed() if self._look() != self._signature else None

    async def reload(self) -> None:
        """Read the file again if it has changed.

        Failing closed here would disconnect every subscriber for a slip of an editor, and failing open
        would let everybody in. So the old content stays, with a line in the log and a metric.
        """
        try:
            use = await asyncio.to_thread(self._changes)
        except ConfigError as error:
            hint = f"; {error.hint}" if error.hint else ""
            log.error("%s%s; the content read before stays in use", error.message, hint)  # noqa: TRY400
            return
        if use is not None:
            use()
            log.info("%s %s: read again", self._named_by, self._path)

    def _look(self) -> tuple[int, ...] | None:
        """What changes when the file is replaced, written to, or made unreadable; None without a file.

        Symbolic links are followed, because Kubernetes replaces a link to change a secret.
        """
        try:
            found = files.expand(self._path).stat()
        except OSError:
            return None
        return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode)

    def _read(self) -> bytes:
        try:
            content, mode = files.read_trusted(self._path, self._limit)
        except OSError as error:
            raise ConfigError(f"cannot read it: {error.strerror}") from error
        if mode & stat.S_IROTH and self._private(content):
            raise ConfigError(
                f"every user on this machine can read it (mode {mode:o})",
                hint="`chmod o-r` it, and replace the secret if others may have read it",
            )
        return content
