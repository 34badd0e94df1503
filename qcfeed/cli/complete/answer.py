"""The answer to one TAB: a word a line, as the shell that asks wants it.

    qcfeed __complete bash WORDBREAKS LINE     the line up to the cursor, as it was typed
    qcfeed __complete zsh|fish WORD...         its words without the program, the last as far as typed

A line ``:files`` alone says that the shell should complete file names. Silence is no candidate.
"""

from __future__ import annotations

import json
import os
import sys

from qcfeed.cli.complete import bash, line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import TypeAlias

    from qcfeed.cli.complete.line import Commands

    Form: TypeAlias = "Callable[[str, str], str | None]"
    """A candidate and what there is to say of it, as a shell's line; None if it does not fit."""


def main(arguments: Sequence[str]) -> None:
    """Write the answer to stdout. Arguments that no script of ours sends get none."""
    shell, *asked = arguments or [""]
    if shell == "bash" and len(asked) == 2:
        typed = bash.Typed(*asked)
        _write(typed.words, typed.form)
    elif shell in _FORMS:
        _write(asked, _FORMS[shell])


def commands() -> Commands:
    """Every command, as words.py wrote them. Not a module: some may not keep what Python compiles."""
    with open(f"{os.path.dirname(__file__)}/words.json", encoding="utf-8") as file:  # noqa: PTH120, PTH123
        known: Commands = json.load(file)
    return known


def _write(words: Sequence[str], form: Form) -> None:
    if not words:
        return
    cursor = line.read(words, commands())
    if cursor.value == line.FILES:
        sys.stdout.write(":files\n")
        return
    for word, text in candidates(cursor, os.environ):
        if (word + text).isprintable():  # what would steer a terminal is no value
            written = form(cursor.head + word, text)
            sys.stdout.write(written + "\n" if written else "")


def candidates(cursor: line.Cursor, environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What may stand at the cursor, each with what there is to say of it."""
    wanted = cursor.value
    if wanted is None:
        yield from cursor.choices()
    elif isinstance(wanted, list):
        yield from ((word, "") for word in wanted)
    elif wanted != line.FREE:
        from qcfeed.cli.complete import live

        for word, text in live.values(wanted, cursor.before, environment):
            yield _as_typed(word, cursor.word), text


def _as_typed(value: str, word: str) -> str:
    """A location is known by the end of its path too: ``zombies.py:54``."""
    rest = value
    while not rest.startswith(word) and "/" in rest:
        rest = rest.partition("/")[2]
    return rest if rest.startswith(word) else value


def _zsh(word: str, text: str) -> str:
    """For ``_describe``, which parts the two at the first bare colon."""
    escaped = word.replace("\\", "\\\\").replace(":", "\\:")
    return f"{escaped}:{text}" if text else escaped


def _fish(word: str, text: str) -> str:
    return f"{word}\t{text}" if text else word


_FORMS = {"zsh": _zsh, "fish": _fish}
