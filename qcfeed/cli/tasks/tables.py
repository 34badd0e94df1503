"""The tables of ``qcfeed tasks``: live tasks, spawn locations, and groups of untracked tasks."""

from __future__ import annotations

from qcfeed.cli.ui import formats
from qcfeed.cli.ui.table import Column, Table
from qcfeed.model.tasks import GroupedTasks, Location, Task, TaskTotals


def _orphan_colour(row: Location) -> str | None:
    return "red" if row.orphaned else None


TASK_TABLE: Table[Task] = Table(
    (
        Column("serial", right=True),
        Column("age_s", header="AGE", show=formats.age, right=True),
        Column("name", least=8),
        Column("coroutine", least=24, rank=2),
        Column("location", least=24),
        Column("state", least=12),
        Column("note", least=10, rank=1, colour=lambda _: "yellow"),
        Column("parent", right=True, wide=True),
        Column("labels", value=lambda t: formats.labels(t.labels), wide=True),
    ),
    identity=lambda task: str(task.serial),
)

LOCATION_TABLE: Table[Location] = Table(
    (
        Column("location", least=24, colour=_orphan_colour),
        Column("function", least=20, wide=True),
        Column(
            "matching",
            value=lambda x: x.matching or None,
            show=formats.count,
            right=True,
            wide=True,
        ),
        Column("live", show=formats.count, right=True),
        Column("orphaned", show=formats.count, right=True, colour=_orphan_colour),
        Column("oldest_s", header="OLDEST", show=formats.age, right=True),
        Column("spawned", show=formats.count, right=True, rank=1),
        Column("finished", show=formats.count, right=True, rank=4),
        Column("cancelled", show=formats.count, right=True, rank=3),
        Column("failed", show=formats.count, right=True, rank=2),
        Column("destroyed", show=formats.count, right=True, wide=True),
        Column("note", least=12),
    ),
    identity=lambda location: location.location,
)

GROUP_TABLE: Table[GroupedTasks] = Table(
    (
        Column("count", header="TASKS", show=formats.count, right=True),
        Column("coroutine", least=24),
        Column("waiting", least=12),
        Column("location", least=24),
        Column("function", least=20, wide=True),
    ),
    identity=lambda group: group.location or group.coroutine,
)


def with_matching() -> Table[Location]:
    """The location table with the column MATCHING shown."""
    columns = (c._replace(wide=False) if c.key == "matching" else c for c in LOCATION_TABLE.columns)
    return LOCATION_TABLE._replace(columns=tuple(columns))


def total_row(totals: TaskTotals) -> Location:
    """The last row of the location table."""
    untracked = f"{formats.plural(totals.untracked, 'task')} untracked" if totals.untracked else ""
    return Location(
        location="total",
        function="",
        live=totals.live,
        spawned=totals.spawned,
        finished=totals.finished,
        cancelled=totals.cancelled,
        failed=totals.failed,
        destroyed=totals.destroyed,
        oldest_s=None,
        orphaned=totals.orphaned,
        note=untracked,
    )
