"""Services elsewhere, by name: ``[contexts.NAME]`` in the configuration file.

    [contexts.prod]
    url = "http://127.0.0.1:18007"           # what `ssh -L 18007:127.0.0.1:8007 prod` makes of it
    token_file = "~/.config/qcfeed/prod.token"
    prometheus = "https://prometheus.prod:9090"
    prometheus_token_file = "~/.config/qcfeed/prod.prometheus"   # or prometheus_token_variable = "PROM_TOKEN"

A context says which service is meant (one of ``socket``, ``url``, ``instance``; none for the only one
that runs here), and what goes with it: options about Prometheus by their own names (config.py). A
secret is never in it, but in a file, or in a variable of the environment that it names.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qcfeed import config
from qcfeed.errors import ConfigError, NotFoundError
from qcfeed.options import unsecret

_WHICH = ("socket", "url", "instance")
_OPTIONS = [each for each in config.options(config.PrometheusConfig) if each.type is str]
_VARIABLES = {f"{each.name}_variable": each.name for each in _OPTIONS if each.secret}
"""Keys that name a variable of the environment, with the secret option that it gives."""


@dataclass(frozen=True, slots=True)
class Context:
    """One of them. ``token_file`` holds the bearer token for ``url``.

    ``settings``: what it says about Prometheus, by its keys.
    """

    name: str
    socket: str | None = None
    url: str | None = None
    instance: str | None = None
    token_file: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def prometheus(self) -> str | None:
        """Its address."""
        return self.settings.get("prometheus")

    def told(self) -> dict[str, str]:
        """Every key that it sets, as it may be shown."""
        which = {key: value for key in WHERE if (value := getattr(self, key)) is not None}
        return {key: unsecret(value) for key, value in {**which, **self.settings}.items()}

    def options(self, environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
        """What it sets of PrometheusConfig. Raises ConfigError for a variable that is not set."""
        found: dict[str, Any] = {}
        for key, value in self.settings.items():
            if key not in _VARIABLES:
                found[key] = value
                continue
            if not environment.get(value):
                raise ConfigError(
                    f"context {self.name} takes {_VARIABLES[key]} from ${value}, which is not set",
                    hint=f"`export {value}=...`, or give [contexts.{self.name}] {_VARIABLES[key]}_file",
                )
            found[_VARIABLES[key]] = environment[value]
        return found

    @property
    def leads_to(self) -> str:
        """Where its service is, for people."""
        return self.url or self.socket or self.instance or "the only one that runs here"

    def path(self, key: str) -> Path | None:
        """A file that the context names, ``~`` for home."""
        value = getattr(self, key)
        return None if value is None else Path(value).expanduser()


WHERE = (*_WHICH, "token_file")
"""Keys about the service; all others are about its Prometheus."""
KEYS = (*WHERE, *(each.name for each in _OPTIONS if not each.secret), *_VARIABLES)


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
            if key in _VARIABLES.values():
                raise ConfigError(
                    f"{where} sets {key}: a secret has no place in it",
                    hint=f"give {key}_file, or {key}_variable, which names one of the environment's",
                )
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
    service = {key: value for key, value in table.items() if key in WHERE}
    settings = {key: value for key, value in table.items() if key not in WHERE}
    return Context(name, **service, settings=settings)
