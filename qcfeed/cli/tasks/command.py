"""``qcfeed tasks``: lists live tasks one by one, or counts them by spawn location."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer._click import Command
from typer.main import get_command

from qcfeed.cli import cluster, output_files
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
from qcfeed.cli.tasks.tables import (
    GROUP_TABLE,
    LOCATION_TABLE,
    TASK_TABLE,
    total_row,
    with_matching,
)
from qcfeed.cli.ui import durations, watching
from qcfeed.cli.ui.listing import ALL, answered, listed
from qcfeed.cli.ui.render import draw, emit, show
from qcfeed.control.routes import TASKS, TASKS_BY_LOCATION
from qcfeed.errors import UsageError
from qcfeed.model.tasks import Tasks, TasksByLocation

DEFAULT_LIMIT = 1_000
MAX_FAILURES = 256
"""The most kinds of failures that a program remembers."""
BY_LOCATION = str(TasksByLocation.__struct_config__.tag)

SUBCOMMANDS = {
    "show": "Show one live task in full: its stack, wait, owner, parent and awaiters.",
    "cancel": "Cancel tasks by serial number, or all that match a filter, and report survivors.",
    "diff": "Compare two snapshots: tasks created and ended per spawn location, and which grew.",
    "ended": "List tasks that have ended, the latest first, with their outcome and who cancelled them.",
    "failures": "List the exceptions that tasks failed with, by location, type and line.",
    "findings": "List what is wrong with the tasks: each finding with evidence and the next command.",
    "verify": "Prove that a leak is fixed: tasks are created at a location, but do not accumulate.",
}
"""Every subcommand and its short help; its module is ``<name>.py`` in this package."""

_MODULES = {"failures": "ended"}
"""The subcommands that are in a module of another name."""


_LISTS = {"diff": 0, "ended": ALL, "failures": MAX_FAILURES, "findings": 0}
"""The subcommands that list rows, with the most that their own --limit may be."""


def _with_options(name: str, function: Callable[..., None]) -> Callable[..., None]:
    if name in _LISTS:
        return listed(function, own_limit=_LISTS[name])
    return answered(function)


class Subcommands(LazyGroup):
    """The subcommands of the table, each imported only when it is called."""

    listed = SUBCOMMANDS

    def load(self, name: str) -> Command:
        module = importlib.import_module(f"qcfeed.cli.tasks.{_MODULES.get(name, name)}")
        own_app = new_app()
        epilog = getattr(module, f"{name.upper()}_EXAMPLES", None) or module.EXAMPLES
        function = getattr(module, name)
        own_app.command(epilog=epilog)(_with_options(name, function))
        command = get_command(own_app)
        command.name = name
        return command


_BY_PLACE = ("location", "caller", "creator")

app = new_app()


def tasks(
    ctx: typer.Context,
    by_location: Annotated[
        bool, typer.Option("--by-location", help="One row per spawn location, and a total.")
    ] = False,
    by: Annotated[
        str,
        typer.Option(
            "--by",
            metavar="WHAT",
            help="One row per location, per caller (the application's line), per creator (the line that"
            " creates the task, even a library's), per object that tasks wait for (object), or per value"
            " of label:KEY.",
        ),
    ] = "",
    tree: Annotated[
        bool, typer.Option("--tree", help="Show each task under its parent, with its awaiters.")
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
        durations.option(
            text="Take two snapshots DURATION apart; show created, ended and net per minute for"
            " each location, or with --by object the growth of each object's waiters.",
        ),
    ] = None,
    watch: watching.Watch = None,
    save: Save = None,
    force: output_files.Force = False,  # noqa: ARG001 - ask_or_read looks it up
    source: From = None,
    pid: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="PID",
            help="Look at a program without qcfeed: its tasks by coroutine and where they wait.",
        ),
    ] = None,
    form: TaskOutput = TaskFormat.TABLE,
) -> None:
    """List live tasks, oldest first, or count them by spawn location.

    A spawn location is the line of code that created the task, FILE:LINE. If a library created it, the
    nearest line of the application that called the library follows: future.py:20 < bot.py:88. Every spawned task is
    live, finished, cancelled, failed or destroyed. A live task is orphaned if its owner is gone.
    With --by-location, tasks from before the ledger are listed by where they wait.

    With --pid, the tasks of any running asyncio program on Python 3.14 or later are read from a
    thread inside it, which leaves nothing behind.

    Exit status: 0.
    """
    params = filters.params(site, label, older_than, waiting_on, name)
    for_one = {"by": by, "tree": tree, "waits": waits, "exact": exact, "window": window,
               "watch": watch, "save": save, "pid": pid, "from": source, **params}  # fmt: skip
    if ctx.invoked_subcommand is not None or _counted_in_cluster(ctx, by_location, form, for_one):
        return
    other_view = watch is not None or window is not None or tree or by not in ("", *_BY_PLACE)
    if pid is not None:
        from qcfeed.cli.tasks import of_process

        of_process.run(
            ctx, pid, form, alone=not (other_view or params or by_location or by or save or source)
        )
        return
    if form in PROFILES:
        _profile(ctx, form, source, save, params, exact=exact, other_view=other_view)
        return
    output = Format(form)
    if by == "object" and not (waits or tree or watch is not None):
        from qcfeed.cli.tasks import by_object

        by_object.run(
            ctx,
            output,
            limit=limit,
            exact=exact,
            window=window,
            source=source,
            save=save,
            params=params,
        )
        return
    wait_params = waiting.params(waits, exact, other_view=other_view)
    if watch is not None or window is not None:
        if save or source or params or by or tree:
            raise UsageError(
                "--window and --watch compare two live snapshots of all tasks by location; they"
                " take no filter, view or file",
                hint="`qcfeed tasks diff BEFORE AFTER` compares two files",
            )
        from qcfeed.cli.tasks import windows

        windows.run(ctx, window or watch or None, output, watch=watch is not None)
    elif tree:
        from qcfeed.cli.tasks import trees

        trees.run(ctx, output, limit=limit, source=source, save=save, params=params)
    elif by and by not in _BY_PLACE:
        from qcfeed.cli.tasks import by_label

        by_label.run(ctx, by, output, limit=limit, source=source, save=save, params=params)
    elif by or by_location or wait_params or (source and schema_of(source) == BY_LOCATION):
        grouping = {} if by in ("", "location") else {"by": by}
        _by_location(ctx, output, source, save, params, wait_params | grouping)
    else:
        _oldest(ctx, limit, output, source, save, params)


def _counted_in_cluster(
    ctx: typer.Context, by_location: bool, form: TaskFormat, for_one: dict[str, Any]
) -> bool:
    """Count the tasks of all instances if that is asked for; whether it was. ``for_one``: options of one."""
    if not cluster.is_asked(ctx, **for_one):
        return False
    from qcfeed.cli.cluster import views

    views.tasks_by_location(ctx, Format(form), by_location=by_location)
    return True


app.callback(
    cls=Subcommands,
    invoke_without_command=True,
    subcommand_metavar="[COMMAND]",
    epilog=examples(
        "qcfeed tasks --by-location           # which line leaks",
        "qcfeed tasks --waits                 # and what its tasks wait on",
        "qcfeed tasks --limit 20              # the 20 oldest",
        "qcfeed tasks --by caller             # which line of the application leads to them",
        "qcfeed tasks --by label:symbol       # how many for each symbol",
        "qcfeed tasks --by object             # which lock, event or queue they wait for; who holds it",
        "qcfeed tasks --older-than 5m --waiting-on sleep --label symbol=AAPL",
        "qcfeed tasks --window 30s            # which line grows, and how fast",
        "qcfeed tasks --save before.json      # a full snapshot, to read with --from",
        "qcfeed tasks --pid 4711              # a running program that has never heard of qcfeed",
        "qcfeed tasks -o speedscope > tasks.speedscope.json   # a flame graph",
        "qcfeed tasks --by-location -o json | jq '.locations[] | select(.orphaned > 0)'",
    ),
)(listed(tasks, own_limit=ALL))


def _profile(
    ctx: typer.Context,
    form: TaskFormat,
    source: Path | None,
    save: Path | None,
    params: dict[str, Any],
    *,
    exact: bool,
    other_view: bool,
) -> None:
    if other_view:
        raise UsageError(
            f"-o {form} cannot be combined with --tree, --by, --window or --watch",
            hint=f"`qcfeed tasks -o {form}`; filters are allowed",
        )
    from qcfeed.cli.tasks import export  # imported late: most calls print a table

    export.run(ctx, form, source=source, save=save, exact=exact, params=params)


def _by_location(
    ctx: typer.Context,
    output: Format,
    source: Path | None,
    save: Path | None,
    params: dict[str, Any],
    wait_params: dict[str, Any],
) -> None:
    answer, raw = ask_or_read(
        ctx, TASKS_BY_LOCATION, TasksByLocation, source=source, save=save, **params, **wait_params
    )
    total = None if params else total_row(answer.totals)
    table = with_matching() if params else LOCATION_TABLE
    if any(row.waits for row in answer.locations):
        table = waiting.with_waits(table)
    show(output, table, answer.locations, raw=raw, total=total)
    if answer.earlier and not params and output in (Format.TABLE, Format.WIDE):
        emit("\ntasks from before the ledger, by coroutine and where they wait:")
        draw(GROUP_TABLE, answer.earlier, wide=output is Format.WIDE)
    warn_incomplete(answer.totals.incomplete)


def _oldest(
    ctx: typer.Context,
    limit: int,
    output: Format,
    source: Path | None,
    save: Path | None,
    params: dict[str, Any],
) -> None:
    answer, raw = ask_or_read(ctx, TASKS, Tasks, source=source, save=save, limit=limit, **params)
    if params and not answer.total and output in (Format.TABLE, Format.WIDE):
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
