"""``qcfeed tasks --window`` and ``--watch``: shows which spawn locations grow, and how fast."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import msgspec
import typer

from qcfeed.cli.context import Format, client, say, warn_incomplete
from qcfeed.cli.ui import formats, render
from qcfeed.cli.ui.table import Column, Table
from qcfeed.control.client import ControlClient
from qcfeed.control.routes import TASKS_BY_LOCATION
from qcfeed.diagnostics.window import Flow
from qcfeed.errors import TimedOutError, UnreachableError
from qcfeed.model.tasks import TasksByLocation
from qcfeed.observe.comparison import Window, compare

WATCH_WINDOW = 5.0
"""Seconds between two snapshots, by default."""
_PROGRESS_INTERVAL = 0.2
"""Seconds between two updates of the progress bar."""


def _growth_colour(flow: Flow) -> str | None:
    return "red" if flow.orphaned else "yellow" if flow.net > 0 else None


WINDOW_TABLE: Table[Flow] = Table(
    (
        Column("location", least=24, colour=_growth_colour),
        Column("function", least=20, wide=True),
        Column("spawned", header="CREATED", show=formats.count, right=True),
        Column("ended", show=formats.count, right=True),
        Column(
            "per_minute", header="NET/MIN", show=formats.signed, right=True, colour=_growth_colour
        ),
        Column("live_before", header="BEFORE", show=formats.count, right=True),
        Column("live", show=formats.count, right=True),
        Column("orphaned", show=formats.count, right=True, rank=2),
        Column("oldest_s", header="OLDEST", show=formats.age, right=True, rank=1),
        Column("note", least=7),
    ),
    identity=lambda flow: flow.location,
)


def print_window(seen: Window, output: Format) -> None:
    """Print the comparison on stdout, and notes about it on stderr."""
    raw = msgspec.json.encode(seen)
    render.show(output, WINDOW_TABLE, seen.locations, raw=raw, total=seen.flow)
    warn_incomplete(seen.incomplete)
    if not seen.same_process:
        say(
            "the two snapshots are of different processes (the service was restarted, or they are"
            " of two services): only live tasks are compared"
        )
    elif output in (Format.TABLE, Format.WIDE):
        say(f"over {formats.age(seen.seconds)}, until {formats.clock(seen.taken_at)} UTC")


def run(ctx: typer.Context, seconds: float | None, output: Format, *, watch: bool) -> None:
    """Compare two snapshots taken ``seconds`` apart; with ``watch``, repeat until Ctrl-C."""
    control = client(ctx)
    if watch:
        _watch(control, seconds or WATCH_WINDOW, output)
    else:
        _once(control, seconds or WATCH_WINDOW, output)


def _once(control: ControlClient, seconds: float, output: Format) -> None:
    before = snapshot(control)
    wait(seconds)
    print_window(compare(before, snapshot(control)), output)


def _watch(control: ControlClient, seconds: float, output: Format) -> None:
    """Redraw a table in place on a terminal; in a pipe, print one table after the other."""
    before = snapshot(control)
    try:
        if output is Format.TABLE and sys.stdout.isatty():
            with render.live(WINDOW_TABLE) as draw:
                draw([compare(before, before).flow])
                # The total comes first: a list longer than the screen is cut at the bottom.
                _follow(control, before, seconds, lambda seen: draw([seen.flow, *seen.locations]))
        else:
            _follow(control, before, seconds, lambda seen: print_window(seen, output))
    except KeyboardInterrupt:
        return


def snapshot(control: ControlClient) -> TasksByLocation:
    """The current tasks by location. Raises what ControlClient does."""
    return control.get(TASKS_BY_LOCATION, TasksByLocation)


def _follow(
    control: ControlClient,
    before: TasksByLocation,
    seconds: float,
    show: Callable[[Window], None],
) -> None:
    while True:
        time.sleep(seconds)
        try:
            after = snapshot(control)
        except (UnreachableError, TimedOutError) as error:  # the service may be restarting
            say(f"{error.message}; trying again")
            continue
        show(compare(before, after))
        before = after


def wait(seconds: float) -> None:
    """Wait, with a progress bar on a terminal."""
    end = time.monotonic() + seconds
    with render.progress("waiting, seconds", round(seconds)) as done:
        while (left := end - time.monotonic()) > 0:
            done(int(seconds - left))
            time.sleep(min(_PROGRESS_INTERVAL, left))
