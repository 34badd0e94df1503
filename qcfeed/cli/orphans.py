"""``qcfeed orphans`` lists tasks and subscriptions without an owner; ``--reap`` cancels them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from qcfeed.cli import cluster, target
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
from qcfeed.cli.ui.figures import LabelledValue, show_figures
from qcfeed.cli.ui.listing import ALL, listed, request_limit
from qcfeed.cli.ui.render import show
from qcfeed.cli.ui.table import Column, Table
from qcfeed.control.routes import ORPHANS, REAP
from qcfeed.errors import ExitStatus, UsageError
from qcfeed.model.orphans import (
    Orphan,
    Orphans,
    Reaped,
    ReapedLocation,
    ReapRequest,
    Survivor,
)

DEFAULT_LIMIT = 1_000
LOCATIONS_NAMED = 3
"""Locations of which it is told after a reap whether their leak goes on."""

app = new_app()

ORPHAN_TABLE: Table[Orphan] = Table(
    (
        Column("serial", header="TASK", right=True),
        Column("age_s", header="AGE", show=formats.age, right=True),
        Column("symbol"),
        Column("location", least=24),
        Column("evidence", "reason", show=target.retold, least=24),
    ),
    identity=lambda orphan: str(orphan.serial) if orphan.serial is not None else str(orphan.symbol),
)

SURVIVOR_TABLE: Table[Survivor] = Table(
    (
        Column("serial", header="TASK", right=True),
        Column("location", least=24),
        Column("state", least=24),
    ),
    identity=lambda survivor: str(survivor.serial),
)


def orphans(
    ctx: typer.Context,
    reap: Annotated[
        bool,
        typer.Option("--reap", help="Cancel all orphans and wait until they have ended."),
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help=f"List at most the N oldest. Default: {DEFAULT_LIMIT}."
        ),
    ] = None,
    site: filters.Site = "",
    label: filters.Label = None,
    older_than: filters.OlderThan = None,
    waiting_on: filters.WaitingOn = "",
    name: filters.Name = "",
    source: From = None,
    output: Output = Format.TABLE,
) -> None:
    """List tasks and subscriptions whose owner is gone, or reap them.

    --reap cancels proven orphans only, so it does not ask for confirmation. It gives them
    --timeout seconds to end. --limit and the filters (--site, --label and so on) are for the list:
    --reap takes all orphans, and is refused with them.

    Exit status: 1 if there are orphans or the ledger is incomplete, 0 if not; with --reap, 1 if an
    orphan survives, 0 if none does.
    """
    params = filters.params(site, label, older_than, waiting_on, name)
    if cluster.is_asked(ctx,
        limit=limit, site=site, label=label, older_than=older_than, waiting_on=waiting_on, name=name,
        **{"from": source},
    ):  # fmt: skip
        from qcfeed.cli.cluster import orphans as across

        across.orphans(ctx, output, reap=reap)
        return
    if reap and (params or limit):
        raise UsageError(
            "--reap takes all orphans; it cannot be combined with --limit or a filter",
            hint="`qcfeed tasks cancel --site FILE:LINE` cancels some tasks, orphaned or not",
        )
    if source and (reap or params):
        raise UsageError("orphans read from a file cannot be reaped or filtered")
    _reap(ctx, output) if reap else _list(ctx, limit or DEFAULT_LIMIT, output, source, params)


app.command(
    epilog=examples(
        "qcfeed orphans                       # which, since when, and the evidence",
        "qcfeed orphans --reap                # cancel all of them, and nothing else",
        "qcfeed orphans --watch 5             # until Ctrl-C",
        "qcfeed orphans -o name | wc -l       # count them",
    )
)(listed(orphans, "symbol", own_limit=ALL))


def _list(
    ctx: typer.Context, limit: int, output: Format, source: Path | None, params: dict[str, Any]
) -> None:
    answer, raw = ask_or_read(
        ctx, ORPHANS, Orphans, source=source, limit=request_limit(limit), **params
    )
    rows = answer.orphans[: request_limit(limit)]
    nothing_to_list = not answer.total and output in (Format.TABLE, Format.WIDE)
    if not nothing_to_list:
        show(output, ORPHAN_TABLE, rows, raw=raw)
    warn_incomplete(answer.incomplete)
    if not answer.total:
        if nothing_to_list:
            say(_no_orphans(bool(params), answer))
        if answer.incomplete:
            raise typer.Exit(ExitStatus.FINDINGS)
        return
    if source is not None:
        say(_of_file(min(limit, len(rows)), answer))
    elif len(rows) < answer.total:
        say(f"the {len(rows):,} oldest of {formats.plural(answer.total, 'orphan')}")
    scope = "all orphans, not only these" if params else "exactly these"
    say(f"{formats.plural(answer.total, 'orphan')}: `qcfeed orphans --reap` cancels {scope}")
    raise typer.Exit(ExitStatus.FINDINGS)


def _of_file(shown: int, answer: Orphans) -> str:
    """How many of the orphans of that time are shown: a file may have only some, of any age."""
    total, kept = formats.plural(answer.total, "orphan"), len(answer.orphans)
    if shown == answer.total:
        return f"{total} at that time"
    in_file = "" if kept == answer.total else f"; the file has {kept:,}"
    return f"{shown:,} of {total} at that time{in_file}"


def _no_orphans(filtered: bool, answer: Orphans) -> str:
    """The message for an empty list. It claims nothing about tasks that the ledger does not see."""
    if filtered:
        return "no orphaned task matches"
    if answer.incomplete:
        return "no orphans among the tasks that the ledger can see"
    if answer.untracked:
        untracked = formats.plural(answer.untracked, "untracked task")
        return f"no orphans among the tracked tasks; the owner of {untracked} is not known"
    return "no orphans: every live task and subscription has its owner"


def _reap(ctx: typer.Context, output: Format) -> None:
    request = ReapRequest(timeout_s=options(ctx).timeout)
    answer, raw = act(ctx, REAP, request, Reaped)
    show_figures(output, figures(answer), raw=raw, names=[str(s.serial) for s in answer.survivors])
    if answer.survivors:
        if output in (Format.TABLE, Format.WIDE):
            show(output, SURVIVOR_TABLE, answer.survivors, raw=raw)
        say(f"{formats.plural(len(answer.survivors), 'task')} did not end: see their state above")
    for each in answer.locations[:LOCATIONS_NAMED]:
        say(_next(each))
    if warn_incomplete(answer.incomplete):
        say("orphans among the tasks that the ledger cannot see were not cancelled")
    if answer.survivors or answer.incomplete:
        raise typer.Exit(ExitStatus.FINDINGS)


def _next(reaped: ReapedLocation) -> str:
    """Whether the leak goes on, how fast, and which line must change."""
    if reaped.per_minute:
        rate = f"{reaped.per_minute:,.0f} per minute"
        return f"the leak goes on at {reaped.location}, {rate}, until that line is changed"
    return f"no more orphans are being created at {reaped.location}"


def figures(answer: Reaped) -> list[LabelledValue]:
    """The outcome of a reap as figures."""
    survived, failed = len(answer.survivors), answer.failed
    return [
        LabelledValue("cancelled", formats.plural(answer.cancelled, "task")),
        LabelledValue("survived", formats.count(survived), "red" if survived else None),
        LabelledValue("failed in cleanup", formats.count(failed), "yellow" if failed else None),
        LabelledValue("already gone", formats.count(answer.already_gone)),
        LabelledValue("subscriptions", f"{formats.count(answer.subscriptions)} removed"),
        LabelledValue(
            "took",
            f"{formats.milliseconds(answer.elapsed_ms)};"
            f" the loop stalled {formats.milliseconds(answer.max_stall_ms)} at most",
        ),
    ]
