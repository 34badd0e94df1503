"""The context that commands use when none is named: ``current_context`` in the configuration file.

Every command and every TAB looks for it, so it imports little: the configuration is loaded only if the
file has the word.
"""

from __future__ import annotations

import os

MAX_BYTES = 65_536
_WORD = b"current_context"


def named(config: str | os.PathLike[str] | None) -> str | None:
    """The name of the current context; None if the file, found as for every command, sets none.

    Raises ConfigError if the file has the word and is invalid.
    """
    if not mentioned(config):
        return None
    from pathlib import Path

    from qcfeed.config import contexts

    return contexts.current(file=None if config is None else Path(config))


def mentioned(config: str | os.PathLike[str] | None) -> bool:
    """Whether the file has the word at all."""
    try:
        descriptor = os.open(config or _default_path(), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):  # a command that needs the file says what is wrong with it
        return False
    try:
        return _WORD in os.read(descriptor, MAX_BYTES)
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _default_path() -> str:
    """As loading.file_in_use, without pathlib."""
    environment = os.environ
    if variable := environment.get("QCFEED_CONFIG"):
        return variable
    home = environment.get("XDG_CONFIG_HOME") or f"{environment.get('HOME') or '~'}/.config"
    return f"{home}/qcfeed/config.toml"
