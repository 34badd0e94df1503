"""``qcfeed tasks cancel``: the plan, the question, the end of those tasks, and who survived."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from qcfeed.cli.context import Format, Output, act, examples, options, say
from qcfeed.cli.saved_files import From, ask_or_read
from qcfeed.cli.tasks import filters
from qcfeed.cli.tasks.show import told
from qcfeed.cli.ui import formats
from qcfeed.cli.ui.confirm import confirm
from qcfeed.cli.ui.figures import Figure, show_figures
from qcfeed.cli.ui.render import draw, emit, show
from qcfeed.cli.ui.table import Column, Table
from qcfeed.control.routes import TASKS_CANCEL, TASKS_CANCEL_PLAN
from qcfeed.errors import ExitStatus, UsageError
from qcfeed.model.answers import Task
from qcfeed.model.task_details import (
    CancelledTasks,
    CancelPlan,
    CancelTasksRequest,
    PlannedLocation,
    Surviving,
)

EXAMPLES = examples(
    "qcfeed tasks cancel 48213 48214              # a number is never used again",
    "qcfeed tasks cancel --site feed.py:77 --older-than 1h --dry-run",
    "qcfeed tasks cancel --label symbol=AAPL --yes",
)

LISTED = 10
"""Tasks of a plan that are shown to people one by one; a plan of more is shown by location."""

PLANNED_TABLE: Table[Task] = Table(
    (
        Column("serial", right=True),
        Column("age_s", header="AGE", show=formats.age, right=True),
        Column("name", least=8),
        Column("location", least=24),
        Column("state", least=12),
    ),
    identity=lambda task: str(task.serial),
)

LOCATION_TABLE: Table[PlannedLocation] = Table(
    (
        Column("location", least=24),
        Column("tasks", show=formats.count, right=True),
    ),
    identity=lambda row: row.location,
)


def cancel(
    ctx: typer.Context,
    serials: Annotated[
        list[int] | None, typer.Argument(min=1, metavar="SERIAL...", help="Their numbers.")
    ] = None,
    site: filters.Site = "",
    label: filters.Label = None,
    older_than: filters.OlderThan = None,
    waiting_on: filters.WaitingOn = "",
    name: filters.Name = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be cancelled.")
    ] = False,
    source: From = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Cancel tasks by number, or all that match, and say who survived and why.

    On a terminal the plan is shown first, and then asked about; without one, --yes is needed (exit 6).
    Tasks born after the plan are left alone. What matches is spared if the program stands on it:
    its main task and the control plane's own; their number cancels them all the same.
    Exit status: 1 when one is alive after --timeout seconds, 0 otherwise.
    """
    which = filters.asked(site, label, older_than, waiting_on, name)
    if bool(serials) == bool(which):
        raise UsageError(
            "say which tasks to cancel: serial numbers, or a filter, not both",
            hint="for example `qcfeed tasks cancel 48213`, or --site feed.py:77",
        )
    if source and not dry_run:
        raise UsageError(
            "a file has no tasks to cancel", hint="--dry-run shows which these would have been"
        )
    plan, raw = _plan(ctx, serials or [], which, source)
    if dry_run:
        _show_plan(plan, output, raw)
        return
    if not plan.count:
        say(f"there is nothing to cancel{besides(plan)}")
        return
    if sys.stderr.isatty():
        _draw(plan, sys.stderr)
    if not yes:
        _confirm(plan)
    request = CancelTasksRequest(
        serials=serials or [], up_to=plan.up_to, timeout_s=options(ctx).timeout, **which
    )
    if sys.stderr.isatty():
        say(f"cancelling; they have {formats.age(request.timeout_s)} to end")
    answer, raw = act(ctx, TASKS_CANCEL, request, CancelledTasks)
    _show_outcome(answer, output, raw)


def _plan(
    ctx: typer.Context, serials: list[int], which: dict[str, Any], source: Path | None
) -> tuple[CancelPlan, bytes]:
    numbers: dict[str, Any] = {"serials": ",".join(map(str, serials))} if serials else {}
    return ask_or_read(ctx, TASKS_CANCEL_PLAN, CancelPlan, source=source, **numbers, **which)


def _show_plan(plan: CancelPlan, output: Format, raw: bytes) -> None:
    if output in (Format.TABLE, Format.WIDE):
        _draw(plan, sys.stdout)
        say(f"{formats.plural(plan.count, 'task')} would be cancelled{besides(plan)}")
    else:
        show(output, PLANNED_TABLE, plan.tasks, raw=raw)


def _draw(plan: CancelPlan, stream: TextIO) -> None:
    if plan.count > LISTED:
        draw(LOCATION_TABLE, plan.locations, stream=stream)
    elif plan.count:
        draw(PLANNED_TABLE, plan.tasks, stream=stream)


def besides(plan: CancelPlan) -> str:
    """What is not in the plan, in words."""
    words = [f"; {formats.plural(len(plan.gone), 'number')} of no live task"] if plan.gone else []
    words += [f"; task {each.task} is spared: {each.why}" for each in plan.spared[:LISTED]]
    return "".join(words)


def _confirm(plan: CancelPlan) -> None:
    """Raises NeedsConfirmationError unless a person answers yes."""
    confirm(
        f"cancel {formats.plural(plan.count, 'task')}{besides(plan)}",
        hint="--dry-run shows them, --yes does it",
        refused="nothing was cancelled",
    )


def _show_outcome(answer: CancelledTasks, output: Format, raw: bytes) -> None:
    names = [str(survivor.task) for survivor in answer.survivors]
    show_figures(output, outcome(answer), raw=raw, names=names)
    if answer.survivors and output in (Format.TABLE, Format.WIDE):
        for survivor in answer.survivors:
            emit("\n".join(["", *why(survivor)]))
    if answer.survived:
        say(f"{formats.plural(answer.survived, 'task')} would not end; look again, it may be late")
        raise typer.Exit(ExitStatus.FINDINGS)


def why(survivor: Surviving) -> list[str]:
    """Where one stands that would not end."""
    head = (
        f"task {survivor.task} from {survivor.location} lives: {survivor.state};"
        f" cancelled {formats.plural(survivor.cancelling, 'time')}"
    )
    stack = told("stack", survivor.stack) if survivor.stack else []
    return [formats.printable(head), *stack]


def outcome(answer: CancelledTasks) -> list[Figure]:
    """What became of them."""
    survived, failed = answer.survived, answer.failed
    return [
        Figure("cancelled", formats.plural(answer.cancelled, "task")),
        Figure("survived", formats.count(survived), "red" if survived else None),
        Figure("failed in cleanup", formats.count(failed), "yellow" if failed else None),
        Figure("already gone", formats.count(answer.already_gone)),
        *(Figure("spared", f"task {each.task}: {each.why}") for each in answer.spared[:LISTED]),
        Figure(
            "took",
            f"{formats.milliseconds(answer.elapsed_ms)};"
            f" the loop stalled {formats.milliseconds(answer.max_stall_ms)} at most",
        ),
    ]
