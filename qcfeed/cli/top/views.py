"""The lists of ``qcfeed top``: their columns, sorting, filtering, and fitting to the screen. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from qcfeed.cli.feeds import FEED_TABLE
from qcfeed.cli.orphans import ORPHAN_TABLE
from qcfeed.cli.subscribers import SUBSCRIBER_TABLE
from qcfeed.cli.tasks.tables import TASK_TABLE
from qcfeed.cli.ui import formats
from qcfeed.cli.ui.sparkline import BLOCKS, sparkline
from qcfeed.cli.ui.table import Column, Table, cell_width, fit, row_width, wrap
from qcfeed.model.diagnosis import DiagnosisFinding
from qcfeed.observe.recent import LocationTrend

TREND_WIDTH = 12
"""The width of a location's sparkline, in cells."""
ELLIPSIS = "…"
ASCII_ELLIPSIS = "~"
MIN_COLUMNS = 2
"""The number of columns to show however narrow the screen is."""


def _growth_colour(row: LocationTrend) -> str | None:
    return "red" if row.orphaned else "yellow" if (row.per_minute or 0) > 0 else None


def location_table(blocks: str = BLOCKS) -> Table[LocationTrend]:
    """The table of tasks by location; ``blocks`` are the characters for sparklines."""
    return Table(
        (
            Column("location", least=28, colour=_growth_colour),
            Column("live", show=formats.count, right=True),
            Column(
                "per_minute",
                header="NET/MIN",
                show=formats.signed,
                right=True,
                colour=_growth_colour,
            ),
            Column("trend", show=lambda t: sparkline(t, TREND_WIDTH, blocks=blocks), rank=2),
            Column(
                "orphaned",
                header="ORPHANS",
                show=formats.count,
                right=True,
                colour=lambda x: "red" if x.orphaned else None,
            ),
            Column("oldest_s", header="OLDEST", show=formats.age, right=True, rank=1),
            Column("note", least=7, rank=3),
        ),
        identity=lambda row: f"{row.location} {row.function}",
    )


def _finding_colour(finding: DiagnosisFinding) -> str:
    return "yellow" if finding.is_suspected else "red"


def _kind(finding: DiagnosisFinding) -> str:
    return f"{finding.kind}?" if finding.is_suspected else finding.kind


FINDING_TABLE: Table[DiagnosisFinding] = Table(
    (
        Column("kind", value=_kind, colour=_finding_colour),
        Column("headline", least=30),
        Column("left_s", header="LEFT", show=formats.age, right=True, rank=2),
        Column("began_s", header="BEGAN", show=formats.age, right=True, rank=1),
    ),
    identity=lambda finding: f"{finding.rule} {finding.location}",
)


class View(NamedTuple):
    """One list. ``order``: the key of the column to sort by at first, None for the order of the answer.
    ``verb``: what the key C does with a row, empty for nothing. ``empty``: shown without rows."""

    name: str
    title: str
    table: Table[Any]
    order: str | None = None
    descending: bool = False
    verb: str = ""
    service_only: bool = False
    """True if attached programs do not have it."""
    empty: str = ""


def views(blocks: str = BLOCKS) -> dict[str, View]:
    """All lists by name; the keys 1 to 5 show the first five."""
    all_views = (
        View(
            "locations",
            "Tasks",
            location_table(blocks),
            "per_minute",
            descending=True,
            verb="cancel",
            empty="no live tasks",
        ),
        View(
            "feeds",
            "Feeds",
            FEED_TABLE,
            verb="cancel",
            service_only=True,
            empty="no feeds: there are no subscribers",
        ),
        View(
            "subscribers",
            "Subscribers",
            SUBSCRIBER_TABLE,
            verb="kick",
            service_only=True,
            empty="no subscribers",
        ),
        View(
            "orphans",
            "Orphans",
            ORPHAN_TABLE,
            verb="cancel",
            empty="no orphans: every live task and subscription has its owner",
        ),
        View("findings", "Findings", FINDING_TABLE, empty="no findings"),
        View("location", "Tasks of", TASK_TABLE, verb="cancel", empty="no live tasks any more"),
    )
    return {view.name: view for view in all_views}


class Arrangement(NamedTuple):
    """How a list is arranged: sorted by the column ``order`` (None: as answered), and filtered to rows
    that contain all ``words``."""

    order: str | None = None
    descending: bool = False
    words: str = ""


def arranged(view: View, rows: Sequence[Any], arrangement: Arrangement) -> list[Any]:
    """The rows that match the filter, sorted; missing values come last."""
    kept = [row for row in rows if _contains(view.table, row, arrangement.words)]
    column = next((c for c in view.table.columns if c.key == arrangement.order), None)
    if column is None:
        return kept
    known = [row for row in kept if column.raw(row) is not None]
    unknown = [row for row in kept if column.raw(row) is None]
    return [*sorted(known, key=column.raw, reverse=arrangement.descending), *unknown]


def next_order(view: View, arrangement: Arrangement) -> Arrangement:
    """Sorted by the next column: numbers descending, text ascending."""
    sortable = [c for c in view.table.columns if not c.wide and c.key != "trend"]
    keys = [column.key for column in sortable]
    index = keys.index(arrangement.order) + 1 if arrangement.order in keys else 0
    column = sortable[index % len(sortable)]
    return arrangement._replace(order=column.key, descending=column.right)


def _contains(table: Table[Any], row: Any, words: str) -> bool:
    text = " ".join(column.text(row) for column in table.columns).lower()
    return all(word in text for word in words.lower().split())


class Cell(NamedTuple):
    """The text of a cell and its colour."""

    text: str
    colour: str | None


class Fitted(NamedTuple):
    """A list fitted to the screen: column titles (perhaps of several lines), widths, which columns are
    aligned to the right, and the cells of each row."""

    titles: list[str]
    widths: list[int]
    right: list[bool]
    rows: list[list[Cell]]


def fitted(view: View, rows: Sequence[Any], width: int, ellipsis: str = ELLIPSIS) -> Fitted:
    """One line per row: long cells are truncated, and the last columns are left out if needed."""
    columns = [column for column in view.table.columns if not column.wide]
    texts = [[column.text(row) for row in rows] for column in columns]
    kept = fit(columns, texts, width)
    while len(kept) > MIN_COLUMNS and row_width(kept.values()) > width:
        kept.popitem()
    shown = [columns[index] for index in kept]
    widths = list(kept.values())
    paths = [column.key == "location" for column in shown]
    cells = [
        [
            Cell(truncate(texts[index][number], cells, ellipsis, path), columns[index].style(row))
            for (index, cells), path in zip(kept.items(), paths, strict=True)
        ]
        for number, row in enumerate(rows)
    ]
    titles = ["\n".join(wrap(c.title, cells)) for c, cells in zip(shown, widths, strict=True)]
    return Fitted(titles, widths, [column.right for column in shown], cells)


def truncate(text: str, width: int, ellipsis: str = ELLIPSIS, path: bool = False) -> str:
    """``text`` truncated to ``width`` cells: at its beginning if it is a path, else at its end."""
    if cell_width(text) <= width:
        return text
    letters = reversed(text) if path else iter(text)
    kept, spare = [], width - cell_width(ellipsis)
    for letter in letters:
        spare -= cell_width(letter)
        if spare < 0:
            break
        kept.append(letter)
    return ellipsis + "".join(reversed(kept)) if path else "".join(kept) + ellipsis
