"""Credentials: read from files that options name, and masked in values that are shown."""

from __future__ import annotations

import re
import stat
from typing import Any

from qcfeed import files
from qcfeed.errors import ConfigError

_MAX_SECRET_LENGTH = 65_536


def read_secret(file: str, named_by: str) -> str:
    """The secret in ``file``, a single line. ``named_by``: the flag or key that names the file.

    Raises ConfigError if it cannot be read, or if every user on this machine can read it.
    """
    try:
        path = files.expand(file)
        content, mode = files.read(path, _MAX_SECRET_LENGTH)
        secret = content.decode().strip()
    except OSError as error:
        raise ConfigError(f"{named_by}: cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{named_by}: cannot read {file}: {error}") from error
    if mode & stat.S_IROTH:
        raise ConfigError(
            f"{named_by}: every user on this machine can read {file} (mode {mode:o})",
            hint=f"`chmod o-rwx {path}`, and replace the secret if others may have read it",
        )
    if not secret.isprintable() or not secret:
        raise ConfigError(f"{named_by}: {file} does not contain one line of text")
    return secret


def unsecret(value: Any) -> Any:
    """``value`` with the credentials and tokens of URLs replaced by ``***``."""
    return _SECRETS.sub(r"\1***\2", value) if isinstance(value, str) else value


_SECRETS = re.compile(
    r"((?<=://)|[?&][^=&\s]*(?:token|key|secret|password)[^=&\s]*=)"
    r"(?:(?<=//)[^/@\s]+(@)|(?<==)[^&\s]+())",
    re.IGNORECASE,
)
