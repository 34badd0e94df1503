"""``qcfeed tasks show SERIAL``: shows everything known about one live task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from qcfeed.cli import target
from qcfeed.cli.context import Format, Output, examples, say
from qcfeed.cli.saved_files import From, ask_or_read
from qcfeed.cli.ui import formats
from qcfeed.cli.ui.figures import LabelledValue, show_figures
from qcfeed.cli.ui.render import emit
from qcfeed.control.routes import TASKS_SHOW
from qcfeed.model.task_details import Awaiting, CallFrame, TaskDetails

EXAMPLES = examples(
    "qcfeed tasks show 48213",
    "qcfeed tasks show 48213 -o json | jq '.stack[-1]'",
)


def show(
    ctx: typer.Context,
    serial: Annotated[
        int, typer.Argument(min=1, metavar="SERIAL", help="Serial number of the task.")
    ],
    source: From = None,
    output: Output = Format.TABLE,
) -> None:
    """Show one live task in full: its stack, wait, owner, parent and awaiters.

    Includes the calls that led to its creation if the service records them
    (`qcfeed serve --spawn-stacks N`).

    Exit status: 0; 2 if there is no such live task.
    """
    answer, raw = ask_or_read(ctx, TASKS_SHOW, TaskDetails, source=source, serial=serial)
    show_figures(output, list(figures(answer)), raw=raw, names=[str(answer.task.serial)])
    if output in (Format.TABLE, Format.WIDE):
        if answer.stack or not answer.skipped:
            emit("\n".join(["", *stack_lines("stack", answer.stack)]))
        if answer.spawn_stack:
            emit("\n".join(["", *stack_lines("spawned by", answer.spawn_stack)]))
        for line in answer.skipped:
            say(f"skipped: {line}")


def stack_lines(title: str, stack: Sequence[CallFrame]) -> list[str]:
    """A stack as lines of text, the innermost call last."""
    if not stack:
        return [f"{title}: not available; the task is running or is not written in Python"]
    lines = [f"{title}, innermost call last:"]
    for call in stack:
        lines.append(f"  {call.location} in {call.function}")
        if call.source:
            lines.append(f"    {call.source}")
    return [formats.printable(line) for line in lines]


def figures(answer: TaskDetails) -> Iterator[LabelledValue]:
    """Everything about a task except its stacks, as figures."""
    task = answer.task
    yield LabelledValue("task", f"{task.serial} {task.name}: {task.coroutine}")
    yield LabelledValue("state", task.state)
    function = f" in {answer.function}" if answer.function else ""
    yield LabelledValue(
        "spawned", f"{target.moment(task.age_s, answer.taken_at)} at {task.location}{function}"
    )
    yield LabelledValue("parent", _parent(answer))
    yield LabelledValue("labels", formats.labels(task.labels))
    yield LabelledValue("owner", _owner(answer), "red" if answer.owner_gone else None)
    yield LabelledValue("awaited by", ", ".join(map(_awaiting, answer.awaited_by)) or "no task")
    yield LabelledValue("shielded", "yes" if answer.shielded else "no")
    yield LabelledValue("children", f"{formats.plural(answer.children, 'live task')}")
    yield LabelledValue("cancelled", _cancelled(answer), "yellow" if answer.cancelling else None)
    if answer.main:
        yield LabelledValue("main", "yes: the loop runs until this task ends")


def _parent(answer: TaskDetails) -> str:
    serial, parent = answer.task.parent, answer.parent_task
    if serial is None:
        return "none: spawned by a callback, or before the loop ran"
    if parent is None:
        return f"task {serial}, which has ended"
    return f"task {serial} {parent.name} at {parent.location}"


def _owner(answer: TaskDetails) -> str:
    if answer.owner is None:
        return "none"
    if not answer.owner_gone:
        return f"{answer.owner}, still present"
    since = "" if answer.owner_gone_s is None else f" for {formats.age(answer.owner_gone_s)}"
    return f"{answer.owner}, gone{since}: this task is an orphan"


def _awaiting(awaiting: Awaiting) -> str:
    task = awaiting.name if awaiting.serial is None else f"{awaiting.serial} {awaiting.name}"
    return f"{task} ({awaiting.how})"


def _cancelled(answer: TaskDetails) -> str:
    times = max(answer.cancels, answer.cancelling)
    if not times:
        return "no"
    caller = "" if answer.cancelled_by is None else f"by task {answer.cancelled_by} "
    last = f", most recently {caller}at {answer.cancelled_at}" if answer.cancelled_at else ""
    state = "not ended yet" if answer.cancelling else "withdrawn with uncancel()"
    return f"{formats.plural(times, 'time')}{last}; {state}"
