"""``qcfeed memory``: what memory is made of, what grows, and which lines allocate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import msgspec
import typer

from qcfeed.cli.context import Format, Output, ask, examples, new_app
from qcfeed.cli.memory import of_process, views
from qcfeed.cli.memory import trace as traces
from qcfeed.cli.memory.compare import compared
from qcfeed.cli.saved_files import From, ask_or_read
from qcfeed.cli.tasks.windows import wait
from qcfeed.cli.ui import durations
from qcfeed.cli.ui.listing import listed
from qcfeed.control.client import ControlClient
from qcfeed.control.routes import MEMORY
from qcfeed.errors import UsageError
from qcfeed.model.memory import MemoryUse

app = new_app()


def memory(
    ctx: typer.Context,
    window: Annotated[
        float | None,
        durations.option(
            text="Take two snapshots DURATION apart and show what grew.",
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
    pid: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="PID",
            help="Look at a program without qcfeed: attach it, read its memory, detach it.",
        ),
    ] = None,
    source: From = None,
    output: Output = Format.TABLE,
) -> None:
    """Show what memory is made of, for "memory grows, tasks do not".

    Shows the tasks by spawn location, with the memory that only they hold; the service's own stores
    (feed logs, data that slow subscribers have not read, connections); other objects by type; and
    the objects that hold the most, with the variables that reach them. Sizes are estimates from
    samples. It takes up to three seconds and does not stop the event loop.

    --trace uses Python's tracemalloc, which slows the program several times. The
    command states the cost and asks for confirmation. The trace ends by itself and is recorded in
    the audit log.

    --pid attaches a program on Python 3.14 or later as `qcfeed attach` does, reads its memory
    and detaches it. qcfeed itself is then a part of that memory.

    Exit status: 6 if a trace is not confirmed; 0 otherwise; with --pid also 2 to 5 as `qcfeed attach`.
    """
    if trace is not None:
        if source is not None or window is not None or pid is not None:
            raise UsageError(
                "--trace needs a live service; it takes neither --from, --window nor --pid",
                hint=f"`qcfeed attach {pid}` first; then `qcfeed --instance pid-{pid} memory --trace 30s`"
                if pid is not None
                else None,
            )
        traces.run(ctx, trace, output, frames=frames, confirmed=yes)
        return
    if source is not None and (window is not None or pid is not None):
        raise UsageError(
            "--window and --pid need a live service or program, and --from reads a file"
        )
    if pid is not None:
        with of_process.attached(ctx, pid, longer=window or 0.0) as control:
            answer, raw = _look(lambda: _read(control), window)
    elif source is not None:
        answer, raw = ask_or_read(ctx, MEMORY, MemoryUse, source=source)
    else:
        answer, raw = _look(lambda: ask(ctx, MEMORY, MemoryUse), window)
    views.show_memory(answer, raw, output)


def _look(
    read: Callable[[], tuple[MemoryUse, bytes]], window: float | None
) -> tuple[MemoryUse, bytes]:
    """What memory is made of and its JSON; with ``window`` seconds, also what grew in this time."""
    answer, raw = read()
    if window is None:
        return answer, raw
    wait(window)
    answer = compared(answer, read()[0])
    return answer, msgspec.json.encode(answer)


def _read(control: ControlClient) -> tuple[MemoryUse, bytes]:
    raw = control.fetch(MEMORY)
    return control.decode(raw, MemoryUse), raw


app.command(
    epilog=examples(
        "qcfeed memory                        # what memory is made of",
        "qcfeed memory --window 1m            # what grew within a minute",
        "qcfeed memory --trace 30s            # which lines allocate; asks first",
        "qcfeed memory --trace 10s --frames 4 # lines of the application, not of libraries",
        "qcfeed memory --pid 4711             # a running program that has never heard of qcfeed",
        "qcfeed memory --from night.tar.gz    # a bundle of `qcfeed report --bundle`",
        "qcfeed --instance billing memory     # a program that uses qcfeed.attach()",
    )
)(listed(memory))
