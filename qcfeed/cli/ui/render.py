"""What reaches the terminal or the pipe. The only file that knows rich, beside
the full screen of ``top``, and only while it is drawn.

Tables are fitted to a terminal's width; piped they are never cut, wrapped or coloured.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from qcfeed.cli.context import Format, say
from qcfeed.cli.ui.table import Line, Row, Table, lay_out, lay_out_lines

READING_WIDTH = 100
"""Cells of a line of prose; longer ones are hard to follow back."""

MIN_WIDTH = 40
"""Narrower terminals get lines of this many cells; fewer would say nothing."""


def show(
    output: Format,
    table: Table[Row],
    rows: Sequence[Row],
    *,
    raw: bytes,
    total: Row | None = None,
) -> None:
    """Print an answer on stdout in the format asked for.

    ``raw`` is the answer as it came, for JSON; ``total`` is a last row, for people only.
    """
    if output is Format.JSON:
        emit(raw.decode())
    elif output is Format.NAME:
        emit("\n".join(table.identity(row) for row in rows))
    elif output is Format.CSV:
        emit(_csv(table, rows))
    else:
        people = [*rows, total] if total is not None else rows
        draw(table, people, wide=output is Format.WIDE)


def draw(
    table: Table[Row],
    rows: Sequence[Row],
    *,
    wide: bool = False,
    header: bool = True,
    stream: TextIO | None = None,
) -> None:
    """A table for people on ``stream`` (stdout, if not given), fitted where it is a terminal."""
    stream = stream or sys.stdout
    width = None if wide or not stream.isatty() else max(MIN_WIDTH, shutil.get_terminal_size()[0])
    laid = lay_out(table, rows, width=width, wide=wide, header=header, colour=coloured(stream))
    emit("\n".join(laid.lines), stream)
    if laid.hidden:
        say(f"no room for {', '.join(laid.hidden)}: -o wide")


def lines(told: Iterable[Line], stream: TextIO | None = None) -> None:
    """Labelled lines for people; on a terminal wrapped, and those that may go fitted to its height."""
    stream = stream or sys.stdout
    width = height = None
    if stream.isatty():
        width, height = shutil.get_terminal_size()
        width, height = max(MIN_WIDTH, width), height - 1  # the prompt has a line too
    emit("\n".join(_painted(told, width, height, colour=coloured(stream))), stream)


def _painted(
    told: Iterable[Line], width: int | None, height: int | None, *, colour: bool
) -> list[str]:
    from typer import style

    def paint(text: str, how: str | None) -> str:
        if not colour or how is None:
            return text
        return style(text, bold=True) if how == "bold" else style(text, fg=how)

    return [paint(*line) for line in lay_out_lines(told, width, height)]


def emit(text: str, stream: TextIO | None = None) -> None:
    """Write ``text`` and a newline. A reader that has left (``| head``) is no error."""
    if not text:
        return
    stream = stream or sys.stdout
    try:
        stream.write(text if text.endswith("\n") else text + "\n")
        stream.flush()
    except BrokenPipeError:
        discard(stream)


def discard(stream: TextIO) -> None:
    """Send what is still buffered nowhere, so that it does not fail again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def markdown(text: str) -> None:
    """A Markdown page on stdout: drawn on a terminal, as it is written where it is piped."""
    if not sys.stdout.isatty():
        emit(text)
        return
    from rich.console import Console
    from rich.markdown import Markdown
    from rich.theme import Theme

    # The terminal's own colours and no background: readable on a dark one and on a light one.
    plain = Theme({"markdown.code": "bold", "markdown.code_block": "none"})
    width = min(READING_WIDTH, shutil.get_terminal_size()[0])
    console = Console(theme=plain, width=width, no_color=not coloured(sys.stdout))
    console.print(Markdown(text, code_theme="ansi_dark"))


def coloured(stream: TextIO) -> bool:
    """Whether to colour: NO_COLOR (no-color.org) wins, then FORCE_COLOR, then a terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def _csv(table: Table[Row], rows: Sequence[Row]) -> str:
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(column.key for column in table.columns)
    writer.writerows([column.value(row) for column in table.columns] for row in rows)
    return text.getvalue()


@contextmanager
def live(table: Table[Row]) -> Iterator[Callable[[Sequence[Row]], None]]:
    """A table on the terminal that is redrawn in place: call what is given with the rows.

    For a terminal only; ask ``sys.stdout.isatty()`` before. The caller decides how often.
    """
    with _in_place() as (size, update):

        def redraw(rows: Sequence[Row]) -> None:
            laid = lay_out(table, rows, width=size()[0], colour=coloured(sys.stdout))
            update(laid.lines)

        yield redraw


@contextmanager
def live_lines() -> Iterator[Callable[[Iterable[Line]], None]]:
    """As ``live``, of labelled lines."""
    with _in_place() as (size, update):
        yield lambda told: update(_painted(told, *size(), colour=coloured(sys.stdout)))


@contextmanager
def _in_place() -> Iterator[tuple[Callable[[], tuple[int, int]], Callable[[list[str]], None]]]:
    """How wide and high the terminal is now, and what puts lines in the place of the last ones."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(highlight=False)
    with Live(console=console, auto_refresh=False) as screen:
        yield (
            lambda: (console.width, console.height),
            lambda lines: screen.update(Text.from_ansi("\n".join(lines)), refresh=True),
        )


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr; call what is given with how many are done. Nothing when piped."""
    if not sys.stderr.isatty():
        yield lambda done: None  # noqa: ARG005 - the shape of the other one
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda done: bar.update(task, completed=done)
