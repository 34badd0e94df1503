"""``qcfeed top``: the service on a full screen, live, with keys to look closer and to act."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from qcfeed.cli.context import client, examples, new_app, options
from qcfeed.cli.top import keys
from qcfeed.errors import ExitStatus, UsageError

EVERY = 2.0
"""Seconds between two looks, where --every does not say."""

INSTEAD = "`qcfeed diagnose` says what is wrong, `qcfeed tasks --watch` which lines grow"
ABOUT = f"""Show the service on a full screen, live, with keys to look closer and to act.

What is wrong and how long is left; tasks by location with their growth, feeds, subscribers,
orphans, findings. What changes the service is shown first and asked about. No mouse is needed.
It waits for a service that restarts, and says of one that is stuck where.

Keys: {keys.sentence()}.
"""

app = new_app()


@app.command(
    help=ABOUT,
    epilog=examples(
        "qcfeed top",
        "qcfeed top --every 10                # over a slow line",
        "qcfeed --instance billing top        # a program with qcfeed.attach",
        "NO_COLOR=1 qcfeed top",
    ),
)
def top(
    ctx: typer.Context,
    every: Annotated[
        float, typer.Option(min=0.2, metavar="SECONDS", help="Seconds between two looks.")
    ] = EVERY,
) -> None:
    """See ABOUT."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("top needs a terminal for the whole screen", hint=INSTEAD)
    if os.environ.get("TERM") == "dumb":
        raise UsageError("this terminal cannot place a cursor (TERM=dumb)", hint=INSTEAD)
    _run(ctx, every)


def _run(ctx: typer.Context, every: float) -> None:
    # Textual takes longer to import than all the rest: only who has a terminal pays for it.
    from qcfeed.cli.diagnose.gather import command
    from qcfeed.cli.top.observer import Looker
    from qcfeed.cli.top.screen import Top
    from qcfeed.cli.ui.sparkline import blocks_for

    looker = Looker(lambda: client(ctx), called=command(options(ctx)))
    looker.life()  # so that a service that is not there is an error, and no empty screen
    screen = Top(looker, every=every, blocks=blocks_for(sys.stdout.encoding))
    screen.run(mouse=False)
    if screen.fault is not None:
        raise screen.fault
    if screen.return_code:
        raise typer.Exit(ExitStatus.BUG)
