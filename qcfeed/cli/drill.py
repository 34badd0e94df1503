"""``qcfeed drill``: injects faults for a limited time into a service that allows it, and rehearses them."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec
import typer

from qcfeed.cli import target
from qcfeed.cli.context import Format, Output, act, ask, examples, new_app, options, say
from qcfeed.cli.ui import durations, formats
from qcfeed.cli.ui.figures import LabelledValue, show_figures
from qcfeed.cli.ui.listing import answered, listed
from qcfeed.cli.ui.render import show
from qcfeed.cli.ui.table import Column, Table
from qcfeed.control.routes import DRILLS, DRILLS_START, DRILLS_STOP
from qcfeed.drills import catalog
from qcfeed.errors import AmbiguousInstanceError, QcfeedError, TimedOutError, UnreachableError
from qcfeed.model.drills import (
    ActiveDrill,
    AvailableDrill,
    Drills,
    DrillStarted,
    DrillStopped,
    StartDrillRequest,
    StopDrillRequest,
)

app = new_app()

_STOP_TIMEOUT = 40.0
"""Seconds to keep asking a stuck loop to stop its drill: a drill blocks the loop for less than this."""

TABLE: Table[AvailableDrill] = Table(
    (
        Column("name"),
        Column("duration_s", header="LASTS", show=formats.age),
        Column("breaks", least=30),
        Column("number", header="N IS", wide=True),
        Column("default_number", header="USUAL", show="{:.0f}".format, right=True, wide=True),
        Column("alerts", value=lambda d: " ".join(d.alert_names), least=30, wide=True),
        Column("shows", wide=True),
    ),
    identity=lambda d: d.name,
)


@app.callback(
    no_args_is_help=True,
    epilog=examples("qcfeed drill list", "qcfeed drill start silent-upstream --for 5m"),
)
def drill() -> None:
    """Inject a fault for a limited time, to rehearse an incident.

    Works only with a service that was started with --allow-drills or --drill. Only one drill can be
    active at a time. A drill ends by itself and cleans up after itself.
    """


@app.command(
    name="list",
    epilog=examples(
        "qcfeed drill list",
        "qcfeed drill list -o wide   # with their alerts, and the meaning of N in NAME=N",
    ),
)
@listed
def list_(ctx: typer.Context, output: Output = Format.TABLE) -> None:
    """List the drills, and show which one is active. Needs no service.

    Exit status: 0.
    """
    try:
        answer, raw = ask(ctx, DRILLS, Drills)
    except (UnreachableError, AmbiguousInstanceError) as error:
        if options(ctx).name_a_service:
            raise
        _list_without_service(output, error)
        return
    show(output, TABLE, answer.drills, raw=raw)
    if not answer.allowed:
        say("this service does not allow drills: start it with `qcfeed serve --allow-drills`")
    elif answer.active is not None:
        say(f"active: {_active(answer.active)}")
    else:
        say("no drill is active: `qcfeed drill start NAME`")


def _list_without_service(output: Format, error: QcfeedError) -> None:
    """List the drills of this version, and say why none is known to be active."""
    known = Drills(allowed=False, active=None, drills=catalog.described())
    show(output, TABLE, known.drills, raw=msgspec.json.encode(known))
    say(f"the drills of this qcfeed; {error.message}")
    if isinstance(error, AmbiguousInstanceError):
        say(f"  next: {error.hint}")
    else:
        say("  next: `qcfeed serve --allow-drills` starts a service to try them on")


@app.command(
    epilog=examples(
        "qcfeed drill start silent-upstream",
        "qcfeed drill start zombie-feeds=47829 --for 5m",
    )
)
@answered
def start(
    ctx: typer.Context,
    drill: Annotated[
        str, typer.Argument(metavar="DRILL", help="NAME or NAME=N; `qcfeed drill list` lists them.")
    ],
    duration: Annotated[
        str | None,
        typer.Option(
            "--for", metavar="DURATION", help="Duration: 30s, 10m. Default: the drill's own."
        ),
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Inject the fault. It is undone when the time is over, or by `qcfeed drill stop`.

    Exit status: 4 if the service does not allow drills, 0 if the drill has started.
    """
    catalog.parse(drill)
    request = StartDrillRequest(
        drill=drill,
        for_s=None if duration is None else durations.parse(duration),
        timeout_s=options(ctx).timeout,
    )
    answer, raw = act(ctx, DRILLS_START, request, DrillStarted)
    started = answer.active
    figures = [
        LabelledValue("drill", started.drill, "red"),
        LabelledValue("ends in", formats.age(started.left_s)),
        LabelledValue("alerts", ", ".join(started.alert_names) or "none"),
        *(
            LabelledValue(label, target.addressed(command) or command)
            for label, command in (
                ("see it", started.shows),
                ("runbook", f"qcfeed runbook {(*started.alert_names, started.name)[0]}"),
                ("end it", "qcfeed drill stop"),
            )
        ),
    ]
    show_figures(output, figures, raw=raw, names=[started.drill])


@app.command(epilog=examples("qcfeed drill stop"))
@answered
def stop(ctx: typer.Context, output: Output = Format.TABLE) -> None:
    """End the active drill and undo its fault.

    Retries for up to 40 seconds while the event loop is stuck: no drill blocks it for longer.

    Exit status: 0, also if no drill was active; 5 if the loop stays stuck.
    """
    answer, raw = _stop_with_retries(ctx)
    ended = answer.stopped
    figures = [LabelledValue("ended", ended or "no drill was active")]
    show_figures(output, figures, raw=raw, names=[] if ended is None else [ended])


@app.command(
    epilog=examples(
        "qcfeed drill rehearse zombie-feeds=1000",
        "qcfeed drill rehearse silent-upstream --yes   # runs the commands by itself",
    )
)
def rehearse(
    drill: Annotated[str, typer.Argument(metavar="DRILL", help="NAME or NAME=N.")],
    within: Annotated[
        str,
        typer.Option("--within", metavar="DURATION", help="Time allowed for the mitigation."),
    ] = "30m",
    yes: Annotated[
        bool,
        typer.Option("--yes", "-y", help="Run the runbook's commands instead of waiting for you."),
    ] = False,
) -> None:
    """Hold a game day: inject a fault, wait until you have mitigated it, and report the times.

    Starts a service of its own, and Prometheus and Alertmanager if they are installed, with the
    shipped rules and shorter durations. You get the pages that on-call would get and follow the
    runbooks in a second terminal. The rehearsal ends when the Verification of each runbook holds
    and the alerts are resolved. The fault lasts longer than the time allowed, and a service that
    you stop is restarted. All processes are stopped at the end, also by Ctrl-C.

    Exit status: 0 if you mitigated the fault; 1 if it ended before anything was done; 5 if it was
    not mitigated in time.
    """
    from qcfeed.cli.drill_rehearse import rehearse as hold

    hold(drill, within=durations.parse(within), automatic=yes)


def _stop_with_retries(ctx: typer.Context) -> tuple[DrillStopped, bytes]:
    """Raises TimedOutError if the loop is still stuck after _STOP_TIMEOUT."""
    request = StopDrillRequest(timeout_s=options(ctx).timeout)
    deadline = time.monotonic() + _STOP_TIMEOUT
    while True:
        try:
            return act(ctx, DRILLS_STOP, request, DrillStopped)
        except TimedOutError:
            if time.monotonic() >= deadline:
                raise
            say("the event loop is stuck: trying again")


def _active(active: ActiveDrill) -> str:
    return (
        f"{active.drill}, since {formats.age(active.active_s)}; it ends by itself in"
        f" {formats.age(active.left_s)}, or by `qcfeed drill stop`"
    )
