"""docs/cli.md, written from the commands themselves: ``python -m qcfeed.cli.reference``."""

from __future__ import annotations

from collections.abc import Iterator

from qcfeed.cli import command_tree
from qcfeed.cli.ui.render import emit
from qcfeed.errors import ExitStatus

WIDTH = 88

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
    for ctx in command_tree.commands(WIDTH):
        yield ctx.command_path, ctx.command.get_help(ctx)


def reference() -> str:
    """The whole page, as Markdown."""
    statuses = "".join(
        f"| {int(status)} | {command_tree.MEANINGS[status]} |\n" for status in ExitStatus
    )
    parts = [f"\n## {title}\n\n```text\n{text}\n```\n" for title, text in pages()]
    return _HEAD + statuses + "".join(parts)


if __name__ == "__main__":
    emit(reference())
