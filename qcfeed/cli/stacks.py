"""``qcfeed stacks``: what every thread of the service does now, also when its loop is stuck."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import typer

from qcfeed.cli.context import Format, Output, examples, new_app, say
from qcfeed.cli.saved_files import From, ask_or_read
from qcfeed.cli.ui import formats
from qcfeed.cli.ui.render import emit, show
from qcfeed.cli.ui.table import Column, Table
from qcfeed.control.routes import STACKS
from qcfeed.model.stacks import Stacks, ThreadStack
from qcfeed.model.task_details import Frame

STUCK_MS = 1_000.0
"""From when on a loop that does not turn is worth a word."""

app = new_app()


class Row(NamedTuple):
    """One call of one thread; ``depth`` 0 is the outermost that is told."""

    thread: ThreadStack
    depth: int
    frame: Frame


ROWS: Table[Row] = Table(
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
        "qcfeed stacks                        # where is it stuck",
        "qcfeed stacks -o json | jq '.threads[] | select(.watched) | .frames[-1]'",
    )
)
def stacks(ctx: typer.Context, source: From = None, output: Output = Format.TABLE) -> None:
    """Show every thread's stack, the watched loop's first, and the task that runs in it.

    It answers while the loop is stuck: that is what it is for. The innermost call comes last.
    A loop that has nothing to do is in select().
    """
    answer, raw = ask_or_read(ctx, STACKS, Stacks, source=source)
    if output in (Format.TABLE, Format.WIDE):
        emit("\n".join(line for thread in answer.threads for line in _told(thread)).rstrip())
    elif output is Format.NAME:
        emit("\n".join(thread.name for thread in answer.threads))
    else:
        rows = [
            Row(thread, *call) for thread in answer.threads for call in enumerate(thread.frames)
        ]
        show(output, ROWS, rows, raw=raw)
    if answer.loop_stall_ms >= STUCK_MS:
        say(f"the loop has not turned for {formats.milliseconds(answer.loop_stall_ms)}")


def _told(thread: ThreadStack) -> Iterator[str]:
    what = f"thread {thread.name}"
    if thread.watched:
        what += ", the watched loop's"
    if thread.task is not None:
        serial = "untracked" if thread.task.serial is None else str(thread.task.serial)
        what += f", runs task {serial} ({thread.task.name})"
    yield formats.printable(what)
    if thread.dropped:
        yield f"  ... {formats.plural(thread.dropped, 'outer call')} left out"
    for frame in thread.frames:
        yield formats.printable(f"  {frame.location} {frame.function}")
        yield formats.printable(f"    {frame.source or 'source not available'}")
    yield ""
