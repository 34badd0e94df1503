"""Contexts: remote services by name, declared as ``[contexts.NAME]`` in the configuration file.

    [contexts.prod]
    url = "http://127.0.0.1:18007"           # the local end of `ssh -L 18007:127.0.0.1:8007 prod`
    token_file = "~/.config/qcfeed/prod.token"
    prometheus = "https://prometheus.prod:9090"
    prometheus_token_file = "~/.config/qcfeed/prod.prometheus"   # or prometheus_token_variable = "PROM_TOKEN"

A context names a service with one of ``socket``, ``url`` and ``instance`` (with none, it means the
only service on this machine) and may set the options for Prometheus (prometheus.py). It never contains a
secret itself: it names a file or an environment variable that does.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qcfeed import config, files
from qcfeed.config import loading
from qcfeed.config.credentials import unsecret
from qcfeed.errors import ConfigError, not_found
from qcfeed.formats import clipped

_LOCATIONS = ("socket", "url", "instance")
"""The keys that each say where the service is."""
_OPTIONS = [each for each in config.options(config.PrometheusConfig) if each.type is str]
_VARIABLES = {f"{each.name}_variable": each.name for each in _OPTIONS if each.secret}
"""The keys that name an environment variable, each with the secret option that it supplies."""


@dataclass(frozen=True, slots=True)
class Context:
    """A named service. ``token_file`` is the file with the bearer token for ``url``.

    ``settings``: its keys about Prometheus.
    """

    name: str
    socket: str | None = None
    url: str | None = None
    instance: str | None = None
    token_file: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def prometheus(self) -> str | None:
        """The URL of its Prometheus."""
        return self.settings.get("prometheus")

    def public_settings(self) -> dict[str, str]:
        """Every key that it sets, with secrets in URLs masked."""
        service = {key: value for key in SERVICE_KEYS if (value := getattr(self, key)) is not None}
        return {key: unsecret(value) for key, value in {**service, **self.settings}.items()}

    def options(self, environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
        """The options of PrometheusConfig that it sets. Raises ConfigError if a variable is unset."""
        found: dict[str, Any] = {}
        for key, value in self.settings.items():
            if key not in _VARIABLES:
                found[key] = value
                continue
            if not environment.get(value):
                raise ConfigError(
                    f"context {self.name} takes {_VARIABLES[key]} from ${value}, which is not set",
                    hint=f"`export {value}=...`, or set {_VARIABLES[key]}_file in [contexts.{self.name}]",
                )
            found[_VARIABLES[key]] = environment[value]
        return found

    @property
    def service(self) -> str:
        """The service that it names, for people."""
        return self.url or self.socket or self.instance or "the only service on this machine"

    def path(self, key: str) -> Path | None:
        """The path of the file under ``key``, with ``~`` expanded. Raises ConfigError without a home."""
        value = getattr(self, key)
        try:
            return None if value is None else files.expand(value)
        except OSError as error:
            raise ConfigError(f"context {self.name}: {key} is {value}: {error.strerror}") from error


SERVICE_KEYS = (*_LOCATIONS, "token_file")
"""Keys about the service; all others are about its Prometheus."""
KEYS = (*SERVICE_KEYS, *(each.name for each in _OPTIONS if not each.secret), *_VARIABLES)


def read(
    *, environment: Mapping[str, str] = os.environ, file: Path | None = None
) -> dict[str, Context]:
    """The contexts of the configuration file, which is found as in loading.load.

    Raises ConfigError for a context that is invalid.
    """
    path, tables = _tables(file, environment)
    return {name: _context(path, name, table) for name, table in tables.items()}


def read_all(
    *, environment: Mapping[str, str] = os.environ, file: Path | None = None
) -> tuple[list[Context], list[ConfigError]]:
    """The valid contexts of the configuration file, and an error for each of the others."""
    valid: list[Context] = []
    errors: list[ConfigError] = []
    try:
        path, tables = _tables(file, environment)
    except ConfigError as error:
        return [], [error]
    for name, table in tables.items():
        try:
            valid.append(_context(path, name, table))
        except ConfigError as error:
            errors.append(error)
    return valid, errors


def _tables(file: Path | None, environment: Mapping[str, str]) -> tuple[Path, dict[str, Any]]:
    """The path of the configuration file, and its tables of contexts."""
    found = loading.read_file(file, environment)
    if found is None:
        return Path(), {}
    path, content = found
    tables = content.get(loading.CONTEXTS, {})
    if not isinstance(tables, dict):
        raise ConfigError(f"{path}: contexts is not a table", hint="write [contexts.NAME]")
    return path, tables


def current(*, environment: Mapping[str, str] = os.environ, file: Path | None = None) -> str | None:
    """The name of the context that commands use if they name no service; None if the file sets none.

    Raises ConfigError if it is not text. Whether the context exists is for ``find`` to say.
    """
    found = loading.read_file(file, environment)
    name = None if found is None else found[1].get(loading.CURRENT_CONTEXT)
    if found is not None and name is not None and (not isinstance(name, str) or not name):
        raise ConfigError(
            f"{found[0]} sets {loading.CURRENT_CONTEXT} to {clipped(repr(name))}, which is no name",
            hint="`qcfeed config use-context NAME` sets it, `--unset` removes it",
        )
    return name


def find(
    name: str, *, environment: Mapping[str, str] = os.environ, file: Path | None = None
) -> Context:
    """The context ``name``. Raises NotFoundError that lists those that exist, and as ``read`` does."""
    known = read(environment=environment, file=file)
    if name in known:
        return known[name]
    path = loading.file_in_use(file, environment)
    if not known:
        raise not_found(
            "context",
            repr(name),
            where=f": {path} declares no contexts",
            hint="`qcfeed config init` writes a file that shows how to declare one",
        )
    raise not_found(
        "context",
        repr(name),
        where=f" in {path}; it declares {', '.join(sorted(known))}",
        hint="`qcfeed config contexts` lists them",
        known=known,
    )


def _context(path: Path, name: str, table: Any) -> Context:
    where = f"{path}: [contexts.{name}]"
    if not isinstance(table, dict):
        raise ConfigError(f"{where} is not a table", hint=f"its keys are {', '.join(KEYS)}")
    for key, value in table.items():
        if key not in KEYS:
            if key in _VARIABLES.values():
                raise ConfigError(
                    f"{where} sets {key}: secrets do not belong in a context",
                    hint=f"set {key}_file, or {key}_variable to the name of an environment variable",
                )
            close = difflib.get_close_matches(key[:100], KEYS, n=1)
            raise ConfigError(
                f"{where} sets {clipped(repr(key))}, which is not a key of a context",
                hint=f"did you mean {close[0]!r}?" if close else f"the keys are {', '.join(KEYS)}",
            )
        if not isinstance(value, str) or not value:
            raise ConfigError(f"{where} sets {key} to {clipped(repr(value))}, which is not text")
    if len(given := [key for key in _LOCATIONS if key in table]) > 1:
        raise ConfigError(
            f"{where} sets {' and '.join(given)}, which each say where the service is",
            hint="set only one of them",
        )
    service = {key: value for key, value in table.items() if key in SERVICE_KEYS}
    settings = {key: value for key, value in table.items() if key not in SERVICE_KEYS}
    return Context(name, **service, settings=settings)
