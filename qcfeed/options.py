"""What an option is: declared as a dataclass field, and known by its three spellings."""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import re
import stat
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qcfeed.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def declare(
    default: Any,
    help: str,  # noqa: A002
    *,
    least: float | None = None,
    most: float | None = None,
    choices: tuple[str, ...] = (),
    metavar: str | None = None,
    secret: bool = False,
) -> Any:
    """One option, as a dataclass field. ``metavar``: what kind of value it is, where its type does not say. ``secret``: has no flag,
    since everybody can read a command line, and is not shown."""
    facts = {"help": help, "least": least, "most": most, "choices": choices}
    facts |= {"metavar": metavar, "secret": secret}
    return field(default=default, repr=not secret, metadata=facts)


@dataclass(frozen=True, slots=True)
class Option:
    """One declared option and its three spellings."""

    name: str
    type: type
    optional: bool
    default: Any
    help: str
    least: float | None
    most: float | None
    choices: tuple[str, ...]
    metavar: str | None
    secret: bool

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return "QCFEED_" + self.name.upper()


def options_of(group: type[DataclassInstance]) -> list[Option]:
    """The options of a dataclass of them, in the order of their declaration."""
    hints = typing.get_type_hints(group)
    return [_describe(item, hints[item.name]) for item in dataclasses.fields(group)]


def _describe(item: dataclasses.Field[Any], hint: Any) -> Option:
    optional = isinstance(hint, types.UnionType)
    kind = hint.__args__[0] if optional else hint
    return Option(
        item.name,
        kind,
        optional,
        item.default,
        item.metadata["help"],
        item.metadata["least"],
        item.metadata["most"],
        item.metadata["choices"],
        item.metadata["metavar"],
        item.metadata["secret"],
    )


def check(config: DataclassInstance) -> None:
    """Raises ConfigError for a value out of its option's bounds."""
    for option in options_of(type(config)):
        least = option.least
        value = getattr(config, option.name)
        if value is None:
            continue
        if least is not None and value < least:
            raise ConfigError(
                f"{option.flag} is {value}, but the least that makes sense is {least:g}"
            )
        if option.choices and value not in option.choices:
            raise ConfigError(
                f"{option.flag} is {value!r}, which is none of {', '.join(option.choices)}"
            )
        if option.most is not None and value > option.most:
            raise ConfigError(
                f"{option.flag} is {value}, but the most that makes sense is {option.most:g}"
            )


def convert(known: Mapping[str, Option], name: str, value: Any, source: str) -> Any:
    """``value`` in its option's type. Raises ConfigError, naming ``source``."""
    option = known.get(name)
    if option is None:
        close = difflib.get_close_matches(name, known, n=1)
        raise ConfigError(
            f"{source} sets {name!r}, which is no option",
            hint=f"did you mean {close[0]!r}?" if close else "see `qcfeed serve --help`",
        )
    try:
        return _parse(option.type, value)
    except (TypeError, ValueError) as error:
        shown = "something" if option.secret else repr(value)
        raise ConfigError(
            f"{source} sets {name} to {shown}, which is not {_KINDS[option.type]}"
        ) from error


_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
_BOOLEANS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def _parse(kind: type, value: Any) -> Any:
    value = _typed(kind, value)
    if kind is float and not math.isfinite(value):
        raise ValueError(value)
    return value


def _typed(kind: type, value: Any) -> Any:
    if isinstance(value, str):
        if kind is bool:
            if value.lower() not in _BOOLEANS:
                raise ValueError(value)
            return _BOOLEANS[value.lower()]
        return kind(value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise TypeError(value)
    return value


def read_secret(file: str, said_by: str) -> str:
    """The one line that ``file`` holds. ``said_by``: the flag or key that names it.

    Raises ConfigError when it cannot be read, or everybody on this machine can read it.
    """
    path = Path(file).expanduser()
    try:
        with path.open(encoding="utf-8") as stream:
            mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
            secret = stream.read(_LONGEST_SECRET).strip()
    except OSError as error:
        raise ConfigError(f"{said_by}: cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{said_by}: cannot read {file}: {error}") from error
    if mode & stat.S_IROTH:
        raise ConfigError(
            f"{said_by}: everybody on this machine can read {file} (mode {mode:o})",
            hint=f"`chmod o-rwx {path}`; if it lay open, have the secret replaced",
        )
    if not secret.isprintable() or not secret:
        raise ConfigError(f"{said_by}: {file} does not hold one line of text")
    return secret


_LONGEST_SECRET = 65_536


def unsecret(value: Any) -> Any:
    """``value`` as it may be shown: what a URL carries for its server alone is starred."""
    return _SECRETS.sub(r"\1***\2", value) if isinstance(value, str) else value


_SECRETS = re.compile(
    r"((?<=://)|[?&][^=&\s]*(?:token|key|secret|password)[^=&\s]*=)"
    r"(?:(?<=//)[^/@\s]+(@)|(?<==)[^&\s]+())",
    re.IGNORECASE,
)
