"""``qcfeed stacks``: shows the stacks of all threads of the service, also while its loop is stuck."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import typer

from qcfeed.cli.context import Format, Output, examples, new_app, say
from qcfeed.cli.saved_files import From, ask_or_read
from qcfeed.cli.ui import formats
from qcfeed.cli.ui.listing import answered
from qcfeed.cli.ui.render import emit, show
from qcfeed.cli.ui.table import Column, Table
from qcfeed.control.routes import STACKS
from qcfeed.model.stacks import Stacks, ThreadStack
from qcfeed.model.task_details import CallFrame

STUCK_MS = 1_000.0
"""Milliseconds without an iteration after which the event loop is reported as stuck."""

app = new_app()


class StackRow(NamedTuple):
    """One call of one thread; ``depth`` 0 is the outermost call kept."""

    thread: ThreadStack
    depth: int
    frame: CallFrame


STACK_TABLE: Table[StackRow] = Table(
    (
        Column("thread", value=lambda row: row.thread.name),
        Column("depth"),
        Column("location", value=lambda row: row.frame.location),
        Column("function", value=lambda row: row.frame.function),
        Column("source", value=lambda row: row.frame.source),
    ),
    identity=lambda row: row.thread.name,
)


@app.command(
    epilog=examples(
        "qcfeed stacks                        # where the loop is stuck",
        "qcfeed stacks -o json | jq '.threads[] | select(.watched) | .stack[-1]'",
    )
)
@answered
def stacks(ctx: typer.Context, source: From = None, output: Output = Format.TABLE) -> None:
    """Show the stack of every thread, the event loop's first.

    Use it when the event loop is stuck: it works then too, and names the running task. The
    innermost call comes last. An idle loop is in select().

    Exit status: 0.
    """
    answer, raw = ask_or_read(ctx, STACKS, Stacks, source=source)
    if output in (Format.TABLE, Format.WIDE):
        emit(
            "\n".join(line for thread in answer.threads for line in rendered(thread)).rstrip(),
            paged=True,
        )
    elif output is Format.NAME:
        emit("\n".join(thread.name for thread in answer.threads))
    else:
        rows = [
            StackRow(thread, *call) for thread in answer.threads for call in enumerate(thread.stack)
        ]
        show(output, STACK_TABLE, rows, raw=raw)
    if answer.loop_stall_ms >= STUCK_MS:
        say(f"the loop has been stuck for {formats.milliseconds(answer.loop_stall_ms)}")


def rendered(thread: ThreadStack) -> Iterator[str]:
    heading = f"thread {thread.name}"
    if thread.watched:
        heading += ", the event loop"
    if thread.running_task is not None:
        serial = (
            "untracked" if thread.running_task.serial is None else str(thread.running_task.serial)
        )
        heading += f", running task {serial} ({thread.running_task.name})"
    yield formats.printable(heading)
    if thread.dropped_frames:
        yield f"  ... {formats.plural(thread.dropped_frames, 'outer call')} left out"
    for frame in thread.stack:
        yield formats.printable(f"  {frame.location} {frame.function}")
        yield formats.printable(f"    {frame.source or 'source not available'}")
    yield ""
