"""``qcfeed tasks ended`` and ``tasks failures``: the tasks that are gone, and what they died of."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

import typer

from qcfeed.cli import saved_files
from qcfeed.cli.context import Format, Output, examples, say
from qcfeed.cli.tasks.show import told
from qcfeed.cli.ui import formats, render
from qcfeed.cli.ui.table import Column, Table
from qcfeed.control.routes import TASKS_ENDED, TASKS_FAILURES
from qcfeed.model.ended_tasks import EndedTask, Failure, Raised, TaskFailures, TasksEnded

ENDED_EXAMPLES = examples(
    "qcfeed tasks ended --outcome cancelled",
    "qcfeed tasks ended --site hub.py:83 -o json | jq '.tasks[].cancelled_at'",
)
FAILURES_EXAMPLES = examples(
    "qcfeed tasks failures",
    "qcfeed tasks failures --site hub.py -o json | jq '.failures[0].raised[0].error'",
)

Site = Annotated[
    str, typer.Option("--site", metavar="FILE:LINE", help="Only tasks that this line spawned.")
]


class Outcome(StrEnum):
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"
    DESTROYED = "destroyed"


_COLOURS = {Outcome.FAILED: "red", Outcome.DESTROYED: "red", Outcome.CANCELLED: "yellow"}


def _by(task: EndedTask) -> str:
    if not task.cancels:
        return ""
    who = "" if task.cancelled_by is None else f"task {task.cancelled_by} at "
    times = "" if task.cancels == 1 else f", {task.cancels} times"
    return f"{who}{task.cancelled_at}{times}"


ENDED_TABLE: Table[EndedTask] = Table(
    (
        Column("serial", right=True),
        Column("ended_s", header="AGO", show=formats.age, right=True),
        Column("lived_s", header="LIVED", show=formats.age, right=True),
        Column("outcome", colour=lambda t: _COLOURS.get(Outcome(t.outcome))),
        Column("name", least=8, rank=2),
        Column("location", least=20),
        Column("cancelled_by", header="TOLD TO END BY", value=_by, least=20),
        Column(
            "labels",
            value=lambda t: " ".join(f"{key}={value}" for key, value in t.labels.items()),
            wide=True,
        ),
    ),
    identity=lambda task: str(task.serial),
)

FAILURE_TABLE: Table[Failure] = Table(
    (
        Column("count", show=formats.count, right=True),
        Column("last_s", header="LAST", show=formats.age, right=True),
        Column("location", least=20),
        Column("error", value=lambda f: f.raised[0].error, least=24),
        Column("at", value=lambda f: _raised_at(f.raised[0]), least=20),
        Column("task", right=True, wide=True),
    ),
    identity=lambda failure: failure.location,
)


def ended(
    ctx: typer.Context,
    site: Site = "",
    outcome: Annotated[
        Outcome | None, typer.Option(help="Only tasks that ended in this way.")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, max=10_000, help="List at most the N latest.")] = 100,
    source: saved_files.From = None,
    save: saved_files.Save = None,
    output: Output = Format.TABLE,
) -> None:
    """The last tasks that ended, the latest first: how, how old, and who cancelled them.

    A location remembers its last 32, of a rush of those that simply finish only some. A task that
    somebody still holds counts as ended from when the service next looked, 10 s later at most.
    """
    word = "" if outcome is None else outcome.value
    answer, raw = saved_files.ask_or_read(
        ctx, TASKS_ENDED, TasksEnded, source=source, target=save, site=site, outcome=word,
        limit=limit,
    )  # fmt: skip
    render.show(output, ENDED_TABLE, answer.tasks[:limit], raw=raw)
    if output in (Format.TABLE, Format.WIDE):
        shown = min(limit, len(answer.tasks))
        say(f"the {shown:,} latest of {answer.kept:,} remembered; {answer.total:,} have ended")


def failures(
    ctx: typer.Context,
    site: Site = "",
    limit: Annotated[int, typer.Option(min=0, max=256, help="List at most the N latest.")] = 20,
    source: saved_files.From = None,
    save: saved_files.Save = None,
    output: Output = Format.TABLE,
) -> None:
    """What tasks died of: exceptions by location, type and line, each with a traceback."""
    answer, raw = saved_files.ask_or_read(
        ctx, TASKS_FAILURES, TaskFailures, source=source, target=save, site=site, limit=limit
    )
    listed = answer.failures[:limit]
    if output is Format.TABLE:
        render.emit("\n\n".join("\n".join(_told(failure)) for failure in listed))
    else:
        render.show(output, FAILURE_TABLE, listed, raw=raw)
    if output in (Format.TABLE, Format.WIDE):
        _say_more(answer, len(listed))


def _told(failure: Failure) -> Iterator[str]:
    """One kind of failure as a paragraph: a traceback does not fit into cells."""
    times = "once" if failure.count == 1 else f"{failure.count:,} times"
    spawned = f"{failure.location} ({failure.function})"
    last = f"{formats.age(failure.last_s)} ago, task {failure.task}"
    first, *causes = failure.raised
    yield formats.printable(f"{first.error}")
    yield formats.printable(f"  {times} in tasks from {spawned}; the last {last}")
    yield from _traceback(first)
    for cause in causes:
        yield formats.printable(f"  because of {cause.error}")
        yield from _traceback(cause)


def _traceback(raised: Raised) -> Iterator[str]:
    if raised.dropped:
        yield f"  ({formats.plural(raised.dropped, 'outer call')} not kept)"
    yield from (f"  {line}" for line in told("raised", raised.stack))


def _raised_at(raised: Raised) -> str:
    return raised.stack[-1].location if raised.stack else ""


def _say_more(answer: TaskFailures, shown: int) -> None:
    if not answer.kinds:
        say("no task has failed")
    elif shown < answer.kinds:
        say(f"the {shown:,} latest of {answer.kinds:,} kinds of failure; --limit N shows more")
    if answer.dropped:
        say(f"{formats.plural(answer.dropped, 'failure')} of further kinds: only counted")
