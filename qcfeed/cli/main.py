"""The console script: the table of commands, the options before them, and how errors are told."""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer
from typer._click import Command, Context
from typer._click.core import ParameterSource
from typer._click.exceptions import ClickException, NoArgsIsHelpError, NoSuchOption, UsageError
from typer.core import TyperGroup
from typer.main import get_command

from qcfeed import __version__
from qcfeed.cli.context import DEFAULT_TIMEOUT, Options, new_app, say
from qcfeed.cli.lazy import LazyGroup
from qcfeed.cli.ui.render import discard
from qcfeed.errors import ExitStatus, QcfeedError

PROGRAM = "qcfeed"
TRACEBACK_FRAMES = 8

COMMANDS = {
    "serve": "Run the feed service.",
    "status": "Show one service on one screen.",
    "diagnose": "Say what is wrong, the cause before its symptoms, and what to type next.",
    "top": "Show the service on a full screen, live, with keys to look closer and to act.",
    "report": "Keep the evidence, before a restart destroys it: an incident report, and a bundle of"
    " all answers.",
    "tasks": "List live tasks, oldest first, or count them by spawn location.",
    "growth": "Tell how fast memory and tasks grow, how long is left, and which lines grow.",
    "alerts": "List the alerts that fire or are pending, and what to do about each.",
    "orphans": "List tasks and subscriptions whose owner is gone, or reap them.",
    "stacks": "Show every thread's stack, the watched loop's first, and the task that runs in it.",
    "feeds": "List feeds, one a symbol, or cancel them.",
    "subscribers": "List subscribers' connections, the furthest behind first, or end some.",
    "watch": "Show live quotes of symbols.",
    "repro": "Reproduce the incident: subscribe, get a quote, disconnect, again and again;"
    " see what stays.",
    "drill": "Break a service on purpose, for a while, to rehearse.",
    "doctor": "Check installation, configuration, machine and service, one after another.",
    "config": "Show, begin or check the configuration, or list contexts.",
    "runbook": "List the runbooks, or show one.",
    "artifacts": "List what a team takes over into its monitoring, print one of it, or write it to files.",
    "completion": "Print the completion script of a shell.",
}
"""Every command and its short help; its file is ``qcfeed/cli/<command>.py``, or in its room."""

ROOMS = frozenset({"diagnose", "growth", "tasks", "top"})
"""Commands of several files, in ``qcfeed/cli/<command>/``: ``command.py`` is the one to begin with."""


def module(name: str) -> str:
    """The module that has the command's application."""
    return f"qcfeed.cli.{name}.command" if name in ROOMS else f"qcfeed.cli.{name}"


def load(name: str) -> Command:
    """The command itself, from its file: the only import of it."""
    command = get_command(importlib.import_module(module(name)).app)
    command.name = name
    return command


class Program(LazyGroup):
    """The commands of the table."""

    listed = COMMANDS

    def load(self, name: str) -> Command:
        return load(name)


_WHICH = ("context", "instance", "socket", "url")
"""The options that each say which service is meant."""

app = new_app()


def _print_version(wanted: bool) -> None:
    if wanted:
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
            envvar="QCFEED_INSTANCE",
            metavar="INSTANCE",
            help="Which service on this machine; for serve, the name of the new one."
            " Not needed while only one runs.",
        ),
    ] = None,
    socket: Annotated[
        Path | None,
        typer.Option(envvar="QCFEED_SOCKET", metavar="PATH", help="The service's control socket."),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            envvar="QCFEED_URL",
            metavar="URL",
            help="The service's control plane over TCP: http://127.0.0.1:PORT.",
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.001, metavar="SECONDS", help="Seconds to wait for an answer.")
    ] = DEFAULT_TIMEOUT,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Configuration file of serve (TOML; $QCFEED_CONFIG names it too)."
        ),
    ] = None,
    context: Annotated[
        str | None,
        typer.Option(
            envvar="QCFEED_CONTEXT",
            metavar="CONTEXT",
            help="A service elsewhere, by its name in the configuration file.",
        ),
    ] = None,
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """A market-data feed service whose tasks cannot leak, and the on-call tool that proves it.

    Data goes to stdout, talk to stderr.
    Exit status: 0 healthy or done, 1 findings (something is wrong with the service), 2 usage,
    3 unreachable, 4 not allowed, 5 timed out, 6 refused (needs --yes), 70 a bug in qcfeed,
    130 interrupted.
    """
    if any(_was_given(ctx, name) for name in _WHICH):  # then the environment says nothing
        instance = instance if _was_given(ctx, "instance") else None
        socket = socket if _was_given(ctx, "socket") else None
        url = url if _was_given(ctx, "url") else None
        context = context if _was_given(ctx, "context") else None
    ctx.obj = Options(
        instance=instance, socket=socket, url=url, timeout=timeout, config=config, context=context
    )


def _was_given(ctx: typer.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE


def build() -> TyperGroup:
    """The command line as an object: `run` calls it, and the reference is written from it."""
    group = get_command(app)
    if not isinstance(group, TyperGroup):
        raise TypeError(group)
    return group


def run() -> None:
    """Run a command; leaves by SystemExit with one of errors.ExitStatus."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.exit(_status(sys.argv[1:]))


def _status(args: list[str]) -> int:
    try:
        _call(args)
    except typer.Exit as leaving:
        return leaving.exit_code
    except ClickException as error:
        return _tell_usage(error)
    except QcfeedError as error:
        return _tell(error)
    except KeyboardInterrupt:
        return ExitStatus.INTERRUPTED
    except BrokenPipeError:
        discard(sys.stdout)
    except Exception as error:  # noqa: BLE001 - the last place: told, with its stack
        return _tell_bug(error)
    return ExitStatus.OK


def _call(args: list[str]) -> None:
    group = build()
    with group.make_context(PROGRAM, args) as ctx:
        group.invoke(ctx)


def _tell(error: QcfeedError) -> int:
    for line in getattr(error, "__notes__", ()):  # where a stuck loop is stuck
        say(f"  {line.rstrip()}")
    _say_error(error.message, error.hint)
    return error.exit_status


def _tell_usage(error: ClickException) -> int:
    if isinstance(error, NoArgsIsHelpError):
        say(error.format_message())
        return ExitStatus.USAGE
    message = error.format_message()
    if isinstance(error, NoSuchOption) and error.possibilities:
        message = f"{error.message}. Did you mean {', '.join(sorted(error.possibilities))}?"
    _say_error(message.removesuffix("."), _usage_hint(error))
    return ExitStatus.USAGE


def _usage_hint(error: ClickException) -> str | None:
    ctx = error.ctx if isinstance(error, UsageError) else None
    if ctx is None:
        return None
    command = _words(ctx)
    if isinstance(error, NoSuchOption):
        name = error.option_name
        if ctx.parent and any(name in param.opts for param in ctx.find_root().command.params):
            return f"{name} goes before the command: `{PROGRAM} {name} ... {command}`"
        if not ctx.parent and name in ("-o", "--output"):
            return f"{name} goes after the command: `{PROGRAM} COMMAND {name} ...`"
    return f"see `{' '.join(filter(None, (PROGRAM, command)))} --help`"


def _words(ctx: Context) -> str:
    """The command as typed, without the program: ``tasks verify``; empty for the program alone."""
    if ctx.parent is None:
        return ""
    return f"{_words(ctx.parent)} {ctx.info_name}".strip()


def _tell_bug(error: Exception) -> int:
    say("".join(traceback.format_exception(error, limit=-TRACEBACK_FRAMES)).rstrip())
    _say_error(
        f"this is a bug in qcfeed: {type(error).__name__}: {error}",
        "report it with the lines above and what you typed",
    )
    return ExitStatus.BUG


def _say_error(message: str, hint: str | None) -> None:
    say(f"{PROGRAM}: error: {message}")
    if hint:
        say(f"  hint: {hint}")
