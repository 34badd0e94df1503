"""``qcfeed diagnose``: finds what is wrong, since when, and what to type: the first command on call."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import msgspec
import typer

from qcfeed.cli import cluster, prometheus, saved_files, target
from qcfeed.cli.context import Format, Output, client, examples, new_app, options, say
from qcfeed.cli.diagnose import outside, screen
from qcfeed.cli.diagnose.gather import gather
from qcfeed.cli.ui import durations, formats, render, watching
from qcfeed.cli.ui.listing import answered
from qcfeed.cli.ui.table import Column, LabelledLine, Table
from qcfeed.diagnose.verdict import diagnose as judge
from qcfeed.errors import ExitStatus, TimedOutError, UnreachableError, UsageError
from qcfeed.model.diagnosis import Diagnosis, DiagnosisFinding
from qcfeed.observe.bundle import DIAGNOSIS

WINDOW = 5.0
"""Seconds between the two snapshots, by default."""

app = new_app()

FINDING_TABLE: Table[DiagnosisFinding] = Table(
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
        durations.option(
            text="Time between the two snapshots. Default: 5s; a longer one finds slower growth.",
        ),
    ] = None,
    watch: watching.Watch = None,
    source: saved_files.From = None,
    output: Output = Format.TABLE,
    **flags: Any,
) -> None:
    """Find what is wrong: the cause, its symptoms, and the command to type next.

    Takes two snapshots of tasks, orphans, memory, the event loop, feeds and subscribers, and reads
    the history of the service; with --prometheus also its longer history and the firing alerts.

    Each finding shows its evidence, the responsible line of code, when it began, the time left,
    what is safe to do, and the command for it. Parts that could not be checked are listed. Works
    while the event loop is stuck.

    Exit status: 1 with findings, 0 without.
    """
    if cluster.is_asked(ctx, window=window, watch=watch, **{"from": source}):
        from qcfeed.cli.cluster import findings

        findings.diagnose(ctx, output)
        return
    if watch is not None:
        if source is not None:
            raise UsageError("--watch needs a live service and --from reads a file: give only one")
        _watch(ctx, flags, window or watch or WINDOW, output)
        return
    diagnosis = (
        saved_files.read(source, DIAGNOSIS, Diagnosis)[0]
        if source
        else _diagnose(ctx, flags, window or WINDOW)
    )
    _print(diagnosis, output)
    if diagnosis.findings:
        raise typer.Exit(ExitStatus.FINDINGS)


app.command(
    epilog=examples(
        "qcfeed diagnose",
        "qcfeed diagnose --window 30s         # slow growth needs a longer window",
        "qcfeed diagnose --from night.tar.gz  # a bundle of `qcfeed report --bundle`",
        "qcfeed diagnose -o json | jq '.findings[0] | .location, .next[0]'",
        "qcfeed --instance billing diagnose   # a program that uses qcfeed.attach()",
    )
)(answered(prometheus.with_flags(diagnose)))


def _diagnose(ctx: typer.Context, flags: dict[str, Any], window: float) -> Diagnosis:
    settings, given = prometheus.resolve(ctx, flags).config, options(ctx)
    evidence = gather(client(ctx), window, called=target.program())
    return judge(outside.add(settings, evidence, timeout=given.timeout))


def _print(diagnosis: Diagnosis, output: Format) -> None:
    if output in (Format.TABLE, Format.WIDE):
        render.lines(screen.screen(diagnosis, full=output is Format.WIDE))
    else:
        rows = [*diagnosis.findings, *diagnosis.to_recheck]
        render.show(output, FINDING_TABLE, rows, raw=msgspec.json.encode(diagnosis))


def _watch(ctx: typer.Context, flags: dict[str, Any], window: float, output: Format) -> None:
    """Redraw in place on a terminal; in a pipe, print one diagnosis after the other."""
    try:
        if output is Format.TABLE and sys.stdout.isatty():
            with render.live_lines() as draw:
                draw([LabelledLine(f"collecting for {formats.age(window)} ...")])
                while True:
                    draw(screen.screen(_next(ctx, flags, window)))
        while True:
            _print(_next(ctx, flags, window), output)
    except KeyboardInterrupt:
        return


def _next(ctx: typer.Context, flags: dict[str, Any], window: float) -> Diagnosis:
    """The next diagnosis; waits for the service while it is unreachable."""
    while True:
        try:
            return _diagnose(ctx, flags, window)
        except (UnreachableError, TimedOutError) as error:  # it may be restarting
            say(f"{error.message}; trying again")
