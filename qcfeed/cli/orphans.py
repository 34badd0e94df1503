"""``qcfeed orphans``: what is alive without an owner, why we say so, and the end of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from qcfeed.cli.context import (
    Format,
    Output,
    act,
    examples,
    new_app,
    options,
    say,
    warn_incomplete,
)
from qcfeed.cli.saved_files import From, ask_or_read
from qcfeed.cli.tasks import filters
from qcfeed.cli.ui import formats
from qcfeed.cli.ui.figures import Figure, show_figures
from qcfeed.cli.ui.render import show
from qcfeed.cli.ui.table import Column, Table
from qcfeed.control.routes import ORPHANS, REAP
from qcfeed.errors import ExitStatus, UsageError
from qcfeed.model.answers import Orphan, Orphans, Reaped, ReapRequest, Survivor

DEFAULT_LIMIT = 1_000

app = new_app()

ORPHAN_TABLE: Table[Orphan] = Table(
    (
        Column("task", right=True),
        Column("age_s", header="AGE", show=formats.age, right=True),
        Column("symbol"),
        Column("location", least=24),
        Column("evidence", least=24),
    ),
    identity=lambda orphan: str(orphan.task) if orphan.task is not None else str(orphan.symbol),
)

SURVIVOR_TABLE: Table[Survivor] = Table(
    (
        Column("task", right=True),
        Column("location", least=24),
        Column("state", least=24),
    ),
    identity=lambda survivor: str(survivor.task),
)


@app.command(
    epilog=examples(
        "qcfeed orphans                       # who, since when, and the evidence",
        "qcfeed orphans --reap                # cancel exactly those",
        "qcfeed orphans -o name | wc -l       # how many are listed",
    )
)
def orphans(
    ctx: typer.Context,
    reap: Annotated[
        bool,
        typer.Option("--reap", help="Cancel them, and only them; wait; say what became of each."),
    ] = False,
    limit: Annotated[
        int, typer.Option(min=1, metavar="N", help="List at most the N oldest.")
    ] = DEFAULT_LIMIT,
    site: filters.Site = "",
    label: filters.Label = None,
    older_than: filters.OlderThan = None,
    waiting_on: filters.WaitingOn = "",
    name: filters.Name = "",
    source: From = None,
    output: Output = Format.TABLE,
) -> None:
    """List tasks and subscriptions whose owner is gone, or reap them.

    Exit status: 1 when there are any, or when not all tasks can be seen; 0 when there are none;
    with --reap, 0 when none survive.
    --reap touches proven orphans only, so it asks nothing; it gives them --timeout seconds to end.
    --site, --label and the like pick orphaned tasks from the list; --reap takes all orphans.
    """
    which = filters.asked(site, label, older_than, waiting_on, name)
    if reap and which:
        raise UsageError(
            "--reap takes all orphans, and no filter",
            hint="`qcfeed tasks cancel --site FILE:LINE` cancels some, orphaned or not",
        )
    if source and (reap or which):
        raise UsageError("a file holds what was seen then: it can be neither reaped nor filtered")
    _reap(ctx, output) if reap else _list(ctx, limit, output, source, which)


def _list(
    ctx: typer.Context, limit: int, output: Format, source: Path | None, which: dict[str, Any]
) -> None:
    answer, raw = ask_or_read(ctx, ORPHANS, Orphans, source=source, limit=limit, **which)
    nothing_to_list = not answer.count and output in (Format.TABLE, Format.WIDE)
    if not nothing_to_list:
        show(output, ORPHAN_TABLE, answer.orphans, raw=raw)
    warn_incomplete(answer.incomplete)
    if not answer.count:
        if nothing_to_list:
            say(_none(bool(which), sees_all=not answer.incomplete))
        if answer.incomplete:
            raise typer.Exit(ExitStatus.FINDINGS)
        return
    if len(answer.orphans) < answer.count:
        say(f"the {len(answer.orphans):,} oldest of {formats.plural(answer.count, 'orphan')}")
    these = "all orphans, these too" if which else "exactly these"
    say(f"{formats.plural(answer.count, 'orphan')}: `qcfeed orphans --reap` cancels {these}")
    raise typer.Exit(ExitStatus.FINDINGS)


def _none(filtered: bool, *, sees_all: bool) -> str:
    """What is said when no orphan is listed: that there is none only where all tasks are seen."""
    if filtered:
        return "no orphaned task matches"
    if not sees_all:
        return "no orphans among the tasks that can be seen"
    return "no orphans: every live task and subscription has its owner"


def _reap(ctx: typer.Context, output: Format) -> None:
    request = ReapRequest(timeout_s=options(ctx).timeout)
    answer, raw = act(ctx, REAP, request, Reaped)
    show_figures(output, outcome(answer), raw=raw, names=[str(s.task) for s in answer.survivors])
    if answer.survivors:
        if output in (Format.TABLE, Format.WIDE):
            show(output, SURVIVOR_TABLE, answer.survivors, raw=raw)
        say(f"{formats.plural(len(answer.survivors), 'task')} would not die: see their state above")
    if warn_incomplete(answer.incomplete):
        say("orphans among the tasks that cannot be seen were not cancelled")
    if answer.survivors or answer.incomplete:
        raise typer.Exit(ExitStatus.FINDINGS)


def outcome(answer: Reaped) -> list[Figure]:
    """What became of them."""
    refused, failed = len(answer.survivors), answer.failed
    return [
        Figure("cancelled", formats.plural(answer.reaped, "task")),
        Figure("refused to die", formats.count(refused), "red" if refused else None),
        Figure("failed in cleanup", formats.count(failed), "yellow" if failed else None),
        Figure("already gone", formats.count(answer.already_gone)),
        Figure("subscriptions", f"{formats.count(answer.subscriptions)} removed"),
        Figure(
            "took",
            f"{formats.milliseconds(answer.elapsed_ms)};"
            f" the loop stalled {formats.milliseconds(answer.max_stall_ms)} at most",
        ),
    ]
