"""The standard streams of a process that was started without them, or whose streams cannot be written."""

from __future__ import annotations

import os
import re
import shutil
import sys
from typing import TextIO, cast

_WORD = re.compile(r"\S*`[^`]*`\S*|\S+")
"""A word of a message; a command in backquotes is one."""


def repair() -> None:
    """Replace standard streams that are closed (``>&-``), so that no file gets their numbers.

    Results that are written to a closed stdout are an error, as on a full disk; messages to a closed
    stderr are lost.
    """
    for number, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        if _is_closed(number):
            opened = os.open(os.devnull, flags)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
    # A closed stream is None, which typeshed does not say.
    sys.stdin = sys.stdin or _stream(0, "r")
    sys.stdout = sys.stdout or _stream(1, "w")
    sys.stderr = sys.stderr or _stream(2, "w")


def _stream(number: int, mode: str) -> TextIO:
    return cast("TextIO", os.fdopen(number, mode, closefd=False, encoding="utf-8"))


def discard(stream: TextIO) -> None:
    """Redirect ``stream`` to /dev/null, so that flushing its buffer at exit does not fail again."""
    opened = os.open(os.devnull, os.O_WRONLY)
    os.dup2(opened, stream.fileno())
    os.close(opened)


def write_message(text: str, *, whole: bool = False) -> None:
    """Write ``text`` to stderr. If that fails, nobody reads it, and the program goes on without messages.

    A terminal gets its lines broken between words, unless they are to stay ``whole``.
    """
    try:
        sys.stderr.write(fitted(text) if sys.stderr.isatty() and not whole else text)
        sys.stderr.flush()
    except OSError:
        discard(sys.stderr)


def fitted(text: str) -> str:
    """``text`` with each line that is too long for the terminal broken between words.

    A command in backquotes stays whole, so that it can be copied.
    """
    width = shutil.get_terminal_size()[0]
    lines = text.split("\n")
    return "\n".join(piece for line in lines for piece in _broken(line, width))


def _broken(line: str, width: int) -> list[str]:
    if len(line) <= width:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    pieces, start = [""], line[: len(line) - len(line.lstrip())]
    for word in _WORD.findall(line):
        joined = f"{pieces[-1]} {word}" if pieces[-1].strip() else (pieces[-1] or start) + word
        if len(joined) > width and pieces[-1].strip():
            pieces.append(indent + word)
        else:
            pieces[-1] = joined
    return pieces


def _is_closed(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return True
    return False
