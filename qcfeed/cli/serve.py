"""``qcfeed serve``: the only command that reaches the service; its flags are config.options()."""

from __future__ import annotations

from typing import Any

import typer
from typer._click.core import ParameterSource

from qcfeed import config
from qcfeed.cli.context import examples, new_app, options
from qcfeed.cli.flags import given, with_flags
from qcfeed.errors import UsageError
from qcfeed.supported import require_supported_interpreter

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
    require_supported_interpreter()
    chosen = given(flags)
    before = options(ctx)
    if before.context is not None:
        raise UsageError(
            f"--context {before.context} is a service that runs; serve starts one",
            hint="leave --context away, or unset QCFEED_CONTEXT",
        )
    if ctx.find_root().get_parameter_source(_GLOBAL) is ParameterSource.COMMANDLINE:
        chosen[_GLOBAL] = before.instance
    loaded = config.load(chosen, file=before.config)
    from qcfeed.service.run import serve as run_service

    raise typer.Exit(run_service(loaded.config))


app.command(
    epilog=examples(
        "qcfeed serve",
        "qcfeed serve --port 0 --upstream 'sim:?rate=10'",
        "qcfeed --instance drill serve --drill zombie-feeds=47829",
    )
)(with_flags(serve, [each for each in config.options() if each.name != _GLOBAL]))
