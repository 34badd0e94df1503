"""What the tasks of a spawn location wait on: the options that ask for it, and its column."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from msgspec import UnsetType

from qcfeed.cli.ui import formats
from qcfeed.cli.ui.table import Column, Table
from qcfeed.errors import UsageError
from qcfeed.model.answers import Location

Waits = Annotated[
    bool, typer.Option("--waits", help="By location: what its tasks wait on, from a sample.")
]
Exact = Annotated[bool, typer.Option("--exact", help="As --waits, from all tasks.")]


def asked(waits: bool, exact: bool, *, otherwise: bool) -> dict[str, Any]:
    """What was given, as the fields of answers.ByLocationQuery; empty if nothing was.

    ``otherwise``: tasks are to be told in another way than by location, which raises UsageError.
    """
    if otherwise and (waits or exact):
        raise UsageError(
            "--waits and --exact are about spawn locations", hint="`qcfeed tasks --waits`"
        )
    return {key: True for key, given in (("waits", waits), ("exact", exact)) if given}


def with_waits(table: Table[Location]) -> Table[Location]:
    """The location table with a column of waits before its last."""
    column = Column("waits", value=told, least=24)
    return table._replace(columns=(*table.columns[:-1], column, table.columns[-1]))


def told(row: Location) -> str:
    """``480 sleeping, 10 Queue.get (sampled: 490 of 47,829)``; says so only if it is a sample."""
    if isinstance(row.waits, UnsetType) or isinstance(row.sampled, UnsetType):
        return ""
    counts = ", ".join(f"{formats.count(wait.tasks)} {wait.state}" for wait in row.waits)
    if row.sampled >= row.live:
        return counts
    sample = f"sampled: {formats.count(row.sampled)} of {formats.count(row.live)}"
    return f"{counts} ({sample})" if counts else sample
