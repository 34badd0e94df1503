"""Writes results to stdout: tables, labelled lines, Markdown pages, tables redrawn in place, progress bars.

Tables are fitted to the width of a terminal; in a pipe they are never cut, wrapped or coloured.
Only this module and ``top`` import rich, and only when they need it: the import is slow.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from qcfeed.cli.context import Format, say
from qcfeed.cli.ui import jq, listing, pager
from qcfeed.cli.ui.formats import printable, printable_json, printable_lines
from qcfeed.cli.ui.table import LabelledLine, Row, Table, lay_out, lay_out_lines, styled
from qcfeed.streams import discard, fitted, write_message

PROSE_WIDTH = 100
"""The widest line of prose, in cells: longer lines are hard to read."""

MIN_WIDTH = 40
"""Tables and lines are laid out for at least this many cells, even on a narrower terminal."""


def show(
    output: Format,
    table: Table[Row],
    rows: Sequence[Row],
    *,
    raw: bytes,
    total: Row | None = None,
) -> None:
    """Print a list on stdout in the format asked for, with the rows that ``listing`` chooses.

    ``raw`` is the JSON as the service sent it; ``total`` is a last row that only tables have.
    """
    asked, chosen = listing.current(), listing.chosen(table, rows)
    if chosen != list(range(len(rows))):
        if not chosen:
            say(listing.tell_none(rows))
        raw = listing.narrowed(raw, chosen, len(rows))
        rows, total = [rows[number] for number in chosen], None
    if output is Format.JSON:
        emit_json(raw)
    elif output is Format.NAME:
        emit("\n".join(printable(table.identity(row)) for row in rows))
    elif output is Format.CSV:
        emit(_csv(table, rows, header=not asked.no_headers))
    else:
        shown = [*rows, total] if total is not None else rows
        wide = output is Format.WIDE
        draw(table, shown, wide=wide, header=not asked.no_headers, paged=True)


def emit_json(raw: bytes) -> None:
    """Print an answer's JSON on stdout, or what ``--jq`` makes of it."""
    expression = listing.current().jq
    emit("\n".join(jq.results(expression, raw)) if expression else printable_json(raw))


def draw_list(
    table: Table[Row], rows: Sequence[Row], *, wide: bool = False, header: bool = True
) -> None:
    """Print one of several tables of an answer, with the rows that ``listing`` chooses."""
    header = header and not listing.current().no_headers
    draw(table, listing.selected(table, rows), wide=wide, header=header)


def draw(
    table: Table[Row],
    rows: Sequence[Row],
    *,
    wide: bool = False,
    header: bool = True,
    stream: TextIO | None = None,
    paged: bool = False,
) -> None:
    """Print a table on ``stream`` (stdout by default), fitted to the width if that is a terminal."""
    stream = stream or sys.stdout
    width = None if wide or not stream.isatty() else max(MIN_WIDTH, shutil.get_terminal_size()[0])
    laid = lay_out(table, rows, width=width, wide=wide, header=header, colour=coloured(stream))
    emit("\n".join(laid.lines), stream, paged=paged)
    if laid.hidden:
        say(f"terminal too narrow for {', '.join(laid.hidden)}: use -o wide")


def lines(rendered: Iterable[LabelledLine], stream: TextIO | None = None) -> None:
    """Print labelled lines; a terminal gets them wrapped, and without lines of rank above 0 that do
    not fit its height."""
    stream = stream or sys.stdout
    width = height = None
    if stream.isatty():
        width, height = shutil.get_terminal_size()
        width, height = max(MIN_WIDTH, width), height - 1  # one line for the prompt
    emit("\n".join(_styled(rendered, width, height, colour=coloured(stream))), stream)


def _styled(
    rendered: Iterable[LabelledLine], width: int | None, height: int | None, *, colour: bool
) -> list[str]:
    return [
        styled(text, style if colour else None)
        for text, style in lay_out_lines(rendered, width, height)
    ]


def emit_text(text: str) -> None:
    """Print sentences on stdout; a terminal gets their lines broken between words."""
    emit(fitted(text) if sys.stdout.isatty() else text)


def emit(text: str, stream: TextIO | None = None, *, paged: bool = False) -> None:
    """Write ``text`` and a newline; nothing if it is empty. What is not printable is escaped.

    ``paged``: on a terminal that is too low for it, in a pager.

    All results pass here, so no foreign text reaches a terminal otherwise. Of escape sequences only
    those of ``styled`` pass, and only where colours are used. A closed pipe (``| head``) is not an error.
    """
    if not text:
        return
    stream = stream or sys.stdout
    text = _safe(text, styles=coloured(stream))
    text = text if text.endswith("\n") else text + "\n"
    if stream is sys.stderr:
        write_message(text)
        return
    if paged and stream is sys.stdout and pager.show(text):
        return
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        discard(stream)


def _safe(text: str, *, styles: bool) -> str:
    if not styles:
        return printable_lines(text)
    parts = _STYLE.split(text)  # text and styles, in turn
    return "".join(part if n % 2 else printable_lines(part) for n, part in enumerate(parts))


_STYLE = re.compile(r"(\x1b\[(?:0|1|3[0-7])m)")


def markdown(text: str) -> None:
    """Print a Markdown page on stdout: rendered on a terminal, as source in a pipe."""
    if not sys.stdout.isatty():
        emit(text)
        return
    text = printable_lines(text)
    from rich.console import Console
    from rich.markdown import Markdown
    from rich.theme import Theme

    # No colours or background of its own: readable on dark and on light terminals.
    plain = Theme({"markdown.code": "bold", "markdown.code_block": "none"})
    width = min(PROSE_WIDTH, shutil.get_terminal_size()[0])
    console = Console(theme=plain, width=width, no_color=not coloured(sys.stdout))
    with console.capture() as captured:
        console.print(Markdown(text, code_theme="ansi_dark"))
    if not pager.show(captured.get()):
        sys.stdout.write(captured.get())
        sys.stdout.flush()


def coloured(stream: TextIO) -> bool:
    """Whether to use colour: NO_COLOR (no-color.org) first, then FORCE_COLOR, then whether it is a terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def _csv(table: Table[Row], rows: Sequence[Row], *, header: bool) -> str:
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(column.key for column in table.columns)
    writer.writerows([_csv_value(column.raw(row)) for column in table.columns] for row in rows)
    return text.getvalue()


def _csv_value(value: object) -> object:
    """A value for a spreadsheet: times, rates and shares have at most three decimals."""
    if isinstance(value, str):
        return printable(value)
    return round(value, 3) if isinstance(value, float) else value


@contextmanager
def live(table: Table[Row]) -> Iterator[Callable[[Sequence[Row]], None]]:
    """A table that is redrawn in place: call the function yielded with the new rows.

    Only for a terminal: check ``sys.stdout.isatty()`` first. The caller decides how often to redraw.
    """
    with _in_place() as (size, update):

        def redraw(rows: Sequence[Row]) -> None:
            laid = lay_out(table, rows, width=size()[0], colour=coloured(sys.stdout))
            update(laid.lines)

        yield redraw


@contextmanager
def live_lines() -> Iterator[Callable[[Iterable[LabelledLine]], None]]:
    """``live`` for labelled lines."""
    with _in_place() as (size, update):
        yield lambda rendered: update(_styled(rendered, *size(), colour=coloured(sys.stdout)))


@contextmanager
def _in_place() -> Iterator[tuple[Callable[[], tuple[int, int]], Callable[[list[str]], None]]]:
    """A function for the terminal's current size, and one that replaces the lines drawn before."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(highlight=False)
    with Live(console=console, auto_refresh=False) as screen:
        yield (
            lambda: (console.width, console.height),
            lambda lines: screen.update(
                Text.from_ansi(_safe("\n".join(lines), styles=True)), refresh=True
            ),
        )


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr: call the function yielded with the number done. None in a pipe."""
    if not sys.stderr.isatty():
        yield lambda done: None  # noqa: ARG005 - the same signature as with a terminal
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
