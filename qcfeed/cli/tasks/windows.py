"""``qcfeed tasks --window`` and ``--watch``: which spawn locations grow, and how fast."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import datetime

import msgspec
import typer

from qcfeed.cli.context import Format, client, say, warn_incomplete
from qcfeed.cli.ui import formats, render
from qcfeed.cli.ui.table import Column, Table
from qcfeed.control.client import ControlClient
from qcfeed.control.routes import TASKS_BY_LOCATION
from qcfeed.diagnostics import window
from qcfeed.diagnostics.window import Flow
from qcfeed.errors import TimedOutError, UnreachableError, UsageError
from qcfeed.model.answers import Answer, TasksByLocation

WATCH_WINDOW = 5.0
"""Seconds, where --window does not say."""
_STEP = 0.2
"""Seconds between two moves of the progress bar."""


class Window(Answer, kw_only=True, tag="qcfeed.tasks.window/1"):
    """What flowed between two snapshots, the location that grew most first.

    ``same_process`` is false when they are of two processes: then only live tasks can be compared.
    ``incomplete``: why one of them may not have counted all tasks.
    """

    before_at: str
    seconds: float
    same_process: bool
    total: Flow
    locations: list[Flow]
    incomplete: list[str] = msgspec.field(default_factory=list)


def _signed(value: float) -> str:
    if not value:
        return "0"
    return f"{value:+,.0f}" if abs(value) >= 10 else f"{value:+.1f}"


def _alarming(flow: Flow) -> str | None:
    return "red" if flow.orphaned else "yellow" if flow.net > 0 else None


WINDOW_TABLE: Table[Flow] = Table(
    (
        Column("location", least=24, colour=_alarming),
        Column("function", least=20, wide=True),
        Column("born", show=formats.count, right=True),
        Column("ended", show=formats.count, right=True),
        Column("per_minute", header="NET/MIN", show=_signed, right=True, colour=_alarming),
        Column("live_before", header="BEFORE", show=formats.count, right=True),
        Column("live", show=formats.count, right=True),
        Column("orphaned", show=formats.count, right=True, rank=2),
        Column("oldest_s", header="OLDEST", show=formats.age, right=True, rank=1),
        Column("note", least=7),
    ),
    identity=lambda flow: flow.location,
)


def compare(before: TasksByLocation, after: TasksByLocation) -> Window:
    """What flowed between two snapshots.

    Raises UsageError when their times are no times, or ``before`` is the later one of one process.
    """
    seconds = (taken(after) - taken(before)).total_seconds()
    same = _life(before) == _life(after)
    if same and seconds < 0:
        raise UsageError(
            f"the first snapshot is the later one: {before.taken_at} and {after.taken_at}",
            hint="give the earlier one first",
        )
    flows = window.between(before.locations, after.locations, seconds, same=same)
    return Window(
        pid=after.pid,
        instance=after.instance,
        taken_at=after.taken_at,
        before_at=before.taken_at,
        seconds=seconds,
        same_process=same,
        total=window.total(flows, seconds),
        locations=flows,
        incomplete=after.totals.incomplete or before.totals.incomplete,
    )


def print_window(seen: Window, output: Format) -> None:
    """On stdout, with what a person should know about it on stderr."""
    raw = msgspec.json.encode(seen)
    render.show(output, WINDOW_TABLE, seen.locations, raw=raw, total=seen.total)
    warn_incomplete(seen.incomplete)
    if not seen.same_process:
        say(
            "the two snapshots are of two processes (it was restarted, or is another one):"
            " only their live tasks can be compared"
        )
    elif output in (Format.TABLE, Format.WIDE):
        say(f"in {formats.age(seen.seconds)}, until {formats.clock(seen.taken_at)} UTC")


def run(ctx: typer.Context, seconds: float | None, output: Format, *, watch: bool) -> None:
    """Count twice ``seconds`` apart, or with ``watch`` again and again until Ctrl-C."""
    asked = client(ctx)
    if watch:
        _watch(asked, seconds or WATCH_WINDOW, output)
    else:
        _once(asked, seconds or WATCH_WINDOW, output)


def _once(asked: ControlClient, seconds: float, output: Format) -> None:
    before = snapshot(asked)
    _wait(seconds)
    print_window(compare(before, snapshot(asked)), output)


def _watch(asked: ControlClient, seconds: float, output: Format) -> None:
    """In place on a terminal, a block a time in a pipe."""
    before = snapshot(asked)
    try:
        if output is Format.TABLE and sys.stdout.isatty():
            with render.live(WINDOW_TABLE) as draw:
                draw([compare(before, before).total])
                # The total first: what does not fit on the screen is at the bottom.
                _follow(asked, before, seconds, lambda seen: draw([seen.total, *seen.locations]))
        else:
            _follow(asked, before, seconds, lambda seen: print_window(seen, output))
    except KeyboardInterrupt:
        return


def snapshot(asked: ControlClient) -> TasksByLocation:
    """By location, now. Raises what ControlClient does."""
    return asked.get(TASKS_BY_LOCATION, TasksByLocation)


def _follow(
    asked: ControlClient,
    before: TasksByLocation,
    seconds: float,
    tell: Callable[[Window], None],
) -> None:
    while True:
        time.sleep(seconds)
        try:
            after = snapshot(asked)
        except (UnreachableError, TimedOutError) as error:  # it may be restarted just now
            say(f"{error.message}; trying again")
            continue
        tell(compare(before, after))
        before = after


def _wait(seconds: float) -> None:
    end = time.monotonic() + seconds
    with render.progress("counting, seconds", round(seconds)) as done:
        while (left := end - time.monotonic()) > 0:
            done(int(seconds - left))
            time.sleep(min(_STEP, left))


def _life(answer: TasksByLocation) -> tuple[int, str, str]:
    """What one process's answers have in common; a pid alone is always 1 in a container."""
    return answer.pid, answer.instance, answer.since


def taken(answer: TasksByLocation) -> datetime:
    """When a snapshot was taken. Raises UsageError when it does not say."""
    try:
        taken = datetime.fromisoformat(answer.taken_at)
    except ValueError:
        taken = None
    if taken is None or taken.tzinfo is None:
        raise UsageError(f"a snapshot does not say when it was taken: {answer.taken_at!r}")
    return taken
