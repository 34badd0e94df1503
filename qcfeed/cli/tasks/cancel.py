"""``qcfeed tasks cancel``: shows a plan, asks for confirmation, cancels, and reports the survivors."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from qcfeed.cli.context import Format, Output, act, examples, options, say
from qcfeed.cli.saved_files import From, ask_or_read
from qcfeed.cli.tasks import filters
from qcfeed.cli.tasks.show import stack_lines
from qcfeed.cli.ui import formats
from qcfeed.cli.ui.confirm import confirm
from qcfeed.cli.ui.figures import LabelledValue, show_figures
from qcfeed.cli.ui.render import draw, emit, show
from qcfeed.cli.ui.table import Column, Table
from qcfeed.control.routes import TASKS_CANCEL, TASKS_CANCEL_PLAN
from qcfeed.errors import ExitStatus, UsageError, not_found
from qcfeed.model.task_details import (
    CancelledTasks,
    CancelPlan,
    CancelTasksRequest,
    PlannedLocation,
    SurvivorDetails,
)
from qcfeed.model.tasks import Task

EXAMPLES = examples(
    "qcfeed tasks cancel 48213 48214              # serial numbers are never reused",
    "qcfeed tasks cancel --site feed.py:77 --older-than 1h --dry-run",
    "qcfeed tasks cancel --label symbol=AAPL --yes",
)

LISTED = 10
"""A plan of up to this many tasks is shown task by task, a longer one by location."""

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
        Column("count", header="TASKS", show=formats.count, right=True),
    ),
    identity=lambda row: row.location,
)


def cancel(
    ctx: typer.Context,
    serials: Annotated[
        list[int] | None,
        typer.Argument(min=1, metavar="SERIAL...", help="Serial numbers of the tasks to cancel."),
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
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Cancel tasks by serial number, or all that match a filter, and report survivors.

    Shows the plan and asks for confirmation. Tasks created after the plan are not cancelled.
    Filters skip the main task and the control plane; name those by serial to cancel them.

    Exit status: 1 if a task is still alive after --timeout seconds; 6 if there is no terminal to
    ask on and no --yes; 0 otherwise.
    """
    params = filters.params(site, label, older_than, waiting_on, name)
    if bool(serials) == bool(params):
        raise UsageError(
            "name the tasks to cancel by serial numbers or with a filter, not both",
            hint="for example `qcfeed tasks cancel 48213`, or --site feed.py:77",
        )
    if source and not dry_run:
        raise UsageError(
            "tasks in a file cannot be cancelled",
            hint="--dry-run shows which ones would have been cancelled",
        )
    plan, raw = _plan(ctx, serials or [], params, source)
    if plan.gone_serials and not (plan.total or plan.spared):
        raise not_found("live task", *plan.gone_serials, hint="`qcfeed tasks` lists live tasks")
    if dry_run:
        _show_plan(plan, output, raw)
        return
    if not plan.total:
        say(nothing_to_cancel(plan))
        return
    if sys.stderr.isatty():
        _draw(plan, sys.stderr)
    for warning in warnings(plan):
        say(warning)
    if not yes:
        _confirm(plan)
    request = CancelTasksRequest(
        serials=sorted(set(serials or ()) - set(plan.gone_serials)),
        up_to=plan.up_to,
        timeout_s=options(ctx).timeout,
        **params,
    )
    if sys.stderr.isatty():
        say(f"cancelling; waiting up to {formats.age(request.timeout_s)} for the tasks to end")
    answer, raw = act(ctx, TASKS_CANCEL, request, CancelledTasks)
    _show_outcome(answer, output, raw)


def _plan(
    ctx: typer.Context, serials: list[int], params: dict[str, Any], source: Path | None
) -> tuple[CancelPlan, bytes]:
    if serials:
        params = {"serials": ",".join(map(str, serials))}
    return ask_or_read(ctx, TASKS_CANCEL_PLAN, CancelPlan, source=source, **params)


def _show_plan(plan: CancelPlan, output: Format, raw: bytes) -> None:
    for warning in warnings(plan):
        say(warning)
    if output in (Format.TABLE, Format.WIDE):
        _draw(plan, sys.stdout)
        say(f"{formats.plural(plan.total, 'task')} would be cancelled{not_planned(plan)}")
    else:
        show(output, PLANNED_TABLE, plan.tasks, raw=raw)


def _draw(plan: CancelPlan, stream: TextIO) -> None:
    if plan.total > LISTED:
        draw(LOCATION_TABLE, plan.locations, stream=stream)
    elif plan.total:
        draw(PLANNED_TABLE, plan.tasks, stream=stream)


def not_planned(plan: CancelPlan) -> str:
    """The tasks that were named or match but are not in the plan, as a continued sentence."""
    notes = [f"; no live task {_listed(plan.gone_serials)}"] if plan.gone_serials else []
    notes += [f"; task {each.serial} is skipped: {each.why}" for each in plan.spared[:LISTED]]
    return "".join(notes)


def warnings(plan: CancelPlan) -> list[str]:
    """A line for each task of the plan on which the program depends."""
    return [f"WARNING: task {each.serial}: {each.why}" for each in plan.vital]


def nothing_to_cancel(plan: CancelPlan) -> str:
    """The message for an empty plan: ``no live task 999; nothing was cancelled``."""
    reasons = not_planned(plan).removeprefix("; ") or "no live task matches"
    return f"{reasons}; nothing was cancelled"


def _listed(serials: Sequence[int]) -> str:
    more = f" and {len(serials) - LISTED:,} more" if len(serials) > LISTED else ""
    return ", ".join(map(str, serials[:LISTED])) + more


def _confirm(plan: CancelPlan) -> None:
    """Raises NeedsConfirmationError unless a person answers yes."""
    confirm(
        f"cancel {formats.plural(plan.total, 'task')}{not_planned(plan)}",
        hint="--dry-run shows them, --yes does it",
        refused="nothing was cancelled",
    )


def _show_outcome(answer: CancelledTasks, output: Format, raw: bytes) -> None:
    names = [str(survivor.serial) for survivor in answer.survivors]
    show_figures(output, figures(answer), raw=raw, names=names)
    if answer.survivors and output in (Format.TABLE, Format.WIDE):
        for survivor in answer.survivors:
            emit("\n".join(["", *survivor_lines(survivor)]))
    if answer.survived:
        say(f"{formats.plural(answer.survived, 'task')} did not end in time; check again later")
        raise typer.Exit(ExitStatus.FINDINGS)


def survivor_lines(survivor: SurvivorDetails) -> list[str]:
    """Where a task is that did not end: its state and its stack."""
    heading = (
        f"task {survivor.serial} from {survivor.location} is still alive: {survivor.state};"
        f" cancelled {formats.plural(survivor.cancelling, 'time')}"
    )
    stack = stack_lines("stack", survivor.stack) if survivor.stack else []
    return [formats.printable(heading), *stack]


def figures(answer: CancelledTasks) -> list[LabelledValue]:
    """The outcome of a cancellation as figures."""
    survived, failed = answer.survived, answer.failed
    return [
        LabelledValue("cancelled", formats.plural(answer.cancelled, "task")),
        LabelledValue("survived", formats.count(survived), "red" if survived else None),
        LabelledValue("failed in cleanup", formats.count(failed), "yellow" if failed else None),
        LabelledValue("already gone", formats.count(answer.already_gone)),
        *(
            LabelledValue("skipped", f"task {each.serial}: {each.why}")
            for each in answer.spared[:LISTED]
        ),
        LabelledValue(
            "took",
            f"{formats.milliseconds(answer.elapsed_ms)};"
            f" the loop stalled {formats.milliseconds(answer.max_stall_ms)} at most",
        ),
    ]
