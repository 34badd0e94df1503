"""``qcfeed tasks``: what is alive in the service, one by one or by the line that spawned it."""

from __future__ import annotations

from typing import Annotated

import typer

from qcfeed.cli import formats
from qcfeed.cli.context import Format, Output, ask, examples, new_app, say
from qcfeed.cli.layout import Column, Table
from qcfeed.cli.render import show
from qcfeed.control.answers import Location, Task, Tasks, TasksByLocation, TaskTotals
from qcfeed.control.routes import TASKS, TASKS_BY_LOCATION

DEFAULT_LIMIT = 1_000

app = new_app()


def _alarming(row: Location) -> str | None:
    return "red" if row.orphaned else None


TASK_TABLE: Table[Task] = Table(
    (
        Column(key="serial", value=lambda t: t.serial, right=True),
        Column(key="age_s", header="AGE", value=lambda t: t.age_s, show=formats.age, right=True),
        Column(key="name", value=lambda t: t.name, least=8),
        Column(key="coroutine", value=lambda t: t.coroutine, least=24, rank=2),
        Column(key="location", value=lambda t: t.location, least=24),
        Column(key="state", value=lambda t: t.state, least=12),
        Column(key="note", value=lambda t: t.note, least=10, rank=1, colour=lambda _: "yellow"),
    ),
    identity=lambda task: str(task.serial),
)

LOCATION_TABLE: Table[Location] = Table(
    (
        Column(key="location", value=lambda x: x.location, least=24, colour=_alarming),
        Column(key="function", value=lambda x: x.function, least=20, wide=True),
        Column(key="live", value=lambda x: x.live, show=formats.count, right=True),
        Column(
            key="orphaned",
            value=lambda x: x.orphaned,
            show=formats.count,
            right=True,
            colour=_alarming,
        ),
        Column(
            key="oldest_s",
            header="OLDEST",
            value=lambda x: x.oldest_s,
            show=formats.age,
            right=True,
        ),
        Column(key="spawned", value=lambda x: x.spawned, show=formats.count, right=True, rank=1),
        Column(key="finished", value=lambda x: x.finished, show=formats.count, right=True, rank=4),
        Column(
            key="cancelled", value=lambda x: x.cancelled, show=formats.count, right=True, rank=3
        ),
        Column(key="failed", value=lambda x: x.failed, show=formats.count, right=True, rank=2),
        Column(
            key="destroyed", value=lambda x: x.destroyed, show=formats.count, right=True, wide=True
        ),
        Column(key="note", value=lambda x: x.note, least=12),
    ),
    identity=lambda location: location.location,
)


@app.callback(
    invoke_without_command=True,
    subcommand_metavar="",
    epilog=examples(
        "qcfeed tasks --by-location           # which line leaks",
        "qcfeed tasks --limit 20              # the 20 oldest",
        "qcfeed tasks --by-location -o json | jq '.locations[] | select(.orphaned > 0)'",
    ),
)
def tasks(
    ctx: typer.Context,
    by_location: Annotated[
        bool, typer.Option("--by-location", help="A row a spawn location, with a totals line.")
    ] = False,
    limit: Annotated[
        int, typer.Option(min=1, metavar="N", help="List at most the N oldest tasks.")
    ] = DEFAULT_LIMIT,
    output: Output = Format.TABLE,
) -> None:
    """List live tasks, oldest first, or count them by spawn location.

    A spawn location is the line of code that creates tasks. What was spawned is live, finished,
    cancelled or failed; orphaned are those live tasks whose owner is gone.
    """
    if ctx.invoked_subcommand is None:
        _by_location(ctx, output) if by_location else _oldest(ctx, limit, output)


def _by_location(ctx: typer.Context, output: Format) -> None:
    answer, raw = ask(ctx, TASKS_BY_LOCATION, TasksByLocation)
    total = _total(answer.totals)
    show(output, LOCATION_TABLE, answer.locations, raw=raw, total=total)
    if answer.failure:
        say(f"the ledger has stopped booking tasks, so this is incomplete: {answer.failure}")


def _total(totals: TaskTotals) -> Location:
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


def _oldest(ctx: typer.Context, limit: int, output: Format) -> None:
    answer, raw = ask(ctx, TASKS, Tasks, limit=limit)
    show(output, TASK_TABLE, answer.tasks, raw=raw)
    if len(answer.tasks) < answer.total:
        say(
            f"the {len(answer.tasks):,} oldest of {answer.total:,} tasks;"
            " --limit N shows more, --by-location counts all"
        )
