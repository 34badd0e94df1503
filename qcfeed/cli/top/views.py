"""The lists of ``qcfeed top``: their columns, how they are sorted and filtered, and fitted. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from qcfeed.cli.feeds import FEED_TABLE
from qcfeed.cli.growth.views import signed
from qcfeed.cli.orphans import ORPHAN_TABLE
from qcfeed.cli.subscribers import SUBSCRIBER_TABLE
from qcfeed.cli.tasks.command import TASK_TABLE
from qcfeed.cli.top.recent import Row
from qcfeed.cli.ui import formats
from qcfeed.cli.ui.sparkline import BLOCKS, sparkline
from qcfeed.cli.ui.table import Column, Table, cell_width, fit, row_width, wrap
from qcfeed.model.diagnosis import Finding

TREND = 12
"""Cells of a location's sparkline."""
CUT = "…"
ASCII_CUT = "~"
LEAST_COLUMNS = 2
"""That are shown however narrow the screen is."""


def _alarming(row: Row) -> str | None:
    return "red" if row.orphaned else "yellow" if (row.per_minute or 0) > 0 else None


def location_table(blocks: str = BLOCKS) -> Table[Row]:
    """Tasks by location; ``blocks`` are what the terminal can say."""
    return Table(
        (
            Column("location", least=28, colour=_alarming),
            Column("live", show=formats.count, right=True),
            Column("per_minute", header="NET/MIN", show=signed, right=True, colour=_alarming),
            Column("trend", show=lambda trend: sparkline(trend, TREND, blocks=blocks), rank=2),
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


def _urgent(finding: Finding) -> str:
    return "red" if finding.found else "yellow"


FINDING_TABLE: Table[Finding] = Table(
    (
        Column("kind", value=lambda f: f.kind if f.found else f"{f.kind}?", colour=_urgent),
        Column("headline", least=30),
        Column("left_s", header="LEFT", show=formats.age, right=True, rank=2),
        Column("began_s", header="BEGAN", show=formats.age, right=True, rank=1),
    ),
    identity=lambda finding: f"{finding.rule} {finding.location}",
)


class View(NamedTuple):
    """One list. ``order``: the column that it is sorted by at first, the greatest first if
    ``down``; None as it was answered. ``verb``: what C does with a row; empty for nothing."""

    name: str
    title: str
    table: Table[Any]
    order: str | None = None
    down: bool = False
    verb: str = ""
    service: bool = False
    """Of a feed service alone; an attached program has none."""
    empty: str = ""


def views(blocks: str = BLOCKS) -> dict[str, View]:
    """Every list by its name; the first five have a digit each."""
    every = (
        View(
            "locations",
            "Tasks",
            location_table(blocks),
            "per_minute",
            down=True,
            verb="cancel",
            empty="no task is alive",
        ),
        View(
            "feeds",
            "Feeds",
            FEED_TABLE,
            verb="cancel",
            service=True,
            empty="no feeds: nobody is subscribed",
        ),
        View(
            "subscribers",
            "Subscribers",
            SUBSCRIBER_TABLE,
            verb="kick",
            service=True,
            empty="nobody is connected",
        ),
        View(
            "orphans",
            "Orphans",
            ORPHAN_TABLE,
            verb="cancel",
            empty="no orphans: every live task and subscription has its owner",
        ),
        View("findings", "Findings", FINDING_TABLE, empty="nothing is wrong that can be seen"),
        View("location", "Tasks of", TASK_TABLE, verb="cancel", empty="none is alive any more"),
    )
    return {view.name: view for view in every}


class Chosen(NamedTuple):
    """How a list is shown: sorted by ``order`` (a column's key, or None), ``down`` for the greatest
    first; only rows that hold ``words``."""

    order: str | None = None
    down: bool = False
    words: str = ""


def arranged(view: View, rows: Sequence[Any], chosen: Chosen) -> list[Any]:
    """The rows that hold the words, sorted; a value that is not there comes last."""
    kept = [row for row in rows if _holds(view.table, row, chosen.words)]
    column = next((c for c in view.table.columns if c.key == chosen.order), None)
    if column is None:
        return kept
    known = [row for row in kept if column.raw(row) is not None]
    unknown = [row for row in kept if column.raw(row) is None]
    return [*sorted(known, key=column.raw, reverse=chosen.down), *unknown]


def next_order(view: View, chosen: Chosen) -> Chosen:
    """Sorted by the column after this one; figures the greatest first, words from A to Z."""
    sortable = [c for c in view.table.columns if not c.wide and c.key != "trend"]
    keys = [column.key for column in sortable]
    place = keys.index(chosen.order) + 1 if chosen.order in keys else 0
    column = sortable[place % len(sortable)]
    return chosen._replace(order=column.key, down=column.right)


def _holds(table: Table[Any], row: Any, words: str) -> bool:
    text = " ".join(column.text(row) for column in table.columns).lower()
    return all(word in text for word in words.lower().split())


class Cell(NamedTuple):
    text: str
    colour: str | None


class Fitted(NamedTuple):
    """A list as wide as the screen: titles, on as many lines as they need, their widths, and which
    are to the right; the rows."""

    titles: list[str]
    widths: list[int]
    right: list[bool]
    rows: list[list[Cell]]


def fitted(view: View, rows: Sequence[Any], width: int, cut: str = CUT) -> Fitted:
    """A line a row, whatever the width: what is longer is cut, paths at their beginning, and the last
    columns are left out."""
    columns = [column for column in view.table.columns if not column.wide]
    texts = [[column.text(row) for row in rows] for column in columns]
    kept = fit(columns, texts, width)
    while len(kept) > LEAST_COLUMNS and row_width(kept.values()) > width:
        kept.popitem()
    shown = [columns[place] for place in kept]
    widths = list(kept.values())
    paths = [column.key == "location" for column in shown]
    cells = [
        [
            Cell(cut_to(texts[place][number], room, cut, path), columns[place].style(row))
            for (place, room), path in zip(kept.items(), paths, strict=True)
        ]
        for number, row in enumerate(rows)
    ]
    titles = ["\n".join(wrap(c.title, room)) for c, room in zip(shown, widths, strict=True)]
    return Fitted(titles, widths, [column.right for column in shown], cells)


def cut_to(text: str, width: int, cut: str = CUT, path: bool = False) -> str:
    """At most ``width`` cells of it: the end of a path, else the beginning."""
    if cell_width(text) <= width:
        return text
    letters = reversed(text) if path else iter(text)
    kept, room = [], width - cell_width(cut)
    for letter in letters:
        room -= cell_width(letter)
        if room < 0:
            break
        kept.append(letter)
    return cut + "".join(reversed(kept)) if path else "".join(kept) + cut
