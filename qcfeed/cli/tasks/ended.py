"""``qcfeed tasks ended`` lists ended tasks; ``tasks failures`` lists the exceptions they failed with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from qcfeed.cli import output_files, saved_files, target
from qcfeed.cli.context import Format, Output, examples, say
from qcfeed.cli.tasks.filters import Site
from qcfeed.cli.tasks.show import stack_lines
from qcfeed.cli.ui import formats, render
from qcfeed.cli.ui.listing import selected
from qcfeed.cli.ui.table import Column, Table
from qcfeed.control.routes import TASKS_ENDED, TASKS_FAILURES
from qcfeed.diagnostics.ended_task import TaskOutcome
from qcfeed.model.ended_tasks import (
    EndedTask,
    RaisedException,
    TaskFailure,
    TaskFailures,
    TasksEnded,
)

ENDED_EXAMPLES = examples(
    "qcfeed tasks ended --outcome cancelled",
    "qcfeed tasks ended --site hub.py:83 -o json | jq '.tasks[].cancelled_at'",
)
FAILURES_EXAMPLES = examples(
    "qcfeed tasks failures",
    "qcfeed tasks failures --site hub.py -o json | jq '.failures[0].raised[0].error'",
)


_COLOURS = {
    TaskOutcome.FAILED: "red",
    TaskOutcome.DESTROYED: "red",
    TaskOutcome.CANCELLED: "yellow",
}


def _canceller(task: EndedTask) -> str:
    """Who called ``cancel()``, where, and how often."""
    if not task.cancels:
        return ""
    caller = "" if task.cancelled_by is None else f"task {task.cancelled_by} at "
    times = "" if task.cancels == 1 else f", {task.cancels} times"
    return f"{caller}{task.cancelled_at}{times}"


ENDED_TABLE: Table[EndedTask] = Table(
    (
        Column("serial", right=True),
        Column("ended_ago_s", header="AGO", show=formats.age, right=True),
        Column("lifetime_s", header="LIVED", show=formats.age, right=True),
        Column("outcome", colour=lambda t: _COLOURS.get(TaskOutcome(t.outcome))),
        Column("name", least=8, rank=2),
        Column("location", least=20),
        Column("cancelled_by", _canceller, least=20),
        Column("labels", value=lambda t: formats.labels(t.labels), wide=True),
    ),
    identity=lambda task: str(task.serial),
)

FAILURE_TABLE: Table[TaskFailure] = Table(
    (
        Column("count", show=formats.count, right=True),
        Column("last_s", header="LAST", show=formats.age, right=True),
        Column("location", least=20),
        Column("error", value=lambda f: f.raised[0].error, least=24),
        Column("at", value=lambda f: _raised_at(f.raised[0]), least=20),
        Column("last_serial", right=True, wide=True),
    ),
    identity=lambda failure: failure.location,
)


def ended(
    ctx: typer.Context,
    site: Site = "",
    outcome: Annotated[
        TaskOutcome | None, typer.Option(help="Only tasks that ended in this way.")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, max=10_000, help="List at most the N latest.")] = 100,
    source: saved_files.From = None,
    save: saved_files.Save = None,
    force: output_files.Force = False,  # noqa: ARG001 - ask_or_read looks it up
    output: Output = Format.TABLE,
) -> None:
    """List tasks that have ended, the latest first, with their outcome and who cancelled them.

    Keeps the last 32 per location; bursts of normal completions are sampled. The end of a task that
    is still referenced is noticed up to 10 s late.

    Exit status: 0.
    """
    word = "" if outcome is None else outcome.value
    answer, raw = saved_files.ask_or_read(
        ctx, TASKS_ENDED, TasksEnded, source=source, save=save, site=site, outcome=word,
        limit=limit,
    )  # fmt: skip
    people = output in (Format.TABLE, Format.WIDE)
    if people and not answer.tasks:
        say("no task has ended" if not answer.total else "no remembered task ended like that")
        return
    render.show(output, _table(), answer.tasks[:limit], raw=raw)
    if people:
        shown = min(limit, len(answer.tasks))
        say(f"the {shown:,} latest of {answer.kept:,} remembered; {answer.total:,} have ended")


def _table() -> Table[EndedTask]:
    """ENDED_TABLE; of a file, the time is that before the snapshot."""
    if target.current().source is None:
        return ENDED_TABLE
    columns = (
        each._replace(header="BEFORE") if each.header == "AGO" else each
        for each in ENDED_TABLE.columns
    )
    return ENDED_TABLE._replace(columns=tuple(columns))


def failures(
    ctx: typer.Context,
    site: Site = "",
    limit: Annotated[int, typer.Option(min=0, max=256, help="List at most the N latest.")] = 20,
    source: saved_files.From = None,
    save: saved_files.Save = None,
    force: output_files.Force = False,  # noqa: ARG001 - ask_or_read looks it up
    output: Output = Format.TABLE,
) -> None:
    """List the exceptions that tasks failed with, by location, type and line.

    Each with its count and the latest traceback.

    Exit status: 0.
    """
    answer, raw = saved_files.ask_or_read(
        ctx, TASKS_FAILURES, TaskFailures, source=source, save=save, site=site, limit=limit
    )
    listed = answer.failures[:limit]
    if output is Format.TABLE:
        listed = selected(FAILURE_TABLE, listed)
        render.emit("\n\n".join("\n".join(_paragraph(each, answer)) for each in listed))
    else:
        render.show(output, FAILURE_TABLE, listed, raw=raw)
    if output in (Format.TABLE, Format.WIDE):
        _summarize(answer, len(listed))


def _paragraph(failure: TaskFailure, answer: TaskFailures) -> Iterator[str]:
    """One kind of failure as lines of text: a traceback does not fit into a table."""
    times = "once" if failure.count == 1 else f"{failure.count:,} times"
    spawned = f"{failure.location} ({failure.function})"
    last = f"{target.moment(failure.last_s, answer.taken_at)}, task {failure.last_serial}"
    first, *causes = failure.raised
    yield formats.printable(f"{first.error}")
    yield formats.printable(f"  {times} in tasks from {spawned}; most recently {last}")
    yield from _traceback(first)
    for cause in causes:
        yield formats.printable(f"  caused by {cause.error}")
        yield from _traceback(cause)


def _traceback(raised: RaisedException) -> Iterator[str]:
    if raised.dropped_frames:
        yield f"  ({formats.plural(raised.dropped_frames, 'outer call')} not kept)"
    yield from (f"  {line}" for line in stack_lines("raised", raised.stack))


def _raised_at(raised: RaisedException) -> str:
    return raised.stack[-1].location if raised.stack else ""


def _summarize(answer: TaskFailures, shown: int) -> None:
    if not answer.kinds:
        say("no task has failed")
    elif shown < answer.kinds:
        say(f"the {shown:,} latest of {answer.kinds:,} kinds of failure; --limit N shows more")
    if answer.dropped_failures:
        say(
            f"{formats.plural(answer.dropped_failures, 'failure')} of further kinds were only counted"
        )
