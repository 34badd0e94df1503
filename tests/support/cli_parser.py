"""Parses command lines without executing them."""

from __future__ import annotations

from typer.core import TyperGroup

from qcfeed.cli import main
from qcfeed.cli.target import PROGRAM


def parse(args: list[str]) -> str:
    """The command that these arguments reach, by its full name. Raises UsageError."""
    command, ctx = main.build(), None
    name = PROGRAM
    while True:
        ctx = command.make_context(name, args, parent=ctx)
        rest = [*ctx._protected_args, *ctx.args]
        if not isinstance(command, TyperGroup) or not rest:
            return ctx.command_path
        name, command, args = command.resolve_command(ctx, rest)
