"""``qcfeed tasks --by object``: counts live tasks by the object that they wait for, with its holder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import typer
from msgspec import UnsetType

from qcfeed.cli.context import Format, client, say
from qcfeed.cli.saved_files import ask_or_read
from qcfeed.cli.tasks import windows
from qcfeed.cli.ui import formats
from qcfeed.cli.ui.render import show
from qcfeed.cli.ui.table import Column, Table
from qcfeed.control.routes import TASKS_BY_OBJECT
from qcfeed.errors import UsageError
from qcfeed.model.task_objects import TasksByObject, WaitedObject
from qcfeed.observe import comparison


def _object(row: WaitedObject) -> str:
    """``Lock 3 (Pool._lock)``; ``timer each`` for tasks with an object of their own."""
    label = f"{row.label} each" if row.object_count > 1 else row.label
    return f"{label} ({row.name})" if row.name else label


def _deadlock_colour(row: WaitedObject) -> str | None:
    return "red" if row.deadlock else None


OBJECT_TABLE: Table[WaitedObject] = Table(
    (
        Column("task_count", header="TASKS", show=formats.count, right=True),
        Column("object", _object, least=14),
        Column("object_count", header="OBJECTS", show=formats.count, right=True, wide=True),
        Column("waiters", show=formats.count, right=True, wide=True),
        Column("state", least=12, rank=1),
        Column("at", header="WAITS AT", least=16),
        Column("holder", least=20, colour=_deadlock_colour),
        Column(
            "spawn_locations",
            header="LOCATIONS",
            value=lambda row: " ".join(row.spawn_locations),
            wide=True,
        ),
    ),
    identity=_object,
)
"""The table without growth."""

_GROWTH: Column[WaitedObject] = Column(
    "per_minute",
    header="NET/MIN",
    show=formats.signed,
    right=True,
    colour=lambda row: (
        "yellow" if isinstance(row.per_minute, float) and row.per_minute > 0 else None
    ),
)


def run(
    ctx: typer.Context,
    output: Format,
    *,
    limit: int,
    exact: bool,
    window: float | None,
    source: Path | None,
    save: Path | None,
    params: dict[str, Any],
) -> None:
    """Count the live tasks by object. With ``window``, look twice, so many seconds apart, for the growth."""
    if exact:
        params = {**params, "exact": True}
    if window is not None:
        if source or save:
            raise UsageError("--window looks at a live service twice; it takes no file")
        answer = _look_twice(ctx, window, {"limit": limit, **params})
        raw = msgspec.json.encode(answer)
    else:
        answer, raw = ask_or_read(
            ctx, TASKS_BY_OBJECT, TasksByObject, source=source, save=save, limit=limit, **params
        )
    rows = answer.objects[:limit]
    if not rows and output in (Format.TABLE, Format.WIDE):
        say("no live task matches")
        return
    table = OBJECT_TABLE if window is None else _with_growth(OBJECT_TABLE)
    show(output, table, rows, raw=raw)
    _tell_limits(answer, rows)


def _with_growth(table: Table[WaitedObject]) -> Table[WaitedObject]:
    """The table with the growth after the first column."""
    return table._replace(columns=(table.columns[0], _GROWTH, *table.columns[1:]))


def _look_twice(ctx: typer.Context, seconds: float, params: dict[str, Any]) -> TasksByObject:
    control = client(ctx)
    before = control.get(TASKS_BY_OBJECT, TasksByObject, **params)
    windows.wait(seconds)
    return with_growth(before, control.get(TASKS_BY_OBJECT, TasksByObject, **params))


def with_growth(before: TasksByObject, after: TasksByObject) -> TasksByObject:
    """``after`` with the growth of each object per minute since ``before``, strongest growth first.

    An object that ``before`` does not list had no waiters then, unless ``before`` was cut at its limit. Growth
    is null for all objects if the two are of different processes.
    """
    seconds = (comparison.taken(after) - comparison.taken(before)).total_seconds()
    same = comparison.process_of(before) == comparison.process_of(after) and seconds > 0
    earlier = {_key(row): _count(row) for row in before.objects}
    is_complete = len(before.objects) >= before.total
    for row in after.objects:
        count = earlier.get(_key(row), 0 if is_complete else None)
        known = same and count is not None
        row.per_minute = (_count(row) - (count or 0)) * 60 / seconds if known else None
    after.objects.sort(key=lambda row: (-(row.per_minute or 0), -row.task_count))
    after.window_s = seconds
    return after


def _key(row: WaitedObject) -> tuple[str, int | None, str]:
    """What identifies a row: the object, or the kind and the function in which the tasks wait."""
    return row.kind, row.object_number, "" if row.object_number is not None else row.at


def _count(row: WaitedObject) -> int:
    """The object's own count is exact, where the number of tasks may be an estimate."""
    return row.task_count if row.waiters is None else row.waiters


def _tell_limits(answer: TasksByObject, rows: list[WaitedObject]) -> None:
    """Say on stderr what the numbers do not cover."""
    if not isinstance(answer.window_s, UnsetType):
        over, until = formats.age(answer.window_s), formats.clock(answer.taken_at)
        say(f"over {over}, until {until} UTC")
    if answer.sampled < answer.live:
        say(
            f"estimated from a sample of {answer.sampled:,} of {answer.live:,} tasks; --exact counts all"
        )
    if len(rows) < answer.total:
        say(f"the {len(rows):,} largest of {answer.total:,} rows; --limit N shows more")
    if answer.searched < answer.searchable:
        say(
            f"{answer.searched:,} of {answer.searchable:,} tasks were searched for the holders of locks"
        )
    if answer.untracked:
        say(f"{formats.plural(answer.untracked, 'untracked task')} not counted")
