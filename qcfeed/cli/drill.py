"""``qcfeed drill``: break a service that allows it, on purpose and for a while."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from qcfeed.cli.context import Format, Output, act, ask, examples, new_app, options, say
from qcfeed.cli.ui import durations, formats
from qcfeed.cli.ui.figures import Figure, show_figures
from qcfeed.cli.ui.render import show
from qcfeed.cli.ui.table import Column, Table
from qcfeed.control.routes import DRILLS, DRILLS_START, DRILLS_STOP
from qcfeed.errors import TimedOutError
from qcfeed.model.drills import (
    ActiveDrill,
    Drill,
    Drills,
    DrillStarted,
    DrillStopped,
    StartDrillRequest,
    StopDrillRequest,
)

app = new_app()

_LONGER_THAN_A_BLOW = 40.0

TABLE: Table[Drill] = Table(
    (
        Column("name"),
        Column("lasts_s", header="LASTS", show=formats.age),
        Column("breaks", least=30),
        Column("number", header="N IS", wide=True),
        Column("usual", show="{:.0f}".format, right=True, wide=True),
        Column("alerts", value=lambda d: " ".join(d.alerts), least=30, wide=True),
        Column("shows", wide=True),
    ),
    identity=lambda d: d.name,
)


@app.callback(
    epilog=examples("qcfeed drill list", "qcfeed drill start silent-upstream --for 5m"),
)
def drill() -> None:
    """Break a service on purpose, for a while, to rehearse.

    Only in a service that was started with --allow-drills or --drill. One at a time; each ends by
    itself and leaves nothing behind.
    """


@app.command(
    name="list",
    epilog=examples(
        "qcfeed drill list", "qcfeed drill list -o wide   # their alerts, and N of NAME=N"
    ),
)
def list_(ctx: typer.Context, output: Output = Format.TABLE) -> None:
    """List the drills, and say which is on."""
    answer, raw = ask(ctx, DRILLS, Drills)
    show(output, TABLE, answer.drills, raw=raw)
    if not answer.allowed:
        say("this service allows none: `qcfeed serve --allow-drills` starts one that does")
    elif answer.active is not None:
        say(f"on: {_stands(answer.active)}")
    else:
        say("none is on: `qcfeed drill start NAME`")


@app.command(
    epilog=examples(
        "qcfeed drill start silent-upstream",
        "qcfeed drill start zombie-feeds=47829 --for 5m",
    )
)
def start(
    ctx: typer.Context,
    drill: Annotated[
        str, typer.Argument(metavar="DRILL", help="NAME or NAME=N; `qcfeed drill list` has them.")
    ],
    lasts: Annotated[
        str | None,
        typer.Option(
            "--for", metavar="DURATION", help="How long: 30s, 10m; its own time, if not given."
        ),
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Break the service; it is put back when the time is over.

    Exit status: 4 where the service does not allow drills.
    """
    request = StartDrillRequest(
        drill=drill,
        for_s=None if lasts is None else durations.parse(lasts),
        timeout_s=options(ctx).timeout,
    )
    answer, raw = act(ctx, DRILLS_START, request, DrillStarted)
    started = answer.drill
    figures = [
        Figure("drill", started.drill, "red"),
        Figure("ends in", formats.age(started.left_s)),
        Figure("fires", ", ".join(started.alerts) or "no alert"),
        Figure("see it", started.shows),
        Figure("page", f"qcfeed runbook {(*started.alerts, started.name)[0]}"),
        Figure("end it", "qcfeed drill stop"),
    ]
    show_figures(output, figures, raw=raw, names=[started.drill])


@app.command(epilog=examples("qcfeed drill stop"))
def stop(ctx: typer.Context, output: Output = Format.TABLE) -> None:
    """End the drill that is on, and put everything back.

    While the loop is stuck it is asked again, for up to 40 seconds: longer than a drill blocks it.
    """
    answer, raw = _ask_until_it_turns(ctx)
    ended = answer.stopped
    figures = [Figure("ended", ended or "none was on")]
    show_figures(output, figures, raw=raw, names=[] if ended is None else [ended])


@app.command(
    epilog=examples(
        "qcfeed drill rehearse zombie-feeds=1000",
        "qcfeed drill rehearse silent-upstream --yes   # nobody has to type",
    )
)
def rehearse(
    drill: Annotated[str, typer.Argument(metavar="DRILL", help="NAME or NAME=N.")],
    within: Annotated[
        str,
        typer.Option("--within", metavar="DURATION", help="How long the mitigation may take."),
    ] = "30m",
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Type what the page says, instead of waiting.")
    ] = False,
) -> None:
    """Hold a game day: start everything, break it, wait until it is mended, say how long it took.

    A service of its own, with Prometheus and Alertmanager where they are installed, by the shipped
    rules with shorter times. You see what the person on call would see, and follow the runbooks in
    a second terminal; it ends when the Verification of each page holds and its alerts are resolved.
    The fault outlasts your time, and a service that you end is started again. Everything is stopped
    at the end, by Ctrl-C too.

    Exit status: 1 when the fault ended before anybody did anything; 5 when it is not mended in time.
    """
    from qcfeed.cli.drill_rehearse import rehearse as hold

    hold(drill, within=durations.parse(within), by_itself=yes)


def _ask_until_it_turns(ctx: typer.Context) -> tuple[DrillStopped, bytes]:
    """Raises TimedOutError when the loop has not turned by then."""
    request = StopDrillRequest(timeout_s=options(ctx).timeout)
    deadline = time.monotonic() + _LONGER_THAN_A_BLOW
    while True:
        try:
            return act(ctx, DRILLS_STOP, request, DrillStopped)
        except TimedOutError:
            if time.monotonic() >= deadline:
                raise
            say("the loop is stuck: asked again")


def _stands(active: ActiveDrill) -> str:
    return (
        f"{active.drill}, for {formats.age(active.on_s)}; it ends by itself in"
        f" {formats.age(active.left_s)}, or by `qcfeed drill stop`"
    )
