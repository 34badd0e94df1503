"""Every command there is, for what is written from them: the reference, the manual, what a TAB knows."""

from __future__ import annotations

from collections.abc import Iterator

from typer._click import Command, Context
from typer.core import TyperGroup

from qcfeed.cli.lazy import LazyGroup
from qcfeed.cli.main import COMMANDS, PROGRAM, build, load
from qcfeed.errors import ExitStatus

MEANINGS = {
    ExitStatus.OK: "healthy, or done",
    ExitStatus.FINDINGS: "findings: something is wrong with the service",
    ExitStatus.USAGE: "usage: the command line, the configuration or a name is wrong",
    ExitStatus.UNREACHABLE: "the service, its upstream or Prometheus cannot be reached or started",
    ExitStatus.NOT_ALLOWED: "not allowed",
    ExitStatus.TIMED_OUT: "timed out; what was asked for may still happen",
    ExitStatus.REFUSED: "refused: others would feel it, so it needs --yes",
    ExitStatus.BUG: "a bug in qcfeed",
    ExitStatus.INTERRUPTED: "interrupted",
}
"""What the program leaves with, in words."""


def commands(width: int = 80) -> Iterator[Context]:
    """A context of every command, the program's own first; ``ctx.command_path`` is its full name."""
    root = build().make_context(PROGRAM, ["completion"], terminal_width=width)
    yield root
    for name in COMMANDS:
        yield from _under(load(name), name, root)


def subcommands(command: Command) -> dict[str, Command]:
    """Those that are shown, by name."""
    if not isinstance(command, TyperGroup):
        return {}
    shown = [name for name, inner in command.commands.items() if not inner.hidden]
    if isinstance(command, LazyGroup):
        return {name: command.load(name) for name in shown}
    return {name: command.commands[name] for name in shown}


def _under(command: Command, name: str, parent: Context) -> Iterator[Context]:
    ctx = Context(command, info_name=name, parent=parent)
    yield ctx
    for inner, subcommand in subcommands(command).items():
        yield from _under(subcommand, inner, ctx)
