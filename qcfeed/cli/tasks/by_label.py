"""``qcfeed tasks --by label:KEY``: counts live tasks, one row per value of the label."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from qcfeed.cli.context import Format, say
from qcfeed.cli.saved_files import ask_or_read
from qcfeed.cli.ui import formats
from qcfeed.cli.ui.render import show
from qcfeed.cli.ui.table import Column, Table
from qcfeed.control.routes import TASKS_BY_LABEL
from qcfeed.errors import UsageError
from qcfeed.model.task_details import LabelValue, TasksByLabel

_WITHOUT = "(without)"
"""What ``-o name`` prints for the tasks that do not have the label."""

LABEL_TABLE: Table[LabelValue] = Table(
    (
        Column("value", show=str, least=20),
        Column("live", show=formats.count, right=True),
        Column(
            "orphaned",
            show=formats.count,
            right=True,
            colour=lambda v: "red" if v.orphaned else None,
        ),
        Column("oldest_s", header="OLDEST", show=formats.age, right=True),
        Column("location_count", header="LOCATIONS", show=formats.count, right=True),
    ),
    identity=lambda row: _WITHOUT if row.value is None else row.value,
)


def run(
    ctx: typer.Context,
    by: str,
    output: Format,
    *,
    limit: int,
    source: Path | None,
    save: Path | None,
    params: dict[str, Any],
) -> None:
    """Count the live tasks by a label. Raises UsageError if ``by`` is not ``label:KEY``."""
    kind, _, key = by.partition(":")
    if kind != "label" or not key:
        raise UsageError(
            f"tasks cannot be counted by {by!r}",
            hint="give location, caller, creator, object, or label:KEY, for example label:symbol",
        )
    params = {"key": key, "limit": limit, **params}
    answer, raw = ask_or_read(ctx, TASKS_BY_LABEL, TasksByLabel, source=source, save=save, **params)
    rows = answer.values[:limit]
    show(output, LABEL_TABLE, rows, raw=raw)
    if len(rows) < answer.total:
        say(f"the {len(rows):,} largest of {answer.total:,} values; --limit N shows more")
