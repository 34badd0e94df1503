"""Loads the values of the options from the configuration file, the environment and flags.

Precedence, lowest first: default, file, environment, flag. Loaded.origins records where each value came
from.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from qcfeed import files
from qcfeed.config import Config, all_options, options
from qcfeed.config.option import Option, convert
from qcfeed.errors import ConfigError
from qcfeed.formats import clipped

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Group = TypeVar("Group", bound="DataclassInstance")

DEFAULT = "default"
"""The origin of a value that no source sets."""
CONTEXTS = "contexts"
"""The table of the configuration file that declares remote services (contexts.py), not options."""
CURRENT_CONTEXT = "current_context"
"""The key of the configuration file that names the context for commands that name no service; no option."""

_MAX_BYTES = 65_536
"""The most bytes of a configuration file."""


@dataclass(frozen=True, slots=True)
class Loaded(Generic[Group]):
    """A configuration, and where each value came from: ``default``, a path, ``$VARIABLE`` or a flag."""

    config: Group
    origins: Mapping[str, str]


def load(
    flags: Mapping[str, Any],
    *,
    environment: Mapping[str, str] = os.environ,
    file: Path | None = None,
) -> Loaded[Config]:
    """Load the service's configuration, as ``load_group`` does."""
    return load_group(Config, flags, environment=environment, file=file)


def load_group(
    group: type[Group],
    flags: Mapping[str, Any],
    *,
    environment: Mapping[str, str] = os.environ,
    file: Path | None = None,
) -> Loaded[Group]:
    """Load the options of ``group`` from all sources; ``flags`` holds only flags that were given.

    The file is ``file``, else ``$QCFEED_CONFIG``, else ``$XDG_CONFIG_HOME/qcfeed/config.toml`` if that
    exists. Raises ConfigError naming the key and its source; a bad key of another group counts too.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    known = {option.name: option for option in all_options()}
    in_group = {option.name for option in options(group)}
    for source, settings in (
        *_from_file(file, environment),
        *_from_environment(environment, known),
        *((known[name].flag, {name: value}) for name, value in flags.items()),
    ):
        for name, value in settings.items():
            converted = convert(known, name, value, source)
            if name in in_group:
                values[name] = converted
                origins[name] = source
    return Loaded(group(**values), {name: origins.get(name, DEFAULT) for name in in_group})


def faults(
    group: type[Group], *, environment: Mapping[str, str] = os.environ, file: Path | None = None
) -> list[ConfigError]:
    """Every error for which ``load_group`` without flags could fail, not only the first."""
    known = {option.name: option for option in all_options()}
    in_group = {option.name for option in options(group)}
    found: list[ConfigError] = []
    values: dict[str, Any] = {}
    try:
        from_file = _from_file(file, environment)
    except ConfigError as error:
        return [error]
    for source, settings in (*from_file, *_from_environment(environment, known)):
        for name, value in settings.items():
            try:
                converted = convert(known, name, value, source)
            except ConfigError as error:
                found.append(error)
            else:
                values |= {name: converted} if name in in_group else {}
    return found + _faults_of_values(group, values)


def _faults_of_values(group: type[Group], values: Mapping[str, Any]) -> list[ConfigError]:
    """The errors of values that have the right type: each is left out once it has been found faulty."""
    found: list[ConfigError] = []
    left = dict(values)
    while True:
        try:
            group(**left)
        except ConfigError as error:
            found.append(error)
            named = [name for name in left if _flag_of(name) in error.message.split()]
            if not named:  # it concerns several options, or one that has its default
                return found
            del left[named[0]]
        else:
            return found


def _flag_of(name: str) -> str:
    return "--" + name.replace("_", "-")


def default_file(environment: Mapping[str, str]) -> Path:
    """The path of the configuration file when none is named.

    Raises ConfigError for a user without a home directory.
    """
    home = environment.get("XDG_CONFIG_HOME") or Path(environment.get("HOME") or "~") / ".config"
    try:
        return files.expand(home) / "qcfeed" / "config.toml"
    except OSError as error:
        raise ConfigError(
            "this user has no home directory, where the configuration file would be",
            hint="set HOME or XDG_CONFIG_HOME, or name a file with --config",
        ) from error


def read_file(
    file: Path | None, environment: Mapping[str, str] = os.environ
) -> tuple[Path, dict[str, Any]] | None:
    """The path and content of the configuration file; None if none is named and the default is absent.

    Raises ConfigError if a named file is missing, or a file cannot be read or is not TOML.
    """
    is_default = not (file or environment.get("QCFEED_CONFIG"))
    try:
        path = file_in_use(file, environment)
    except ConfigError:
        return None  # without a home directory there is no default file
    try:
        return path, tomllib.loads(files.read(path, _MAX_BYTES)[0].decode())
    except FileNotFoundError as error:
        if is_default:
            return None
        raise ConfigError(
            f"configuration file {path} does not exist",
            hint=f"check --config or $QCFEED_CONFIG; `qcfeed config init {path}` creates it",
        ) from error
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # ValueError: TOML, UTF-8, numbers too long
        raise ConfigError(f"{path} is not valid TOML: {clipped(error)}") from error


def file_in_use(file: Path | None, environment: Mapping[str, str] = os.environ) -> Path:
    """The path that is read, whether it exists or not: the file named, else the default one."""
    named = environment.get("QCFEED_CONFIG")
    return file or (Path(named) if named else default_file(environment))


_NO_OPTIONS = frozenset((CONTEXTS, CURRENT_CONTEXT))


def _from_file(
    file: Path | None, environment: Mapping[str, str]
) -> list[tuple[str, Mapping[str, Any]]]:
    found = read_file(file, environment)
    if found is None:
        return []
    path, content = found
    return [(str(path), {key: value for key, value in content.items() if key not in _NO_OPTIONS})]


def _from_environment(
    environment: Mapping[str, str], known: Mapping[str, Option]
) -> list[tuple[str, Mapping[str, Any]]]:
    return [
        (f"${option.variable}", {option.name: environment[option.variable]})
        for option in known.values()
        if option.variable in environment
    ]
