"""``qcfeed memory``: what memory is made of, what grows, and which lines allocate."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from qcfeed.cli.context import Format, Output, ask, examples, new_app
from qcfeed.cli.memory import trace as traces
from qcfeed.cli.memory import views
from qcfeed.cli.memory.compare import compared
from qcfeed.cli.saved_files import From, ask_or_read
from qcfeed.cli.tasks.windows import wait
from qcfeed.cli.ui import durations
from qcfeed.cli.ui.listing import listed
from qcfeed.control.routes import MEMORY
from qcfeed.errors import UsageError
from qcfeed.model.memory import MemoryUse

app = new_app()


def memory(
    ctx: typer.Context,
    window: Annotated[
        float | None,
        durations.option(
            text="Look twice, DURATION apart, and show what grew.",
        ),
    ] = None,
    trace: Annotated[
        float | None,
        durations.option(
            text="Trace allocations for DURATION and show the lines that allocate; slows the program.",
        ),
    ] = None,
    frames: Annotated[
        int,
        typer.Option(
            min=1,
            max=16,
            metavar="N",
            help="Calls to record of each traced allocation; the application's line is shown.",
        ),
    ] = 1,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before a trace.")] = False,
    source: From = None,
    output: Output = Format.TABLE,
) -> None:
    """Show what memory is made of, for "memory grows, tasks do not".

    First the tasks by spawn location, with what they alone hold; then the service's own stores
    (feed logs, data that slow subscribers have not taken, connections); then other objects by type;
    then the objects in which memory accumulates, and how they are reached. Sizes are estimates from
    samples; the look takes up to three seconds and does not stop the event loop.

    --trace uses Python's tracemalloc, which slows the program several times. It states the cost and
    asks first, ends by itself, and is recorded in the audit log.

    Exit status: 6 if a trace is not confirmed; 0 otherwise.
    """
    if trace is not None:
        if source is not None or window is not None:
            raise UsageError("--trace needs a live service; it takes neither --from nor --window")
        traces.run(ctx, trace, output, frames=frames, confirmed=yes)
        return
    if window is None:
        answer, raw = ask_or_read(ctx, MEMORY, MemoryUse, source=source)
    elif source is not None:
        raise UsageError("--window needs a live service and --from reads a file: give only one")
    else:
        before, _ = ask(ctx, MEMORY, MemoryUse)
        wait(window)
        answer = compared(before, ask(ctx, MEMORY, MemoryUse)[0])
        raw = msgspec.json.encode(answer)
    views.show_memory(answer, raw, output)


app.command(
    epilog=examples(
        "qcfeed memory                        # what memory is made of",
        "qcfeed memory --window 1m            # what grew within a minute",
        "qcfeed memory --trace 30s            # which lines allocate; asks first",
        "qcfeed memory --trace 10s --frames 4 # lines of the application, not of libraries",
        "qcfeed memory --from night.tar.gz    # a bundle of `qcfeed report --bundle`",
        "qcfeed --instance billing memory     # a program that uses qcfeed.attach()",
    )
)(listed(memory))
