"""``qcfeed tasks show SERIAL``: all that is known about one live task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from qcfeed.cli.context import Format, Output, examples, say
from qcfeed.cli.saved_files import From, ask_or_read
from qcfeed.cli.ui import formats
from qcfeed.cli.ui.figures import Figure, show_figures
from qcfeed.cli.ui.render import emit
from qcfeed.control.routes import TASKS_SHOW
from qcfeed.model.task_details import Awaiting, Frame, TaskDetails

EXAMPLES = examples(
    "qcfeed tasks show 48213",
    "qcfeed tasks show 48213 -o json | jq '.stack[-1]'",
)


def show(
    ctx: typer.Context,
    serial: Annotated[int, typer.Argument(min=1, metavar="SERIAL", help="Its number.")],
    source: From = None,
    output: Output = Format.TABLE,
) -> None:
    """One live task in full: its stack, what it waits on, whom it serves, who waits for it.

    Where it was spawned, with the calls that led there if the service keeps them
    (serve --spawn-stacks N).
    """
    answer, raw = ask_or_read(ctx, TASKS_SHOW, TaskDetails, source=source, serial=serial)
    show_figures(output, list(figures(answer)), raw=raw, names=[str(answer.task.serial)])
    if output in (Format.TABLE, Format.WIDE):
        if answer.stack or not answer.skipped:
            emit("\n".join(["", *told("stack", answer.stack)]))
        if answer.spawn_stack:
            emit("\n".join(["", *told("spawned by", answer.spawn_stack)]))
        for line in answer.skipped:
            say(f"not told: {line}")


def told(title: str, stack: Sequence[Frame]) -> list[str]:
    """A stack as lines, the innermost call last."""
    if not stack:
        return [f"{title}: none to be seen; it runs now, or is not written in Python"]
    lines = [f"{title}, the innermost call last:"]
    for call in stack:
        lines.append(f"  {call.location} in {call.function}")
        if call.source:
            lines.append(f"    {call.source}")
    return [formats.printable(line) for line in lines]


def figures(answer: TaskDetails) -> Iterator[Figure]:
    """All but its stacks."""
    task = answer.task
    yield Figure("task", f"{task.serial} {task.name}: {task.coroutine}")
    yield Figure("state", task.state)
    yield Figure("spawned", f"{formats.age(task.age_s)} ago at {task.location}{_in(answer)}")
    yield Figure("by", _parent(answer))
    yield Figure("labels", ", ".join(f"{k}={v}" for k, v in task.labels.items()))
    yield Figure("owner", _owner(answer), "red" if answer.owner_gone else None)
    yield Figure("awaited by", ", ".join(map(_awaiting, answer.awaited_by)) or "nobody")
    yield Figure("shielded", "yes" if answer.shielded else "no")
    yield Figure("children", f"{formats.plural(answer.children, 'live task')}")
    yield Figure("cancelled", _cancelled(answer), "yellow" if answer.cancelling else None)
    if answer.main:
        yield Figure("main", "the loop runs until this task ends")


def _in(answer: TaskDetails) -> str:
    return f" in {answer.function}" if answer.function else ""


def _parent(answer: TaskDetails) -> str:
    serial, parent = answer.task.parent, answer.parent_task
    if serial is None:
        return "no task: a callback, or before the loop ran"
    if parent is None:
        return f"task {serial}, which has ended"
    return f"task {serial} {parent.name} at {parent.location}"


def _owner(answer: TaskDetails) -> str:
    if answer.owner is None:
        return "none was declared"
    if not answer.owner_gone:
        return f"{answer.owner}, still there"
    since = "" if answer.owner_gone_s is None else f" for {formats.age(answer.owner_gone_s)}"
    return f"{answer.owner}, gone{since}: this task is an orphan"


def _awaiting(awaiting: Awaiting) -> str:
    who = awaiting.name if awaiting.serial is None else f"{awaiting.serial} {awaiting.name}"
    return f"{who} ({awaiting.how})"


def _cancelled(answer: TaskDetails) -> str:
    times = max(answer.cancels, answer.cancelling)
    if not times:
        return "no"
    who = "" if answer.cancelled_by is None else f"task {answer.cancelled_by} "
    last = f", the last by {who}at {answer.cancelled_at}" if answer.cancelled_at else ""
    stand = "and has not ended" if answer.cancelling else "and took it back"
    return f"{formats.plural(times, 'time')}{last}; {stand}"
