"""A table as text: described once, laid out for a width, or for none when it is piped.

Pure: widths in cells and colours in, lines out. Rows are cheap (no markup, no renderable objects):
a thousand take milliseconds, where rich takes half a second. Named tuples, since every command pays
for this import, and a dataclass costs a millisecond to define.
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
"""Where a cell may be wrapped: at spaces, and inside paths and dotted names, not in
``x.py:83`` or ``17.2``."""


class Column(NamedTuple, Generic[Row]):
    """One column. ``key`` names it in CSV and, in capitals and without its unit, in the header.

    ``value`` is the raw value (what CSV gets), ``show`` its text for people.
    ``rank``: on a terminal that is too narrow, columns of the highest rank go first; 0 always stays.
    ``least``: the column may be wrapped, to no fewer cells than this; 0 for never.
    ``wide``: only with ``-o wide`` and in CSV. ``colour`` is asked for each row.
    """

    key: str
    value: Callable[[Row], Any]
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

    def text(self, row: Row) -> str:
        value = self.value(row)
        return NOTHING if value is None or value == "" else printable(self.show(value))

    def paint(self, row: Row) -> str | None:
        return self.colour(row) if self.colour else None


class Table(NamedTuple, Generic[Row]):
    """What one kind of row looks like; ``identity`` is its one word for ``-o name``."""

    columns: Sequence[Column[Row]]
    identity: Callable[[Row], str]


class Laid(NamedTuple):
    """Lines to print, and the titles of the columns that the width had no room for."""

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
) -> Laid:
    """The table as lines, no longer than ``width`` cells if one is given and it can be done."""
    columns = [column for column in table.columns if wide or not column.wide]
    cells = [[column.text(row) for row in rows] for column in columns]
    kept = fit(columns, cells, width)
    hidden = [c.title for i, c in enumerate(columns) if i not in kept]
    shown = [columns[i] for i in kept]
    spans = list(kept.values())
    lines = []
    if header:
        bold = ["bold" if colour else None] * len(kept)
        lines += _block([column.title for column in shown], shown, spans, bold)
    for number, row in enumerate(rows):
        paints = [c.paint(row) if colour else None for c in shown]
        lines += _block([cells[i][number] for i in kept], shown, spans, paints)
    return Laid(lines, hidden)


def fit(
    columns: Sequence[Column[Row]], cells: list[list[str]], width: int | None
) -> dict[int, int]:
    """Which columns to show, by index, and how wide: the least ranked, wrapped where allowed."""
    widths = [
        max(map(cells_of, (c.title, *texts))) for c, texts in zip(columns, cells, strict=True)
    ]
    if width is None:
        return dict(enumerate(widths))
    least = [_least(column, texts) for column, texts in zip(columns, cells, strict=True)]
    kept = list(range(len(columns)))
    while total(least[i] for i in kept) > width and any(columns[i].rank for i in kept):
        kept.remove(max(kept, key=lambda i: columns[i].rank))
    spare = max(0, width - total(least[i] for i in kept))
    fitted = {i: least[i] for i in kept}
    for i in sorted(kept, key=lambda i: widths[i] - least[i]):  # so that most need no wrapping
        more = min(spare, widths[i] - least[i])
        fitted[i] += more
        spare -= more
    return fitted


def _least(column: Column[Row], texts: list[str]) -> int:
    """The fewest cells a column can do with; its header may always be wrapped between words."""
    content = max(map(cells_of, texts), default=0)
    if column.least:
        content = min(content, column.least)
    return max(content, *map(cells_of, column.title.split()))


def total(widths: Iterable[int]) -> int:
    sizes = list(widths)
    return sum(sizes) + len(GAP) * (len(sizes) - 1)


def _block(
    texts: Sequence[str],
    columns: Sequence[Column[Row]],
    widths: Sequence[int],
    paints: Sequence[str | None],
) -> list[str]:
    """One row, as many lines high as its most wrapped cell."""
    wrapped = [wrap(text, width) for text, width in zip(texts, widths, strict=True)]
    lines = []
    for level in range(max(map(len, wrapped))):
        pieces = [
            _piece(cell[level] if level < len(cell) else "", width, column.right, paint)
            for cell, width, column, paint in zip(wrapped, widths, columns, paints, strict=True)
        ]
        lines.append(GAP.join(pieces).rstrip())
    return lines


def wrap(text: str, width: int) -> list[str]:
    """``text`` on lines of at most ``width`` cells, filled one after another."""
    if cells_of(text) <= width:
        return [text]
    lines = [""]
    for chunk in filter(None, _BREAKS.split(text)):
        for piece in [chunk] if cells_of(chunk) <= width else chunk:
            if cells_of(lines[-1] + piece) > width:
                lines.append("")
            if lines[-1] or not piece.isspace():
                lines[-1] += piece
    return [line.rstrip() for line in lines]


def _piece(text: str, width: int, right: bool, paint: str | None) -> str:
    blank = " " * (width - cells_of(text))
    if paint and text:
        text = style(text, bold=True) if paint == "bold" else style(text, fg=paint)
    return blank + text if right else text + blank


def cells_of(text: str) -> int:
    """How many terminal cells ``text`` takes: East Asian wide characters take two (UAX 11)."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


class Line(NamedTuple):
    """A line that is no row. ``label`` stands before what is told, ``colour`` is the line's, or
    ``bold``. ``whole``: never wrapped, as a command that is to be pasted. The first has no label.
    ``rank``: where there are too many, lines of the highest rank go first, the last of them first; 0
    always stays."""

    text: str
    label: str = ""
    colour: str | None = None
    whole: bool = False
    rank: int = 0


LABEL = 10
"""Cells of a label."""

Painted = tuple[str, str | None]
"""One line of the screen, and its colour."""


def lay_out_lines(
    lines: Iterable[Line], width: int | None, height: int | None = None
) -> list[Painted]:
    """Each line's text, labelled and wrapped to ``width`` cells if one is given, and its colour; at
    most ``height`` lines, if one is given and it can be done."""
    blocks = [(line.rank, _lay_out(line, width, first=not n)) for n, line in enumerate(lines)]
    if height is not None:
        blocks = thinned(
            blocks,
            lambda block: block[0],
            lambda kept: sum(len(block) for _, block in kept) <= height,
        )
    return [line for _, block in blocks for line in block]


def thinned(
    several: Iterable[Row], rank: Callable[[Row], int], fits: Callable[[list[Row]], bool]
) -> list[Row]:
    """Without those of the highest rank, the last of them first, until the rest fits; 0 always stays."""
    kept = list(several)
    while not fits(kept) and (highest := max(map(rank, kept), default=0)):
        del kept[max(n for n, each in enumerate(kept) if rank(each) == highest)]
    return kept


def _lay_out(line: Line, width: int | None, *, first: bool) -> list[Painted]:
    label = "" if first else f"  {line.label:<{LABEL}}"
    indent = max(len(label), 2)
    if width is None or line.whole:
        return [(label + line.text, line.colour)]
    pieces = wrap(line.text, width - indent)
    return [
        (label + pieces[0], line.colour),
        *((" " * indent + p, line.colour) for p in pieces[1:]),
    ]
