"""Tables and labelled lines as text, fitted to a terminal's width or unlimited for a pipe.

Pure: rows, a width in cells and colours in, lines out. A thousand rows take milliseconds; rich takes
half a second. The classes are named tuples because every command imports this module, and defining a
dataclass costs a millisecond.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from typer import style

from qcfeed.cli.ui.formats import NOTHING, printable

Row = TypeVar("Row")
GAP = "  "

_BREAKS = re.compile(r"(\s+)|(?<=/)(?=\w)|(?<=\.)(?!py\b)(?=[^\W\d])")
"""Where a cell may be wrapped: at spaces and inside paths and dotted names, but not inside
``x.py:83`` or ``17.2``."""


class Column(NamedTuple, Generic[Row]):
    """One column of a table.

    ``key`` names it in CSV and, in capitals, in the header unless ``header`` is given.
    ``value`` gives the raw value of a row, as CSV shows it: the name of an attribute of the row
    (``key`` if empty) or a function. ``show`` turns it into text for people; None is a dash.
    ``right``: align to the right, for numbers.
    ``rank``: on a narrow terminal, columns of the highest rank are left out first; 0 always stays.
    ``least``: the column may be wrapped, to this many cells or more; 0 for never.
    ``wide``: shown only with ``-o wide`` and in CSV. ``colour`` gives the colour of a row's cell.
    """

    key: str
    value: str | Callable[[Row], Any] = ""
    show: Callable[[Any], str] = str
    header: str = ""
    right: bool = False
    rank: int = 0
    least: int = 0
    wide: bool = False
    colour: Callable[[Row], str | None] | None = None

    @property
    def title(self) -> str:
        return self.header or self.key.upper().replace("_", " ")

    def raw(self, row: Row) -> Any:
        value = self.value
        return getattr(row, value or self.key) if isinstance(value, str) else value(row)

    def text(self, row: Row) -> str:
        value = self.raw(row)
        return NOTHING if value is None or value == "" else printable(self.show(value))

    def style(self, row: Row) -> str | None:
        return self.colour(row) if self.colour else None


class Table(NamedTuple, Generic[Row]):
    """The columns for one type of row; ``identity`` names a row for ``-o name``."""

    columns: Sequence[Column[Row]]
    identity: Callable[[Row], str]


class Layout(NamedTuple):
    """The lines of a table, and the titles of the columns that did not fit."""

    lines: list[str]
    hidden: list[str]


def lay_out(
    table: Table[Row],
    rows: Sequence[Row],
    *,
    width: int | None = None,
    wide: bool = False,
    header: bool = True,
    colour: bool = False,
) -> Layout:
    """The table as lines of at most ``width`` cells; if not even the columns of rank 0 fit, as records."""
    columns = [column for column in table.columns if wide or not column.wide]
    cells = [[column.text(row) for row in rows] for column in columns]
    kept = fit(columns, cells, width)
    if width is not None and header and rows and row_width(kept.values()) > width:
        return Layout(_records(columns, cells, rows, width, colour=colour), [])
    hidden = [c.title for i, c in enumerate(columns) if i not in kept]
    shown = [columns[i] for i in kept]
    widths = list(kept.values())
    lines = []
    if header:
        bold = ["bold" if colour else None] * len(kept)
        lines += _row_lines([column.title for column in shown], shown, widths, bold)
    for number, row in enumerate(rows):
        styles = [c.style(row) if colour else None for c in shown]
        lines += _row_lines([cells[i][number] for i in kept], shown, widths, styles)
    return Layout(lines, hidden)


def _records(
    columns: Sequence[Column[Row]],
    cells: list[list[str]],
    rows: Sequence[Row],
    width: int,
    *,
    colour: bool,
) -> list[str]:
    """Each row as a block of one line per column, for a terminal that is too narrow for a table."""
    labels = max(cell_width(column.title) for column in columns)
    lines: list[str] = []
    for number, row in enumerate(rows):
        lines += [""] if lines else []
        for column, texts in zip(columns, cells, strict=True):
            if texts[number] == NOTHING:
                continue
            label = _padded(column.title, labels, False, "bold" if colour else None)
            style_ = column.style(row) if colour else None
            first, *more = wrap(texts[number], max(1, width - labels - len(GAP)))
            lines.append(f"{label}{GAP}{styled(first, style_)}")
            lines += [" " * (labels + len(GAP)) + styled(each, style_) for each in more]
    return lines


def fit(
    columns: Sequence[Column[Row]], cells: list[list[str]], width: int | None
) -> dict[int, int]:
    """The width of each column to show, by index; columns of high rank are left out to fit ``width``."""
    widths = [
        max(map(cell_width, (c.title, *texts))) for c, texts in zip(columns, cells, strict=True)
    ]
    if width is None:
        return dict(enumerate(widths))
    least = [_least(column, texts) for column, texts in zip(columns, cells, strict=True)]
    kept = list(range(len(columns)))
    while row_width(least[i] for i in kept) > width and any(columns[i].rank for i in kept):
        kept.remove(max(kept, key=lambda i: columns[i].rank))
    spare = max(0, width - row_width(least[i] for i in kept))
    fitted = {i: least[i] for i in kept}
    # The columns that need least more come first, so that as many as possible need no wrapping.
    for i in sorted(kept, key=lambda i: widths[i] - least[i]):
        more = min(spare, widths[i] - least[i])
        fitted[i] += more
        spare -= more
    return fitted


def _least(column: Column[Row], texts: list[str]) -> int:
    """The narrowest a column can be; its header may always be wrapped between words."""
    content = max(map(cell_width, texts), default=0)
    if column.least:
        content = min(content, column.least)
    return max(content, *map(cell_width, column.title.split()))


def row_width(widths: Iterable[int]) -> int:
    """The width of a row of columns of these widths, gaps included."""
    sizes = list(widths)
    return sum(sizes) + len(GAP) * (len(sizes) - 1)


def _row_lines(
    texts: Sequence[str],
    columns: Sequence[Column[Row]],
    widths: Sequence[int],
    styles: Sequence[str | None],
) -> list[str]:
    """The lines of one row: as many as its most wrapped cell has."""
    wrapped = [wrap(text, width) for text, width in zip(texts, widths, strict=True)]
    lines = []
    for level in range(max(map(len, wrapped))):
        pieces = [
            _padded(cell[level] if level < len(cell) else "", width, column.right, style)
            for cell, width, column, style in zip(wrapped, widths, columns, styles, strict=True)
        ]
        lines.append(GAP.join(pieces).rstrip())
    return lines


def wrap(text: str, width: int) -> list[str]:
    """``text`` on lines of at most ``width`` cells, broken at _BREAKS, else anywhere."""
    if cell_width(text) <= width:
        return [text]
    lines = [""]
    for chunk in filter(None, _BREAKS.split(text)):
        for piece in [chunk] if cell_width(chunk) <= width else chunk:
            if cell_width(lines[-1] + piece) > width:
                lines.append("")
            if lines[-1] or not piece.isspace():
                lines[-1] += piece
    return [line.rstrip() for line in lines]


def _padded(text: str, width: int, right: bool, how: str | None) -> str:
    blank = " " * (width - cell_width(text))
    text = styled(text, how)
    return blank + text if right else text + blank


def styled(text: str, how: str | None) -> str:
    """``text`` with ANSI codes: ``how`` is a colour, ``bold``, or None for neither."""
    if not text or how is None:
        return text
    return style(text, bold=True) if how == "bold" else style(text, fg=how)


def cell_width(text: str) -> int:
    """The number of terminal cells of ``text``: East Asian wide characters take two (UAX 11)."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


class LabelledLine(NamedTuple):
    """A line of text with a label in front; the first of a list is a heading, without its label.

    ``colour`` is the colour of the whole line, or ``bold``. ``whole``: never wrapped, for example a
    command to paste. ``rank``: when there are too many lines for the screen, those of the highest rank
    are left out, the last of them first; 0 always stays.
    """

    text: str
    label: str = ""
    colour: str | None = None
    whole: bool = False
    rank: int = 0


MIN_LABEL_WIDTH = 10

StyledLine = tuple[str, str | None]
"""One line of text, and its colour or ``bold``."""


def lay_out_lines(
    lines: Iterable[LabelledLine], width: int | None, height: int | None = None
) -> list[StyledLine]:
    """The lines with their labels, wrapped to ``width`` cells and cut to ``height`` lines, if given.

    Lines of rank 0 stay even if they need more than ``height``.
    """
    lines = list(lines)
    label_width = max([MIN_LABEL_WIDTH, *(len(line.label) + 1 for line in lines)])
    blocks = [
        (line.rank, _lay_out(line, width, label_width if n else 0)) for n, line in enumerate(lines)
    ]
    if height is not None:
        blocks = drop_by_rank(
            blocks,
            lambda block: block[0],
            lambda kept: sum(len(block) for _, block in kept) <= height,
        )
    return [line for _, block in blocks for line in block]


def drop_by_rank(
    items: Iterable[Row], rank: Callable[[Row], int], fits: Callable[[list[Row]], bool]
) -> list[Row]:
    """``items`` without the last one of the highest rank, again and again until ``fits``; rank 0 stays."""
    kept = list(items)
    while not fits(kept) and (highest := max(map(rank, kept), default=0)):
        del kept[max(n for n, each in enumerate(kept) if rank(each) == highest)]
    return kept


def _lay_out(line: LabelledLine, width: int | None, label_width: int) -> list[StyledLine]:
    label = f"  {line.label:<{label_width}}" if label_width else ""
    indent = max(len(label), 2)
    if width is None or line.whole:
        return [(label + line.text, line.colour)]
    pieces = wrap(line.text, width - indent)
    return [
        (label + pieces[0], line.colour),
        *((" " * indent + p, line.colour) for p in pieces[1:]),
    ]
