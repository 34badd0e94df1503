"""Adds a flag for each declared option to a command."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from typing import Any, get_type_hints

import typer

from qcfeed.config.option import Option

METAVARS = {int: "N", float: "NUMBER", str: "TEXT"}


def with_flags(
    function: Callable[..., None], declared: Sequence[Option], hidden: Collection[Option] = ()
) -> Callable[..., None]:
    """``function`` with its ``**flags`` parameter replaced by one flag per option, for Typer to read.

    A flag that was not given is None. Secret options get no flag: any user can read a command line.
    ``hidden``: of the declared ones, those that the command's help does not show, because they are
    documented elsewhere.
    """
    hints = get_type_hints(function, include_extras=True)
    own = [
        parameter.replace(annotation=hints[name])
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    parameters = [
        *own,
        *(_parameter(each, hidden=each in hidden) for each in declared if not each.secret),
    ]
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    function.__annotations__ = {each.name: each.annotation for each in parameters}
    return function


def _parameter(option: Option, *, hidden: bool) -> inspect.Parameter:
    flag = f"{option.flag}/--no-{option.flag[2:]}" if option.type is bool else option.flag
    metavar = option.metavar or METAVARS.get(option.type)
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=typer.Option(None, flag, metavar=metavar, help=described(option), hidden=hidden),
        annotation=option.type | None,
    )


def described(option: Option) -> str:
    """The help text with the default and the environment variable.

    Typer is not told of the variable: it would read it, and config/loading.py could not see the origin.
    """
    default = option.default
    if isinstance(default, bool):
        default = option.flag[2:] if default else f"no-{option.flag[2:]}"
    shown = "" if default is None else f"default: {default}; "
    return f"{option.help}  [{shown}${option.variable}]"


def given(flags: dict[str, Any]) -> dict[str, Any]:
    """The flags that were given, without the others."""
    return {name: value for name, value in flags.items() if value is not None}
