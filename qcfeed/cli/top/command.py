"""``qcfeed top``: a live full-screen view of a service, with keys to inspect and to act."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from qcfeed.cli import target
from qcfeed.cli.context import client, examples, new_app
from qcfeed.cli.top import keys
from qcfeed.errors import ExitStatus, UsageError

EVERY = 2.0
"""Seconds between two refreshes, by default."""

ALTERNATIVES = "use `qcfeed diagnose` or `qcfeed tasks --watch` instead"
HELP = f"""Show a live full-screen view of a service, with keys to inspect and to act.

Shows what is wrong and the time left, tasks by location with their growth, feeds, subscribers,
orphans and findings. Actions show a plan and ask for confirmation. Waits for a service that
restarts; shows the stack of an event loop that is stuck.

Keys: {keys.sentence()}.

Exit status: 0; 2 without a terminal.
"""

app = new_app()


@app.command(
    help=HELP,
    epilog=examples(
        "qcfeed top",
        "qcfeed top --every 10                # over a slow connection",
        "qcfeed --instance billing top        # a program that uses qcfeed.attach()",
        "NO_COLOR=1 qcfeed top",
    ),
)
def top(
    ctx: typer.Context,
    every: Annotated[
        float, typer.Option(min=0.2, metavar="SECONDS", help="Seconds between two refreshes.")
    ] = EVERY,
) -> None:
    """See HELP."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("top needs a terminal", hint=ALTERNATIVES)
    if os.environ.get("TERM") == "dumb":
        raise UsageError("this terminal cannot move the cursor (TERM=dumb)", hint=ALTERNATIVES)
    _run(ctx, every)


def _run(ctx: typer.Context, every: float) -> None:
    # Imported here, after the checks: Textual takes longer to import than everything else.
    from qcfeed.cli.top.observer import Observer
    from qcfeed.cli.top.screen import Top
    from qcfeed.cli.ui.sparkline import blocks_for

    observer = Observer(lambda: client(ctx), called=target.program())
    observer.process_id()  # raises if there is no service, before the screen is drawn
    screen = Top(observer, every=every, blocks=blocks_for(sys.stdout.encoding))
    screen.run(mouse=False)
    if screen.fault is not None:
        raise screen.fault
    if screen.return_code:
        raise typer.Exit(ExitStatus.BUG)
