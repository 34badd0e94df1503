"""``qcfeed tasks``: what is alive in the service, one by one or by the line that spawned it."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated, Any

import typer
from typer._click import Command
from typer.main import get_command

from qcfeed.cli.context import (
    PROFILES,
    Format,
    TaskFormat,
    TaskOutput,
    examples,
    new_app,
    say,
    warn_incomplete,
)
from qcfeed.cli.lazy import LazyGroup
from qcfeed.cli.saved_files import From, Save, ask_or_read, schema_of
from qcfeed.cli.tasks import filters, waiting
from qcfeed.cli.ui import durations, formats
from qcfeed.cli.ui.render import show
from qcfeed.cli.ui.table import Column, Table
from qcfeed.control.routes import TASKS, TASKS_BY_LOCATION
from qcfeed.errors import UsageError
from qcfeed.model.answers import Location, Task, Tasks, TasksByLocation, TaskTotals

DEFAULT_LIMIT = 1_000
BY_LOCATION = str(TasksByLocation.__struct_config__.tag)

SUBCOMMANDS = {
    "show": "One live task in full: its stack, what it waits on, whom it serves, who waits for it.",
    "cancel": "Cancel tasks by number, or all that match, and say who survived and why.",
    "diff": "Compare two snapshots: what was born and ended a spawn location, and which grew.",
    "ended": "The last tasks that ended, the latest first: how, how old, and who cancelled them.",
    "failures": "What tasks died of: exceptions by location, type and line, each with a traceback.",
    "findings": "What is wrong with the tasks: each finding with its evidence and the next command.",
    "verify": "Prove that a fix holds: tasks are born at a location, their number does not grow, and none is orphaned.",
}
"""Every subcommand and its short help; its file is ``<name>.py`` beside this one."""

_FILES = {"failures": "ended"}
"""Where it is not."""


class Subcommands(LazyGroup):
    """Those of the table: whoever lists tasks imports none of them."""

    listed = SUBCOMMANDS

    def load(self, name: str) -> Command:
        file = importlib.import_module(f"qcfeed.cli.tasks.{_FILES.get(name, name)}")
        alone = new_app()
        epilog = getattr(file, f"{name.upper()}_EXAMPLES", None) or file.EXAMPLES
        alone.command(epilog=epilog)(getattr(file, name))
        command = get_command(alone)
        command.name = name
        return command


app = new_app()


def _alarming(row: Location) -> str | None:
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
        Column(
            "labels",
            value=lambda t: " ".join(f"{key}={value}" for key, value in t.labels.items()),
            wide=True,
        ),
    ),
    identity=lambda task: str(task.serial),
)

LOCATION_TABLE: Table[Location] = Table(
    (
        Column("location", least=24, colour=_alarming),
        Column("function", least=20, wide=True),
        Column(
            "matching",
            value=lambda x: x.matching or None,
            show=formats.count,
            right=True,
            wide=True,
        ),
        Column("live", show=formats.count, right=True),
        Column("orphaned", show=formats.count, right=True, colour=_alarming),
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


@app.callback(
    cls=Subcommands,
    invoke_without_command=True,
    subcommand_metavar="[COMMAND]",
    epilog=examples(
        "qcfeed tasks --by-location           # which line leaks",
        "qcfeed tasks --waits                 # and what its tasks wait on",
        "qcfeed tasks --limit 20              # the 20 oldest",
        "qcfeed tasks --by label:symbol       # whom they are for",
        "qcfeed tasks --older-than 5m --waiting-on sleep --label symbol=AAPL",
        "qcfeed tasks --window 30s            # which line grows, and how fast",
        "qcfeed tasks --save before.json      # all of this moment, for --from",
        "qcfeed tasks -o speedscope > tasks.speedscope.json   # a flame graph of who waits where",
        "qcfeed tasks --by-location -o json | jq '.locations[] | select(.orphaned > 0)'",
    ),
)
def tasks(
    ctx: typer.Context,
    by_location: Annotated[
        bool, typer.Option("--by-location", help="A row a spawn location, with a totals line.")
    ] = False,
    by: Annotated[
        str,
        typer.Option("--by", metavar="WHAT", help="A row a location, or a value: label:symbol."),
    ] = "",
    tree: Annotated[
        bool, typer.Option("--tree", help="Under whom each was spawned, and who waits for it.")
    ] = False,
    site: filters.Site = "",
    label: filters.Label = None,
    older_than: filters.OlderThan = None,
    waiting_on: filters.WaitingOn = "",
    name: filters.Name = "",
    waits: waiting.Waits = False,
    exact: waiting.Exact = False,
    limit: Annotated[
        int, typer.Option(min=1, metavar="N", help="List at most the N oldest tasks.")
    ] = DEFAULT_LIMIT,
    window: Annotated[
        float | None,
        typer.Option(
            parser=durations.parse,
            metavar="DURATION",
            help="Count twice, so far apart: born, ended and net a minute, a location.",
        ),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Do that again and again (every 5s); Ctrl-C ends it.")
    ] = False,
    save: Save = None,
    source: From = None,
    form: TaskOutput = TaskFormat.TABLE,
) -> None:
    """List live tasks, oldest first, or count them by spawn location.

    A spawn location is the line of code that creates tasks. What was spawned is live, finished,
    cancelled or failed; orphaned are those live tasks whose owner is gone.
    """
    if ctx.invoked_subcommand is not None:
        return
    which = filters.asked(site, label, older_than, waiting_on, name)
    other = watch or window is not None or tree or by not in ("", "location")
    if form in PROFILES:
        if other:
            raise UsageError(
                f"-o {form} is of the tasks' stacks, not of --tree, --by, --window or --watch",
                hint=f"`qcfeed tasks -o {form}`, with a filter if you want",
            )
        from qcfeed.cli.tasks import export  # not for those who want a table

        export.run(ctx, form, source=source, save=save, exact=exact, which=which)
        return
    output = Format(form)
    seen = waiting.asked(waits, exact, otherwise=other)
    if watch or window is not None:
        if save or source or which or by or tree:
            raise UsageError(
                "--window and --watch count twice, all tasks by location; a file holds one snapshot",
                hint="`qcfeed tasks diff BEFORE AFTER` compares two files",
            )
        from qcfeed.cli.tasks import windows

        windows.run(ctx, window, output, watch=watch)
    elif tree:
        from qcfeed.cli.tasks import trees

        trees.run(ctx, output, limit=limit, source=source, save=save, which=which)
    elif by and by != "location":
        from qcfeed.cli.tasks import by_label

        by_label.run(ctx, by, output, limit=limit, source=source, save=save, which=which)
    elif by or by_location or seen or (source and schema_of(source) == BY_LOCATION):
        _by_location(ctx, output, source, save, which, seen)
    else:
        _oldest(ctx, limit, output, source, save, which)


def _by_location(
    ctx: typer.Context,
    output: Format,
    source: Path | None,
    save: Path | None,
    which: dict[str, Any],
    seen: dict[str, Any],
) -> None:
    answer, raw = ask_or_read(
        ctx, TASKS_BY_LOCATION, TasksByLocation, source=source, target=save, **which, **seen
    )
    total = None if which else _total(answer.totals)
    table = _with_matching() if which else LOCATION_TABLE
    if any(row.waits for row in answer.locations):
        table = waiting.with_waits(table)
    show(output, table, answer.locations, raw=raw, total=total)
    warn_incomplete(answer.totals.incomplete)


def _with_matching() -> Table[Location]:
    """The location table, with the tasks that match in plain sight."""
    columns = (c._replace(wide=False) if c.key == "matching" else c for c in LOCATION_TABLE.columns)
    return LOCATION_TABLE._replace(columns=tuple(columns))


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


def _oldest(
    ctx: typer.Context,
    limit: int,
    output: Format,
    source: Path | None,
    save: Path | None,
    which: dict[str, Any],
) -> None:
    answer, raw = ask_or_read(ctx, TASKS, Tasks, source=source, target=save, limit=limit, **which)
    if which and not answer.total and output in (Format.TABLE, Format.WIDE):
        warn_incomplete(answer.totals.incomplete)
        say("no live task matches")
        return
    listed = answer.tasks[:limit]
    show(output, TASK_TABLE, listed, raw=raw)
    warn_incomplete(answer.totals.incomplete)
    if len(listed) < answer.total:
        say(
            f"the {len(listed):,} oldest of {answer.total:,} tasks;"
            " --limit N shows more, --by-location counts all"
        )
