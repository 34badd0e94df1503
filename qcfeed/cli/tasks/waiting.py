"""What the tasks of a spawn location wait on: the options and the column for it."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from msgspec import UnsetType

from qcfeed.cli.ui import formats
from qcfeed.cli.ui.table import Column, Table
from qcfeed.errors import UsageError
from qcfeed.model.tasks import Location

Waits = Annotated[
    bool,
    typer.Option("--waits", help="Show what the tasks of each location wait on, from a sample."),
]
Exact = Annotated[
    bool,
    typer.Option(
        "--exact",
        help="Like --waits, but from all tasks instead of a sample; also with --by object.",
    ),
]


def params(waits: bool, exact: bool, *, other_view: bool) -> dict[str, Any]:
    """The options that were given, as parameters of a request (fields of ByLocationQuery).

    Raises UsageError if they are combined with a view other than by location (``other_view``).
    """
    if other_view and (waits or exact):
        raise UsageError(
            "--waits and --exact apply only to the view by location, --exact also to --by object",
            hint="`qcfeed tasks --waits`",
        )
    return {key: True for key, given in (("waits", waits), ("exact", exact)) if given}


def with_waits(table: Table[Location]) -> Table[Location]:
    """The location table with a column WAITS before its last column."""
    column = Column("waits", summary, least=24)
    return table._replace(columns=(*table.columns[:-1], column, table.columns[-1]))


def summary(row: Location) -> str:
    """The waits of a location: ``480 sleeping, 10 Queue.get (sampled: 490 of 47,829)``."""
    if isinstance(row.waits, UnsetType) or isinstance(row.sampled, UnsetType):
        return ""
    counts = ", ".join(f"{formats.count(wait.count)} {wait.state}" for wait in row.waits)
    if row.sampled >= row.live:
        return counts
    sample = f"sampled: {formats.count(row.sampled)} of {formats.count(row.live)}"
    return f"{counts} ({sample})" if counts else sample
