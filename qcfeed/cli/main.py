"""The console script: the table of commands and the global options. failures.py reports errors."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from typer._click import Command, Context, HelpFormatter
from typer._click.core import ParameterSource
from typer._click.exceptions import NoSuchOption
from typer.core import TyperGroup
from typer.main import get_command

from qcfeed import __version__
from qcfeed.cli import current_context, failures, target, usage_errors
from qcfeed.cli.context import DEFAULT_TIMEOUT, Options, new_app
from qcfeed.cli.lazy import LazyGroup
from qcfeed.cli.target import PROGRAM
from qcfeed.cli.ui.watching import with_intervals
from qcfeed.errors import ExitStatus
from qcfeed.streams import repair

GROUPS: Mapping[str, Mapping[str, str]] = {
    "On call": {
        "diagnose": "Find what is wrong: the cause, its symptoms",
        "top": "Show a live full-screen view of a service",
        "status": "Show the state of a service on one screen.",
        "alerts": "List firing and pending alerts, and what to do about each.",
        "runbook": "List the runbooks, show one, or run one step by step.",
        "explain": "Explain a finding, an alert, a metric, an option",
        "report": "Write an incident report, or a bundle of all the evidence",
    },
    "Look closer": {
        "tasks": "List live tasks, oldest first, or count them by spawn location.",
        "orphans": "List tasks and subscriptions whose owner is gone, or reap them.",
        "growth": "Show how fast memory and tasks grow, the time left",
        "memory": "Show what memory is made of",
        "logs": "Show the last lines of the service's log, or follow it.",
        "audit": "Show who did what to the service",
        "stacks": "Show the stack of every thread, the event loop's first.",
        "feeds": "List feeds, one per symbol, or cancel them.",
        "subscribers": "List subscriber connections, the furthest behind first",
        "watch": "Show live quotes.",
    },
    "Run and rehearse": {
        "serve": "Run the feed service.",
        "feeder": "Publish an upstream's quotes on NATS",
        "workers": "List the processes of serve --workers",
        "attach": "Attach a Python program that is already running",
        "detach": "End what attach began, and leave the program as it was.",
        "drill": "Inject a fault for a limited time, to rehearse an incident.",
        "repro": "Reproduce the incident: clients come and go",
    },
    "Set up": {
        "doctor": "Check the installation, configuration, machine, service",
        "config": "Show, create or check the configuration, or list contexts.",
        "artifacts": "List, print or write Prometheus rules, dashboards",
        "keys": "Add, list or revoke the API keys of subscribers.",
        "mcp": "Serve the commands as tools for an agent",
        "version": "Show the version of this program, and of the service.",
        "completion": "Print the completion script for a shell.",
    },
}
"""Every command by what one is doing, with the beginning of its help that fits a line."""

COMMANDS = {name: text for group in GROUPS.values() for name, text in group.items()}
"""Every command and its short help. Its module is ``qcfeed/cli/<command>.py``, or is in PACKAGES."""

PACKAGES = frozenset({"diagnose", "growth", "keys", "mcp", "memory", "tasks", "top"})
"""Commands with a package of their own: ``qcfeed/cli/<command>/command.py`` has the application."""


HELP_WIDTH = 52
"""Columns that click needs for a help text; on a narrower terminal its width is set here."""
NARROWEST = 30


def module(name: str) -> str:
    """The name of the module with the command's Typer application."""
    return f"qcfeed.cli.{name}.command" if name in PACKAGES else f"qcfeed.cli.{name}"


def load(name: str) -> Command:
    """The command, imported now: listing commands imports none of them."""
    command = get_command(importlib.import_module(module(name)).app)
    command.name = name
    return command


class Program(LazyGroup):
    """The group of all commands."""

    listed = COMMANDS

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Parse the whole command line: the one place where ``--watch`` may have no value."""
        if (columns := shutil.get_terminal_size()[0]) <= HELP_WIDTH:
            ctx.terminal_width = max(NARROWEST, columns)
        if args[:1] == ["help"]:  # as with git and kubectl
            args = [*args[1:], "--help"]
        return super().parse_args(ctx, with_intervals(args))

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """The commands, grouped by what one is doing; without empty lines, to fit a screen."""
        width = max(map(len, COMMANDS))
        formatter.write_paragraph()
        formatter.write("Commands:\n")
        for title, commands in GROUPS.items():
            formatter.write(f"  {title}:\n")
            for name, text in commands.items():
                line = f"    {name:<{width}}  {text.removesuffix('.')}"
                if ctx.terminal_width is not None:  # a narrow terminal
                    import textwrap

                    indent = " " * (width + 6)
                    line = textwrap.fill(line, ctx.terminal_width, subsequent_indent=indent)
                formatter.write(f"{line}\n")

    def load(self, name: str) -> Command:
        return load(name)


_SERVICE_OPTIONS = ("context", "instance", "socket", "url")
"""The options that each name a service."""

app = new_app()


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback(
    cls=Program,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
def _before(
    ctx: typer.Context,
    instance: Annotated[
        str | None,
        typer.Option(
            "-i",
            "--instance",
            envvar="QCFEED_INSTANCE",
            show_envvar=False,
            metavar="INSTANCE",
            help="Service on this machine; for serve, the new one.",
        ),
    ] = None,
    socket: Annotated[
        Path | None,
        typer.Option(
            envvar="QCFEED_SOCKET",
            show_envvar=False,
            metavar="PATH",
            help="Control socket of the service.",
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            envvar="QCFEED_URL",
            show_envvar=False,
            metavar="URL",
            help="Its control plane over TCP: http://127.0.0.1:PORT.",
        ),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(
            min=0.001,
            metavar="SECONDS",
            show_default=False,
            help=f"Seconds to wait for an answer (usually {DEFAULT_TIMEOUT:g}).",
        ),
    ] = DEFAULT_TIMEOUT,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Configuration file (TOML). Default: $QCFEED_CONFIG."),
    ] = None,
    context: Annotated[
        str | None,
        typer.Option(
            "-c",
            "--context",
            envvar="QCFEED_CONTEXT",
            show_envvar=False,
            metavar="CONTEXT",
            help="Remote service by its name in the file.",
        ),
    ] = None,
    cluster: Annotated[
        bool,
        typer.Option(
            "--cluster",
            help="Ask all instances, or all workers of --instance.",
        ),
    ] = False,
    no_pager: Annotated[
        bool, typer.Option("--no-pager", help="Do not show long output in $QCFEED_PAGER or $PAGER.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Print results and errors, but no messages.")
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option("-v", "--verbose", help="Print each request to the service, and its time."),
    ] = False,
    version: Annotated[  # noqa: ARG001 - handled by its callback
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """A market-data feed service whose tasks cannot leak, and the on-call tool that proves it.

    Results go to stdout, messages to stderr. Exit status: 0 healthy or done, 1 findings, 2 usage
    error, 3 unreachable, 4 not allowed, 5 timed out, 6 refused (needs --yes), 70 bug, 130 interrupted.
    """
    if any(_was_given(ctx, name) for name in _SERVICE_OPTIONS):
        # A flag that names a service overrides all variables that do, not only its own.
        instance = instance if _was_given(ctx, "instance") else None
        socket = socket if _was_given(ctx, "socket") else None
        url = url if _was_given(ctx, "url") else None
        context = context if _was_given(ctx, "context") else None
    none_named = not (context or instance or socket or url or cluster)
    current = current_context.named(config) if none_named else None
    named = {"context": context, "instance": instance, "socket": socket, "url": url}
    target.name_service(
        # The current context too: a suggested command means the same service, whatever is current then.
        [
            *((f"--{name}", value) for name, value in named.items() if _was_given(ctx, name)),
            *([("--context", current)] if current else []),
        ],
        config,
        quiet=quiet,
    )
    ctx.obj = Options(
        instance=instance,
        socket=socket,
        url=url,
        timeout=timeout,
        config=config,
        context=context,
        current_context=current,
        cluster=cluster,
        no_pager=no_pager,
        verbose=verbose,
    )


def _was_given(ctx: typer.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE


def build() -> TyperGroup:
    """The command group: ``run`` invokes it, and the reference documentation is generated from it."""
    group = get_command(app)
    if not isinstance(group, TyperGroup):
        raise TypeError(group)
    return group


def run() -> None:
    """Run the command of ``sys.argv``. Raises SystemExit with an errors.ExitStatus."""
    repair()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    with target.command_line():
        status = _status(sys.argv[1:])
    sys.exit(status)


def _status(args: list[str]) -> int:
    try:
        _call(args)
    except typer.Exit as leaving:
        return leaving.exit_code
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - anything unexpected is reported as a bug
        return failures.report(error, args)
    return ExitStatus.OK


def _call(args: list[str]) -> None:
    """Run the command. Global options may also follow it, as with kubectl and gh."""
    group = build()
    try:
        with group.make_context(PROGRAM, args) as ctx:
            group.invoke(ctx)
    except NoSuchOption as error:  # nothing has run: options are parsed first
        moved = usage_errors.in_front(args, error, group)
        if moved is None:
            raise
        _call(moved)
