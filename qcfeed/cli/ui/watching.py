"""``--watch``: a command again and again, redrawn in place on a terminal."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from qcfeed.cli.ui import durations
from qcfeed.errors import QcfeedError, TimedOutError, UnreachableError

INTERVAL = 2.0
"""Seconds between two runs, by default."""
_DEFAULT = "default"
_DURATION = re.compile(r"\d+(\.\d+)?(ms|s|m|h)?|\.\d+s?")
_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"


def with_intervals(args: Sequence[str]) -> list[str]:
    """The command line with ``--watch 5`` and ``--watch`` as ``--watch=5`` and ``--watch=default``.

    The parser knows no option whose value may be left out.
    """
    given = list(args)
    found: list[str] = []
    while given:
        word = given.pop(0)
        if word == "--":
            return [*found, word, *given]
        if word == "--watch":
            value = given.pop(0) if given and _DURATION.fullmatch(given[0]) else _DEFAULT
            word = f"--watch={value}"
        found.append(word)
    return found


def interval(text: str) -> float:
    """The value of ``--watch`` in seconds; 0 if it was left out."""
    return 0.0 if text == _DEFAULT else durations.parse(text)


Watch = Annotated[
    float | None,
    typer.Option(
        parser=interval,
        metavar="[SECONDS]",
        help="Repeat every SECONDS until Ctrl-C, redrawn on a terminal.",
    ),
]
"""The option, for commands that repeat by themselves too; each has its own default."""


def repeat(run: Callable[[], None], every: float) -> None:
    """Run every so many seconds until Ctrl-C; a service that cannot be reached is told, and tried again."""
    every = every or INTERVAL
    draw = _redrawn if sys.stdout.isatty() else _appended
    if sys.stdout.isatty():
        sys.stdout.write(_HOME + _CLEAR_BELOW)
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        while True:
            draw(run, every)
            time.sleep(every)


def _appended(run: Callable[[], None], _: float) -> None:
    with contextlib.suppress(typer.Exit):  # findings: the next run may have none
        _told(run)


class _Terminal(io.StringIO):
    """What is to be drawn; commands lay it out for the terminal."""

    def isatty(self) -> bool:
        return True


class _Messages(_Terminal):
    """Messages, which are drawn where they come between the results."""

    def __init__(self, drawn: _Terminal) -> None:
        super().__init__()
        self._drawn = drawn

    def write(self, text: str) -> int:
        return self._drawn.write(text)


def _redrawn(run: Callable[[], None], every: float) -> None:
    """Run, with its results and messages in one text that replaces the one drawn before."""
    drawn = _Terminal()
    messages = _Messages(drawn)
    with contextlib.redirect_stdout(drawn), contextlib.redirect_stderr(messages):
        _appended(run, every)
    width, height = shutil.get_terminal_size()
    title = f"every {every:g} s; {time.strftime('%H:%M:%S', time.gmtime())} UTC; Ctrl-C ends"
    lines = [title[:width], "", *drawn.getvalue().splitlines()]
    left_out = len(lines) - (height - 1)
    if left_out > 0:
        lines = [*lines[: height - 2], f"and {left_out + 1} more lines: --limit N shows fewer rows"]
    text = "".join(f"{line}{_CLEAR_LINE}\n" for line in lines)
    sys.stdout.write(_HOME + text + _CLEAR_BELOW)
    sys.stdout.flush()


def _told(run: Callable[[], None]) -> None:
    try:
        run()
    except (UnreachableError, TimedOutError) as error:  # it may be restarting
        _say(error)


def _say(error: QcfeedError) -> None:
    sys.stderr.write(f"{error.message}; trying again\n")
