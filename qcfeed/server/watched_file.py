"""A file that is read again when it changes. A change that cannot be read leaves what was read before."""

from __future__ import annotations

import logging
import stat
from collections.abc import Callable
from pathlib import Path

from qcfeed import files
from qcfeed.errors import ConfigError

log = logging.getLogger("qcfeed.access")


class WatchedFile:
    """Reads ``path`` for ``use``, which raises ConfigError for content that it refuses.

    ``named_by``: the option that names the file. ``private``: whether this content must not be readable
    for everybody.
    """

    def __init__(
        self,
        path: str,
        named_by: str,
        limit: int,
        use: Callable[[bytes], None],
        private: Callable[[bytes], bool] = lambda _content: False,
    ) -> None:
        self._path = Path(path)
        self._named_by = named_by
        self._limit = limit
        self._use = use
        self._private = private
        self._signature: tuple[int, ...] | None = None
        self.problem: str | None = None
        """Why the file as it is now is not used; None if it is."""

    def load(self) -> None:
        """Read the file. Raises ConfigError, and keeps what was read before."""
        self._signature = self._look()
        try:
            content = self._read()
            self._use(content)
        except ConfigError as error:
            self.problem = f"{self._named_by} {self._path}: {error.message}"
            raise ConfigError(self.problem, hint=error.hint) from error
        self.problem = None

    def changed(self) -> bool:
        """Whether the file has changed since it was read last. Costs one stat(2)."""
        return self._look() != self._signature

    def reload(self) -> bool:
        """Read the file again if it has changed; whether its new content is in use. Never raises.

        Failing closed here would disconnect every subscriber for a slip of an editor, and failing open
        would let everybody in. So the old content stays, with a line in the log and a metric.
        """
        if not self.changed():
            return False
        try:
            self.load()
        except ConfigError as error:
            hint = f"; {error.hint}" if error.hint else ""
            log.error("%s%s: what was read before stays in use", error.message, hint)  # noqa: TRY400
            return False
        log.info("%s %s: read again", self._named_by, self._path)
        return True

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
            raise ConfigError(f"cannot use it: {error.strerror}") from error
        if mode & stat.S_IROTH and self._private(content):
            raise ConfigError(
                f"every user on this machine can read it (mode {mode:o})",
                hint="`chmod o-r` it, and replace the secret if others may have read it",
            )
        return content
