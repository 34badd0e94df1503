"""The examples that the commands' help ends with."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from qcfeed.cli import command_tree

_SHELL = {"|", ">", ">>", "&&", ";"}


def examples() -> Iterator[tuple[str, str]]:
    """Each command's full name and each of its example lines, in order."""
    for ctx in command_tree.commands():
        for line in (ctx.command.epilog or "").splitlines()[2:]:
            yield ctx.command_path, line.strip()


def arguments(line: str) -> list[str]:
    """What the first ``qcfeed`` on the line is given: without comment, pipe and redirection."""
    words = shlex.split(line, comments=True)
    words = words[words.index("qcfeed") + 1 :]
    end = next((n for n, word in enumerate(words) if word in _SHELL), len(words))
    return words[:end]
