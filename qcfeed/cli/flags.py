"""A flag for each declared option (config.py), on the commands that take them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, get_type_hints

import typer

from qcfeed.options import Option

_METAVARS = {int: "N", float: "NUMBER", str: "TEXT"}


def with_flags(function: Callable[..., None], declared: Sequence[Option]) -> Callable[..., None]:
    """``function`` with a signature that Typer can read: its ``**`` becomes a flag an option.

    A flag that was not given is None. Secret options have none.
    """
    hints = get_type_hints(function, include_extras=True)
    own = [
        parameter.replace(annotation=hints[name])
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    every = [*own, *(_parameter(option) for option in declared if not option.secret)]
    function.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
    function.__annotations__ = {each.name: each.annotation for each in every}
    return function


def _parameter(option: Option) -> inspect.Parameter:
    flag = f"{option.flag}/--no-{option.flag[2:]}" if option.type is bool else option.flag
    metavar = option.metavar or _METAVARS.get(option.type)
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=typer.Option(None, flag, metavar=metavar, help=_help(option)),
        annotation=option.type | None,
    )


def _help(option: Option) -> str:
    """Its help, its default and its variable: ours, as Typer would read the variable itself."""
    default = option.default
    if isinstance(default, bool):
        default = option.flag[2:] if default else f"no-{option.flag[2:]}"
    shown = "" if default is None else f"default: {default}; "
    return f"{option.help}  [{shown}${option.variable}]"


def given(flags: dict[str, Any]) -> dict[str, Any]:
    """The flags that were given."""
    return {name: value for name, value in flags.items() if value is not None}
