"""``qcfeed serve``: runs the service. Its flags are those of config.options()."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import typer
from typer._click.core import ParameterSource

from qcfeed import config
from qcfeed.cli.context import examples, new_app, options
from qcfeed.cli.flags import given, with_flags
from qcfeed.config import Config, NatsConfig, loading
from qcfeed.config.option import Option
from qcfeed.errors import UsageError
from qcfeed.supported import require_supported_interpreter

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

GLOBAL = "instance"
"""The option of Config that is a global option, so serve has no flag for it."""

app = new_app()


def declared(*groups: type[DataclassInstance]) -> list[Option]:
    """The options of these groups that are flags of the command itself."""
    return [each for group in groups for each in config.options(group) if each.name != GLOBAL]


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
    settings = service_settings(ctx, flags, "serve")
    service = settings(Config).config
    if service.workers:
        from qcfeed.workers.run import serve as run_workers

        raise typer.Exit(run_workers(service, settings(NatsConfig).config))
    from qcfeed.service.run import serve as run_service

    raise typer.Exit(run_service(service, settings(NatsConfig).config))


class Settings(Protocol):
    """Loads a group of options, from all sources."""

    def __call__(self, group: type[loading.Group]) -> loading.Loaded[loading.Group]: ...


def service_settings(ctx: typer.Context, flags: dict[str, Any], command: str) -> Settings:
    """What loads the options for a command that starts a service. Raises UsageError or ConfigError."""
    require_supported_interpreter()
    chosen = given(flags)
    global_options = options(ctx)
    if global_options.context is not None:
        raise UsageError(
            f"--context {global_options.context} names a running service; {command} starts a new one",
            hint="omit --context, or unset QCFEED_CONTEXT",
        )
    if ctx.find_root().get_parameter_source(GLOBAL) is ParameterSource.COMMANDLINE:
        chosen[GLOBAL] = global_options.instance

    def load(
        group: type[loading.Group],
    ) -> loading.Loaded[loading.Group]:
        return loading.load_group(group, chosen, file=global_options.config)

    return load


app.command(
    epilog=examples(
        "qcfeed serve",
        "qcfeed serve --port 0 --upstream 'sim:?rate=10'",
        "qcfeed serve --workers 4 --upstream coinbase:",
        "qcfeed --instance drill serve --drill zombie-feeds=47829",
        "qcfeed serve --upstream nats://127.0.0.1:4222",
    )
)(with_flags(serve, declared(Config, NatsConfig)))
