"""``qcfeed serve``: runs the service. Its flags are those of config.options()."""

from __future__ import annotations

from typing import Any

import typer
from typer._click.core import ParameterSource

from qcfeed import config, config_loading
from qcfeed.cli.context import examples, new_app, options
from qcfeed.cli.flags import given, with_flags
from qcfeed.errors import UsageError
from qcfeed.supported import require_supported_interpreter

_GLOBAL = "instance"
"""The option of Config that is a global option, so serve has no flag for it."""

app = new_app()


def serve(ctx: typer.Context, **flags: Any) -> None:
    """Run the feed service.

    Serves quotes over WebSocket at /quotes/SYMBOL and /stream, /livez, /readyz and /metrics over
    HTTP, and a control plane for the other commands.

    Option values, in increasing precedence: default, configuration file, environment variable,
    flag. The file is --config (before the command), $QCFEED_CONFIG, or qcfeed/config.toml in
    $XDG_CONFIG_HOME.

    Ctrl-C or SIGTERM shuts down gracefully: subscribers are told to reconnect and every task is
    joined. A second signal exits at once.

    Exit status: 0 after a clean shutdown; 1 if tasks were left over or the ledger is incomplete;
    2 for an invalid option; 3 if the service cannot start; 5 if the shutdown took longer than
    --drain-timeout.
    """
    require_supported_interpreter()
    settings = given(flags)
    global_options = options(ctx)
    if global_options.context is not None:
        raise UsageError(
            f"--context {global_options.context} names a running service; serve starts a new one",
            hint="omit --context, or unset QCFEED_CONTEXT",
        )
    if ctx.find_root().get_parameter_source(_GLOBAL) is ParameterSource.COMMANDLINE:
        settings[_GLOBAL] = global_options.instance
    loaded = config_loading.load(settings, file=global_options.config)
    from qcfeed.service.run import serve as run_service

    raise typer.Exit(run_service(loaded.config))


app.command(
    epilog=examples(
        "qcfeed serve",
        "qcfeed serve --port 0 --upstream 'sim:?rate=10'",
        "qcfeed --instance drill serve --drill zombie-feeds=47829",
    )
)(with_flags(serve, [each for each in config.options() if each.name != _GLOBAL]))
