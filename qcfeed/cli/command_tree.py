"""Walks all commands, for the files generated from them: reference, manual page, completion words."""

from __future__ import annotations

from collections.abc import Iterator

from typer._click import Command, Context
from typer.core import TyperGroup

from qcfeed.cli.lazy import LazyGroup
from qcfeed.cli.main import COMMANDS, build, load
from qcfeed.cli.target import PROGRAM
from qcfeed.errors import ExitStatus

MEANINGS = {
    ExitStatus.OK: "healthy, or done",
    ExitStatus.FINDINGS: "findings: something is wrong with the service",
    ExitStatus.USAGE: "usage error: in the command line, the configuration or a name",
    ExitStatus.UNREACHABLE: "the service, its upstream or Prometheus is unreachable or cannot start",
    ExitStatus.NOT_ALLOWED: "not allowed",
    ExitStatus.TIMED_OUT: "timed out; a requested action may still complete",
    ExitStatus.REFUSED: "refused: the action affects other people and needs --yes",
    ExitStatus.BUG: "a bug in qcfeed",
    ExitStatus.INTERRUPTED: "interrupted",
}
"""The meaning of each exit status, for the documentation."""


def commands(width: int = 80) -> Iterator[Context]:
    """A click context for every command, the program itself first; ``ctx.command_path`` is its name."""
    root = build().make_context(PROGRAM, ["completion"], terminal_width=width)
    yield root
    for name in COMMANDS:
        yield from _walk(load(name), name, root)


def subcommands(command: Command) -> dict[str, Command]:
    """The subcommands that help shows, by name."""
    if not isinstance(command, TyperGroup):
        return {}
    shown = [name for name, inner in command.commands.items() if not inner.hidden]
    if isinstance(command, LazyGroup):
        return {name: command.load(name) for name in shown}
    return {name: command.commands[name] for name in shown}


def _walk(command: Command, name: str, parent: Context) -> Iterator[Context]:
    ctx = Context(command, info_name=name, parent=parent)
    yield ctx
    for inner, subcommand in subcommands(command).items():
        yield from _walk(subcommand, inner, ctx)
