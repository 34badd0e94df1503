"""``qcfeed diagnose``: the one command for the night: what is wrong, since when, and what to type."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import msgspec
import typer

from qcfeed.cli import prometheus, saved_files
from qcfeed.cli.bundle import DIAGNOSIS
from qcfeed.cli.context import Format, Output, client, examples, new_app, options, say
from qcfeed.cli.diagnose import outside, screen
from qcfeed.cli.diagnose.gather import command, gather
from qcfeed.cli.flags import with_flags
from qcfeed.cli.ui import durations, formats, render
from qcfeed.cli.ui.table import Column, Line, Table
from qcfeed.diagnose.verdict import diagnose as judge
from qcfeed.errors import ExitStatus, TimedOutError, UnreachableError, UsageError
from qcfeed.model.diagnosis import Diagnosis, Finding

WINDOW = 5.0
"""Seconds between the two looks, where --window does not say."""

app = new_app()

FINDING_TABLE: Table[Finding] = Table(
    (
        Column("rule"),
        Column("certainty"),
        Column("headline"),
        Column("location"),
        Column("count"),
        Column("per_minute"),
        Column("began_s"),
        Column("left_s"),
        Column("next", value=lambda f: f.next[0] if f.next else ""),
        Column("runbook"),
    ),
    identity=lambda finding: finding.rule,
)


def diagnose(
    ctx: typer.Context,
    window: Annotated[
        float | None,
        typer.Option(
            parser=durations.parse,
            metavar="DURATION",
            help="Time between the two looks (5s); longer sees slower growth.",
        ),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Again and again, in place; Ctrl-C ends it.")
    ] = False,
    source: saved_files.From = None,
    output: Output = Format.TABLE,
    **flags: Any,
) -> None:
    """Say what is wrong, the cause before its symptoms, and what to type next.

    Looks twice at tasks, orphans, memory, the loop, feeds, quotes and subscribers, and at what the
    service remembers; with --prometheus at its longer memory too, and at the alerts that fire. Each
    finding has its evidence in numbers, the guilty line with its source, when it began, how long is
    left, what is safe to do, and the command for it. What could not be looked at is said. It
    answers while the loop is stuck.

    Exit status: 1 when something is wrong, 0 when nothing is found.
    """
    if watch:
        if source is not None:
            raise UsageError("--watch looks again and again; what --from names stays as it is")
        _watch(ctx, flags, window or WINDOW, output)
        return
    told = (
        saved_files.read(source, DIAGNOSIS, Diagnosis)[0]
        if source
        else _judge(ctx, flags, window or WINDOW)
    )
    _print(told, output)
    if told.findings:
        raise typer.Exit(ExitStatus.FINDINGS)


app.command(
    epilog=examples(
        "qcfeed diagnose",
        "qcfeed diagnose --window 30s         # growth that is slow needs longer to be seen",
        "qcfeed diagnose --from night.tar.gz  # what `qcfeed report --bundle` kept",
        "qcfeed diagnose -o json | jq '.findings[0] | .location, .next[0]'",
        "qcfeed --instance billing diagnose   # a program with qcfeed.attach",
    )
)(with_flags(diagnose, prometheus.declared()))


def _judge(ctx: typer.Context, flags: dict[str, Any], window: float) -> Diagnosis:
    named, given = prometheus.chosen(ctx, flags).config, options(ctx)
    seen = gather(client(ctx), window, called=command(given))
    return judge(outside.add(named, seen, timeout=given.timeout))


def _print(told: Diagnosis, output: Format) -> None:
    if output in (Format.TABLE, Format.WIDE):
        render.lines(screen.screen(told, full=output is Format.WIDE))
    else:
        rows = [*told.findings, *told.again]
        render.show(output, FINDING_TABLE, rows, raw=msgspec.json.encode(told))


def _watch(ctx: typer.Context, flags: dict[str, Any], window: float, output: Format) -> None:
    """In place on a terminal, a block a time in a pipe."""
    try:
        if output is Format.TABLE and sys.stdout.isatty():
            with render.live_lines() as draw:
                draw([Line(f"looking for {formats.age(window)} ...")])
                while True:
                    draw(screen.screen(_again(ctx, flags, window)))
        while True:
            _print(_again(ctx, flags, window), output)
    except KeyboardInterrupt:
        return


def _again(ctx: typer.Context, flags: dict[str, Any], window: float) -> Diagnosis:
    """The next one; while the service is away, it is waited for."""
    while True:
        try:
            return _judge(ctx, flags, window)
        except (UnreachableError, TimedOutError) as error:  # it may be restarted just now
            say(f"{error.message}; trying again")
