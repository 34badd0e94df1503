"""Prints the candidates for one TAB, one per line, in the format of the shell.

    qcfeed __complete bash WORDBREAKS LINE     the line up to the cursor, as typed
    qcfeed __complete zsh|fish WORD...         the words after the program name, the last one incomplete

The single line ``:files`` tells the shell to complete file names. No output means no candidates.
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

    Formatter: TypeAlias = "Callable[[str, str], str | None]"
    """Formats a candidate and its description for a shell; None if the candidate does not match."""


def main(arguments: Sequence[str]) -> None:
    """Print the candidates. Prints nothing for arguments that the scripts never send."""
    shell, *rest = arguments or [""]
    if shell == "bash" and len(rest) == 2:
        typed = bash.TypedLine(*rest)
        _write(typed.words, typed.format)
    elif shell in _FORMATTERS:
        _write(rest, _FORMATTERS[shell])


def commands() -> Commands:
    """All commands, from words.json. JSON and not Python, because .pyc files may not be writable."""
    with open(f"{os.path.dirname(__file__)}/words.json", encoding="utf-8") as file:  # noqa: PTH120, PTH123
        known: Commands = json.load(file)
    return known


def _write(words: Sequence[str], formatter: Formatter) -> None:
    if not words:
        return
    cursor = line.read(words, commands())
    if cursor.value == line.FILES:
        sys.stdout.write(":files\n")
        return
    for word, text in candidates(cursor, os.environ):
        if (word + text).isprintable():  # escape sequences must not reach the terminal
            formatted = formatter(cursor.head + word, text)
            sys.stdout.write(formatted + "\n" if formatted else "")


def candidates(cursor: line.Cursor, environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The words that may be at the cursor, each with its description."""
    kind = cursor.value
    if kind is None:
        yield from cursor.choices()
    elif isinstance(kind, list):
        yield from ((word, "") for word in kind)
    elif kind != line.FREE:
        from qcfeed.cli.complete import live

        for word, text in live.values(kind, cursor.global_options, environment):
            yield _as_typed(word, cursor.word), text


def _as_typed(value: str, word: str) -> str:
    """The end of a path that continues ``word``, as locations can be given by it: ``zombies.py:54``."""
    rest = value
    while not rest.startswith(word) and "/" in rest:
        rest = rest.partition("/")[2]
    return rest if rest.startswith(word) else value


def _zsh(word: str, text: str) -> str:
    """The format of zsh's ``_describe``, which splits at the first colon that is not escaped."""
    escaped = word.replace("\\", "\\\\").replace(":", "\\:")
    return f"{escaped}:{text}" if text else escaped


def _fish(word: str, text: str) -> str:
    return f"{word}\t{text}" if text else word


_FORMATTERS = {"zsh": _zsh, "fish": _fish}
