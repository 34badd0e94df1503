"""``qcfeed growth``: shows how fast memory and tasks grow, the time left, and which locations grow."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from qcfeed.cli import output_files, prometheus
from qcfeed.cli.context import Format, Output, examples, new_app, say
from qcfeed.cli.growth import plots, views
from qcfeed.cli.growth.source import timeline
from qcfeed.cli.saved_files import From
from qcfeed.cli.ui import durations, render, sizes, times
from qcfeed.cli.ui.listing import listed
from qcfeed.cli.ui.sparkline import blocks_for
from qcfeed.cli.ui.table import LabelledLine
from qcfeed.errors import ExitStatus
from qcfeed.metrics.claims import Claim, rate
from qcfeed.metrics.growth_answer import Growth, answer

NEXT = "qcfeed diagnose"

app = new_app()


class By(StrEnum):
    """What a row is, instead of a point in time."""

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
        durations.option(text="How far back to look."),
    ] = "3h",  # type: ignore[assignment]  # the parser converts it to seconds
    at: Annotated[
        float | None,
        typer.Option(
            parser=times.parse,
            metavar="TIME",
            help="Show the growth up to a past time: 02:15 (the latest one), 2024-03-20T02:15,"
            " 2024-03-20T02:15+01:00. UTC by default.",
        ),
    ] = None,
    by: Annotated[
        By | None, typer.Option("--by", help="One row per spawn location, with its share.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also draw a plot: .png or .svg (needs qcfeed[plot])."),
    ] = None,
    memory_limit: Annotated[
        float | None,
        typer.Option(
            parser=sizes.parse, metavar="SIZE", help="Memory limit, if it is not known: 16GiB."
        ),
    ] = None,
    horizon: Annotated[
        float,
        durations.option(
            text="Report a finding if memory reaches its limit sooner than this.",
        ),
    ] = "4h",  # type: ignore[assignment]
    claimed: Annotated[
        Claim | None,
        typer.Option(
            parser=_claim,
            metavar="RATE",
            help="Growth rate that someone claimed, to compare with the samples: 450MB/h.",
        ),
    ] = None,
    force: output_files.Force = False,
    source: From = None,
    output: Output = Format.TABLE,
    **flags: Any,
) -> None:
    """Show how fast memory and tasks grow, the time left, and the lines that grow.

    Reads Prometheus if one is configured, otherwise the last hour that the service remembers. Fits
    a line to each of several windows (least squares) and shows the one with the least time left
    first: an average over a long time hides recent growth. Growth rates claimed by alerts that were
    firing are shown for comparison.

    Exit status: 1 if a good linear fit reaches the memory limit within --horizon, or if live tasks
    grow in every window; 3 if there are no samples; 0 otherwise.
    """
    if plot is not None:  # fail early, before the slow requests
        plots.check(plot, force=force)
    samples, claims = timeline(ctx, prometheus.resolve(ctx, flags), at, since, source)
    if memory_limit is not None:
        samples = samples._replace(limit=memory_limit)
    if claimed is not None:
        claims = [*claims, claimed]
    found = answer(samples, claims, horizon=horizon)
    if plot is not None:
        plots.draw(samples, found, plot, force=force)
        say(f"wrote the plot to {plot}")
    _show(found, by, output)
    if found.problems:
        raise typer.Exit(ExitStatus.FINDINGS)


def _show(found: Growth, by: By | None, output: Format) -> None:
    raw = msgspec.json.encode(found)
    if output in (Format.JSON, Format.CSV, Format.NAME):
        if by is By.LOCATION:
            render.show(output, views.LOCATIONS, found.locations, raw=raw)
        else:
            render.show(output, views.TIMELINE, found.timeline, raw=raw)
    else:
        _screen(found, by, wide=output is Format.WIDE)
    for missing in found.missing:
        say(f"note: {missing}")
    for finding in found.problems:
        say(f"finding: {finding}")
    if found.problems:
        say(f"  next: `{NEXT}`")


def _screen(found: Growth, by: By | None, *, wide: bool) -> None:
    render.emit_text(f"{found.target}, from {found.source}, until {found.at}\n")
    if by is By.LOCATION:
        render.draw_list(views.LOCATIONS, found.locations, wide=wide)
        return
    render.draw_list(views.TIMELINE, views.condense(found.timeline), wide=wide)
    render.lines([LabelledLine(""), *views.sparks(found, blocks_for(sys.stdout.encoding))])
    render.emit("\n")
    render.draw(views.WINDOWS, found.windows, wide=wide)
    render.lines([LabelledLine(""), *views.summary(found)])
    grown = [row for row in found.locations if row.net > 0][: views.TOP]
    if grown:
        render.emit("\n")
        render.draw(views.LOCATIONS, grown, wide=wide)


app.command(
    epilog=examples(
        "qcfeed growth",
        "qcfeed growth --prometheus http://prometheus:9090 --at 02:15",
        "qcfeed growth --since 30m --by location",
        "qcfeed growth --at 02:15 --claimed 450MB/h    # check the rate that the alert claimed",
        "qcfeed growth --from night.tar.gz    # a bundle of `qcfeed report --bundle`",
        "qcfeed growth -o json | jq .worst.time_to_limit_s",
    )
)(listed(prometheus.with_flags(growth)))
