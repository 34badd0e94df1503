"""docs/cli.md, written from the commands themselves: ``python -m qcfeed.cli.reference``."""

from __future__ import annotations

from collections.abc import Iterator

from typer._click import Command, Context
from typer.core import TyperGroup

from qcfeed.cli.main import COMMANDS, PROGRAM, build, load
from qcfeed.cli.render import emit
from qcfeed.errors import ExitStatus

WIDTH = 88

_MEANINGS = {
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

_HEAD = """\
# The command line

Written by `python -m qcfeed.cli.reference > docs/cli.md`; a test compares the two.

Options that say which service is meant go before the command, options that say what to print go
after it. stdout is data, stderr is talk: a pipe or a file gets whole tables without colour, never
cut. `NO_COLOR` turns colour off and `FORCE_COLOR` on. Nothing prompts without a terminal. JSON is
the answer as the service gave it; its `schema` names its version.

| exit status | meaning |
|---|---|
"""


def pages() -> Iterator[tuple[str, str]]:
    """Every command's full name and its help text, the program itself first."""
    root = build().make_context(PROGRAM, ["completion"], terminal_width=WIDTH)
    yield PROGRAM, root.get_help()
    for name in COMMANDS:
        yield from _pages(load(name), name, root)


def _pages(command: Command, name: str, parent: Context) -> Iterator[tuple[str, str]]:
    ctx = Context(command, info_name=name, parent=parent)
    yield ctx.command_path, command.get_help(ctx)
    if isinstance(command, TyperGroup):
        for inner, subcommand in command.commands.items():
            yield from _pages(subcommand, inner, ctx)


def reference() -> str:
    """The whole page, as Markdown."""
    statuses = "".join(f"| {int(status)} | {_MEANINGS[status]} |\n" for status in ExitStatus)
    parts = [f"\n## {title}\n\n```text\n{text}\n```\n" for title, text in pages()]
    return _HEAD + statuses + "".join(parts)


if __name__ == "__main__":
    emit(reference())
