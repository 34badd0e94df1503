"""``qcfeed memory --trace``: the lines that allocate."""

from __future__ import annotations

import typer

from qcfeed.cli.context import ACTION_GRACE, Format, client, say
from qcfeed.cli.ui import formats, render
from qcfeed.cli.ui.confirm import confirm
from qcfeed.cli.ui.listing import current
from qcfeed.cli.ui.table import Column, Table
from qcfeed.control.routes import MEMORY_TRACE
from qcfeed.model.memory import AllocatingLine, MemoryTrace, TraceRequest

LINES = 20
ENDING_S = 15.0
"""Seconds beyond the trace's own for adding it up: a busy program takes a while."""
COST = (
    "A trace slows the whole program: spawning a task takes about 3 times as long, code that only"
    " allocates 10 times or more; with --frames 4, three times as much again. Each allocation that is not"
    " freed takes 90 bytes more; the trace ends early at 48 MiB. At its end the event loop stops for 1 to"
    " 2 ms per thousand of them."
)

TABLE: Table[AllocatingLine] = Table(
    (
        Column("location", least=24),
        Column("bytes", header="SIZE", show=formats.size, right=True),
        Column("blocks", show=formats.count, right=True),
        Column("source", least=20, rank=1),
    ),
    identity=lambda line: line.location,
)


def run(
    ctx: typer.Context, seconds: float, output: Format, *, frames: int, confirmed: bool
) -> None:
    """Ask, trace and print. Raises NeedsConfirmationError without a yes."""
    if not confirmed:
        say(COST)
        confirm(
            f"trace the allocations of the program for {formats.age(seconds)}",
            hint="add --yes to do it",
            refused="nothing was traced",
        )
    request = TraceRequest(
        seconds=seconds,
        frames=frames,
        limit=current().limit or LINES,
        timeout_s=seconds + ENDING_S,
    )
    say(f"tracing for {formats.age(seconds)}; it ends by itself, also if you press Ctrl-C")
    control = client(ctx, longer=request.timeout_s + ACTION_GRACE)
    raw = control.send(MEMORY_TRACE, request)
    answer = control.decode(raw, MemoryTrace)
    render.show(output, TABLE, answer.lines, raw=raw)
    if answer.stopped_early:
        say(f"ended after {formats.age(answer.seconds)}: {answer.stopped_early}")
    say(
        f"{formats.size(answer.total_bytes)} allocated within {formats.age(answer.seconds)} and still in"
        f" use, {formats.size(answer.other_bytes)} of it by other lines; resident memory grew by"
        f" {formats.size(max(0, answer.grown_bytes))}, of which the trace took"
        f" {formats.size(answer.overhead_bytes)}"
    )
