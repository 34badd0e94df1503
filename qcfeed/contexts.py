"""Services elsewhere, by name: ``[contexts.NAME]`` in the configuration file.

    [contexts.prod]
    url = "http://127.0.0.1:18007"           # what `ssh -L 18007:127.0.0.1:8007 prod` makes of it
    token_file = "~/.config/qcfeed/prod.token"
    prometheus = "http://prometheus.prod:9090"

A context says which service is meant (one of ``socket``, ``url``, ``instance``; none for the only one
that runs here), and what goes with it.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qcfeed import config
from qcfeed.errors import ConfigError, NotFoundError

_WHICH = ("socket", "url", "instance")


@dataclass(frozen=True, slots=True)
class Context:
    """One of them. ``token_file`` holds the bearer token for ``url``."""

    name: str
    socket: str | None = None
    url: str | None = None
    instance: str | None = None
    token_file: str | None = None
    prometheus: str | None = None

    @property
    def leads_to(self) -> str:
        """Where its service is, for people."""
        return self.url or self.socket or self.instance or "the only one that runs here"

    def path(self, key: str) -> Path | None:
        """A file that the context names, ``~`` for home."""
        value = getattr(self, key)
        return None if value is None else Path(value).expanduser()


KEYS = tuple(each.name for each in dataclasses.fields(Context) if each.name != "name")


def read(
    *, environment: Mapping[str, str] = os.environ, file: Path | None = None
) -> dict[str, Context]:
    """The contexts of the configuration file, which is looked for as config.load does.

    Raises ConfigError for one that cannot be.
    """
    found = config.read_file(file, environment)
    if found is None:
        return {}
    path, content = found
    tables = content.get(config.CONTEXTS, {})
    if not isinstance(tables, dict):
        raise ConfigError(f"{path}: contexts is no table", hint="write [contexts.NAME]")
    return {name: _context(path, name, table) for name, table in tables.items()}


def find(
    name: str, *, environment: Mapping[str, str] = os.environ, file: Path | None = None
) -> Context:
    """The context ``name``. Raises NotFoundError, naming those there are, and as ``read`` does."""
    known = read(environment=environment, file=file)
    if name in known:
        return known[name]
    where = config.file_in_use(file, environment)
    if not known:
        raise NotFoundError(
            f"there is no context {name!r}: {where} has none",
            hint="`qcfeed config init` writes a file that shows how they are declared",
        )
    raise NotFoundError(
        f"there is no context {name!r} in {where}, there is {', '.join(sorted(known))}",
        hint="`qcfeed config contexts` shows where each leads",
    )


def _context(path: Path, name: str, table: Any) -> Context:
    where = f"{path}: [contexts.{name}]"
    if not isinstance(table, dict):
        raise ConfigError(f"{where} is no table", hint=f"its keys are {', '.join(KEYS)}")
    for key, value in table.items():
        if key not in KEYS:
            close = difflib.get_close_matches(key, KEYS, n=1)
            raise ConfigError(
                f"{where} sets {key!r}, which no context has",
                hint=f"did you mean {close[0]!r}?" if close else f"there is {', '.join(KEYS)}",
            )
        if not isinstance(value, str) or not value:
            raise ConfigError(f"{where} sets {key} to {value!r}, which is not text")
    if len(which := [key for key in _WHICH if key in table]) > 1:
        raise ConfigError(
            f"{where} gives {' and '.join(which)}, which each say where the service is",
            hint="give one of them",
        )
    return Context(name, **table)
