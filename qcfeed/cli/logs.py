"""``qcfeed logs``: the last lines of the service's log, over the control plane."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

import msgspec
import typer

from qcfeed import rfc3339
from qcfeed.cli.context import Format, Output, ask, examples, new_app, say
from qcfeed.cli.saved_files import From, ask_or_read
from qcfeed.cli.ui import durations, formats
from qcfeed.cli.ui.listing import listed, selected
from qcfeed.cli.ui.render import emit, show
from qcfeed.cli.ui.table import Column, Table
from qcfeed.control.routes import LOG
from qcfeed.errors import UsageError
from qcfeed.model.report import LogLine, LogLines

LINES = 10_000
"""Lines to request: more than a service keeps."""
_POLL = 1.0
"""Seconds between two requests with --follow."""

app = new_app()


class Level(StrEnum):
    """The levels of ``logging``, the least first."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


_LEVELS = [level.value.upper() for level in Level]
_COLOURS = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}

TABLE: Table[LogLine] = Table(
    (
        Column("at", header="TIME (UTC)", show=formats.clock),
        Column("level", colour=lambda line: _COLOURS.get(line.level)),
        Column("logger"),
        Column("repeated", header="TIMES", show=formats.count, right=True),
        Column("last_at", header="LAST", show=formats.clock, wide=True),
        Column("message", least=30),
    ),
    identity=lambda line: line.message,
)


def logs(
    ctx: typer.Context,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on with new lines until Ctrl-C.")
    ] = False,
    level: Annotated[Level, typer.Option(help="Only lines of this level or above.")] = Level.DEBUG,
    since: Annotated[
        float | None,
        durations.option(text="Only lines of this last time."),
    ] = None,
    source: From = None,
    output: Output = Format.TABLE,
) -> None:
    """Show the last lines of the service's log, or follow it.

    The service keeps its last 2,000 lines; a line that was repeated is one line with a count. Secrets
    are redacted. Works while the event loop is stuck.

    Exit status: 0.
    """
    if follow and source is not None:
        raise UsageError("--follow needs a live service and --from reads a file: give only one")
    answer, raw = ask_or_read(ctx, LOG, LogLines, source=source, limit=LINES)
    kept = list(_chosen(answer, level, since))
    recorded = len(answer.lines)
    if len(kept) < recorded:
        answer.lines = kept
        raw = msgspec.json.encode(answer)
    if output is Format.TABLE:
        emit("\n".join(map(_text, selected(TABLE, kept))), paged=not follow)
    else:
        show(output, TABLE, kept, raw=raw)
    if not kept:
        say("the log has no lines" if not recorded else "no line of the log matches")
    if follow:
        with contextlib.suppress(KeyboardInterrupt):
            _follow(ctx, level, answer.lines[-1:], output)


app.command(
    epilog=examples(
        "qcfeed logs --level warning --since 10m",
        "qcfeed logs -f",
        "qcfeed logs --from night.tar.gz",
        "qcfeed logs --jq '.lines[].message'",
    )
)(listed(logs, watch=False, latest=True))


def _chosen(answer: LogLines, level: Level, since: float | None) -> Iterator[LogLine]:
    oldest = 0.0 if since is None else rfc3339.unix(answer.taken_at) - since
    for line in answer.lines:
        if (
            _rank(line) >= _LEVELS.index(level.value.upper())
            and rfc3339.unix(line.last_at) >= oldest
        ):
            yield line


def _follow(ctx: typer.Context, level: Level, last: list[LogLine], output: Format) -> None:
    """Print lines that are new since ``last``, and repetitions of it, as they come."""
    seen = (last[0].last_at, last[0].message) if last else ("", "")
    while True:
        time.sleep(_POLL)
        answer, _ = ask(ctx, LOG, LogLines, limit=LINES)
        for line in _chosen(answer, level, None):
            if (line.last_at, line.message) > seen and line.last_at >= seen[0]:
                seen = (line.last_at, line.message)
                text = _text(line)
                emit(msgspec.json.encode(line).decode() if output is Format.JSON else text)


def _rank(line: LogLine) -> int:
    return _LEVELS.index(line.level) if line.level in _LEVELS else len(_LEVELS)


def _text(line: LogLine) -> str:
    """A line as in the service's log; further lines of a traceback are indented."""
    times = f" ({line.repeated:,} times, last at {line.last_at})" if line.repeated > 1 else ""
    message = formats.printable_lines(line.message).replace("\n", "\n    ")
    return f"{line.at} {line.level} {line.logger}: {message}{times}"
