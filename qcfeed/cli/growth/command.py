"""``qcfeed growth``: how fast memory and tasks grow, how long is left, and which lines grow."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from qcfeed.cli import prometheus
from qcfeed.cli.context import Format, Output, examples, new_app, say
from qcfeed.cli.flags import with_flags
from qcfeed.cli.growth import plots, views
from qcfeed.cli.growth.source import timeline
from qcfeed.cli.ui import durations, render, sizes, times
from qcfeed.cli.ui.sparkline import blocks_for
from qcfeed.cli.ui.table import Line
from qcfeed.errors import ExitStatus
from qcfeed.metrics.claims import Claim, rate
from qcfeed.metrics.growth_answer import Growth, answer

NEXT = "qcfeed diagnose"

app = new_app()


class By(StrEnum):
    """What the rows are, in place of moments."""

    LOCATION = "location"


def _claim(text: str) -> Claim:
    found = rate(text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is not a rate of memory; for example 450MB/h")
    return Claim("", text, found)


def growth(
    ctx: typer.Context,
    since: Annotated[
        float,
        typer.Option(parser=durations.parse, metavar="DURATION", help="How far back to look."),
    ] = "3h",  # type: ignore[assignment]  # parsed as if it had been given
    at: Annotated[
        float | None,
        typer.Option(
            parser=times.parse,
            metavar="TIME",
            help="Look as it was then: 02:15 (the last one), 2024-03-20T02:15,"
            " 2024-03-20T02:15+01:00; UTC unless it says otherwise.",
        ),
    ] = None,
    by: Annotated[
        By | None, typer.Option("--by", help="A row a spawn location: every one, with its share.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw it as well: a .png or .svg (needs qcfeed[plot])."),
    ] = None,
    limit: Annotated[
        float | None,
        typer.Option(
            parser=sizes.parse, metavar="SIZE", help="The memory limit, where none is known: 16GiB."
        ),
    ] = None,
    horizon: Annotated[
        float,
        typer.Option(
            parser=durations.parse,
            metavar="DURATION",
            help="Memory that reaches its limit sooner is a finding.",
        ),
    ] = "4h",  # type: ignore[assignment]
    claimed: Annotated[
        Claim | None,
        typer.Option(
            parser=_claim,
            metavar="RATE",
            help="A rate that somebody named, to be held against the samples: 450MB/h.",
        ),
    ] = None,
    output: Output = Format.TABLE,
    **flags: Any,
) -> None:
    """Tell how fast memory and tasks grow, how long is left, and which lines grow.

    From Prometheus where one is named, otherwise from the hour that the service itself remembers.
    Each window is fitted by itself (least squares), and the one that leaves the least time comes
    first: an average over a long time hides what the last minutes do. What alerts that fired then
    had said of the growth is shown beside it.

    Exit status: 1 when memory reaches its limit within --horizon by a window that fits a line, or
    live tasks grow in every window; 0 otherwise; 3 when there are no samples to tell it from.
    """
    if plot is not None:  # before anybody is asked
        plots.check(plot)
    told, said = timeline(ctx, prometheus.chosen(ctx, flags), at, since)
    if limit is not None:
        told = told._replace(limit=limit)
    if claimed is not None:
        said = [*said, claimed]
    found = answer(told, said, horizon=horizon)
    if plot is not None:
        plots.draw(told, found, plot)
        say(f"drawn: {plot}")
    _show(found, by, output)
    if found.findings:
        raise typer.Exit(ExitStatus.FINDINGS)


def _show(told: Growth, by: By | None, output: Format) -> None:
    raw = msgspec.json.encode(told)
    if output in (Format.JSON, Format.CSV, Format.NAME):
        if by is By.LOCATION:
            render.show(output, views.LOCATIONS, told.locations, raw=raw)
        else:
            render.show(output, views.TIMELINE, told.timeline, raw=raw)
    else:
        _screen(told, by, wide=output is Format.WIDE)
    for missing in told.missing:
        say(f"note: {missing}")
    for finding in told.findings:
        say(f"finding: {finding}")
    if told.findings:
        say(f"  next: `{NEXT}`")


def _screen(told: Growth, by: By | None, *, wide: bool) -> None:
    render.emit(f"{told.target}, from {told.source}, until {told.at}\n")
    if by is By.LOCATION:
        render.draw(views.LOCATIONS, told.locations, wide=wide)
        return
    render.draw(views.TIMELINE, views.condense(told.timeline), wide=wide)
    render.lines([Line(""), *views.sparks(told, blocks_for(sys.stdout.encoding))])
    render.emit("\n")
    render.draw(views.WINDOWS, told.windows, wide=wide)
    render.lines([Line(""), *views.summary(told)])
    grown = [row for row in told.locations if row.net > 0][: views.TOP]
    if grown:
        render.emit("\n")
        render.draw(views.LOCATIONS, grown, wide=wide)


app.command(
    epilog=examples(
        "qcfeed growth",
        "qcfeed growth --prometheus http://prometheus:9090 --at 02:15",
        "qcfeed growth --since 30m --by location",
        "qcfeed growth --at 02:15 --claimed 450MB/h    # what the page said",
        "qcfeed growth -o json | jq .worst.time_to_limit_s",
    )
)(with_flags(growth, prometheus.declared()))
