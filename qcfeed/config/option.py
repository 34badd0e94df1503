"""Options: declared as dataclass fields, converted from text, checked against their bounds."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qcfeed.errors import ConfigError
from qcfeed.formats import clipped

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
    """A dataclass field that declares an option.

    ``metavar`` names the kind of value in help, if the type does not say it (URL, FILE). ``secret``:
    the option has no flag, because any user can read a command line, and its value is never shown.
    """
    metadata = {"help": help, "least": least, "most": most, "choices": choices}
    metadata |= {"metavar": metavar, "secret": secret}
    return field(default=default, repr=not secret, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Option:
    """A declared option. ``name`` is its key in the file; ``flag`` and ``variable`` derive from it."""

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
    """The options that a dataclass declares, in that order."""
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
    """Raise ConfigError if a value is outside its option's bounds or choices."""
    for option in options_of(type(config)):
        least = option.least
        value = getattr(config, option.name)
        if value is None:
            continue
        if least is not None and value < least:
            raise ConfigError(f"{option.flag} is {value}, but must be at least {least:g}")
        if option.choices and value not in option.choices:
            raise ConfigError(
                f"{option.flag} is {value!r}, but must be one of {', '.join(option.choices)}"
            )
        if option.most is not None and value > option.most:
            raise ConfigError(f"{option.flag} is {value}, but must be at most {option.most:g}")


def convert(known: Mapping[str, Option], name: str, value: Any, source: str) -> Any:
    """``value`` converted to the type of the option ``name``.

    Raises ConfigError, naming ``source``, if there is no such option or the value does not convert.
    """
    option = known.get(name)
    if option is None:
        close = difflib.get_close_matches(name[:_MAX_SHOWN], known, n=1)
        raise ConfigError(
            f"{source} sets {clipped(repr(name))}, which is not an option",
            hint=f"did you mean {close[0]!r}?" if close else "see `qcfeed serve --help`",
        )
    try:
        return _parse(option.type, value)
    except (TypeError, ValueError, OverflowError) as error:
        shown = "something" if option.secret else _shown(value)
        raise ConfigError(
            f"{source} sets {name} to {shown}, which is not {_KINDS[option.type]}"
        ) from error


def toml(value: Any) -> str:
    """A scalar in TOML syntax."""
    if not isinstance(value, str | bool):
        return repr(value)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
_BOOLEANS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def _parse(kind: type, value: Any) -> Any:
    value = _typed(kind, value)
    if kind is int and value.bit_length() > _MAX_BITS:
        raise ValueError(kind)
    if kind is float and not math.isfinite(value):
        raise ValueError(value)
    return value


def _shown(value: Any) -> str:
    """``value`` for an error message. Python refuses to write very long integers."""
    if isinstance(value, int) and value.bit_length() > _MAX_BITS:
        return "a number of too many digits"
    return clipped(repr(value))


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


_MAX_BITS = 63
_MAX_SHOWN = 100
"""Characters of a wrong name that are compared with the right ones."""
