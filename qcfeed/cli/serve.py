"""``qcfeed serve``: the only command that reaches the service; its flags are config.options()."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import typer
from typer._click.core import ParameterSource

from qcfeed import config
from qcfeed.cli.context import examples, new_app, options
from qcfeed.errors import UsageError

_METAVARS = {int: "N", float: "NUMBER", str: "TEXT"}
_GLOBAL = "instance"
"""The option that is given before the command."""

app = new_app()


def serve(ctx: typer.Context, **flags: Any) -> None:
    """Run the feed service.

    Quotes over WebSocket at /quotes/SYMBOL and /stream, /livez, /readyz and /metrics beside them,
    and a control plane for the other commands. Options come from, the later winning: their
    default, the configuration file (--config before the command, $QCFEED_CONFIG, or
    qcfeed/config.toml under $XDG_CONFIG_HOME), the environment, the flag.

    Ctrl-C or SIGTERM drains: subscribers are told, every task is joined; a second one ends at once.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    before = options(ctx)
    if before.context is not None:
        raise UsageError(
            f"--context {before.context} is a service that runs; serve starts one",
            hint="leave --context away, or unset QCFEED_CONTEXT",
        )
    if ctx.find_root().get_parameter_source(_GLOBAL) is ParameterSource.COMMANDLINE:
        given[_GLOBAL] = before.instance
    loaded = config.load(given, file=before.config)
    from qcfeed.service.run import serve as run_service

    raise typer.Exit(run_service(loaded.config))


def _parameter(option: config.Option) -> inspect.Parameter:
    flag = f"{option.flag}/--no-{option.flag[2:]}" if option.type is bool else option.flag
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=typer.Option(None, flag, metavar=_METAVARS.get(option.type), help=_help(option)),
        annotation=option.type | None,
    )


def _help(option: config.Option) -> str:
    """Its help, its default and its variable: ours, as Typer would read the variable itself."""
    default = option.default
    if isinstance(default, bool):
        default = option.flag[2:] if default else f"no-{option.flag[2:]}"
    shown = "" if default is None else f"default: {default}; "
    return f"{option.help}  [{shown}${option.variable}]"


def _with_flags(function: Callable[..., None]) -> Callable[..., None]:
    """``function`` with a signature that Typer can read: the context, and a flag an option."""
    ctx = inspect.Parameter(
        "ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
    )
    flags = [_parameter(option) for option in config.options() if option.name != _GLOBAL]
    function.__signature__ = inspect.Signature([ctx, *flags])  # type: ignore[attr-defined]
    function.__annotations__ = {p.name: p.annotation for p in (ctx, *flags)}
    return function


app.command(
    epilog=examples(
        "qcfeed serve",
        "qcfeed serve --port 0 --upstream 'sim:?rate=10'",
        "qcfeed --instance drill serve --drill zombie-feeds=47829",
    )
)(_with_flags(serve))
