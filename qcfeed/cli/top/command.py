"""``qcfeed top``: a live full-screen view of a service, with keys to inspect and to act."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qcfeed.cli import target
from qcfeed.cli.context import client, examples, new_app
from qcfeed.cli.saved_files import From
from qcfeed.cli.top import keys
from qcfeed.cli.top.theme import ThemeName, ask_terminal, choose
from qcfeed.errors import ExitStatus, UsageError

if TYPE_CHECKING:
    from qcfeed.cli.top.observer import Observer

EVERY = 2.0
"""Seconds between two refreshes, by default."""

ALTERNATIVES = "use `qcfeed diagnose` or `qcfeed tasks --watch` instead"
HELP = f"""Show a live full-screen view of a service, with keys to inspect and to act.

Shows what is wrong and the time left, tasks by location with their growth, feeds, subscribers,
orphans and findings. Actions show a plan and ask for confirmation. Waits for a service that
restarts; shows the stack of an event loop that is stuck. With --from it shows a bundle, as of when
that was written, and acts on nothing.

Colours suit the terminal's background: it is asked, unless $COLORFGBG tells, NO_COLOR is set, or
--theme is given.

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
        "qcfeed top --theme light",
        "qcfeed top --from night.tar.gz       # a bundle of `qcfeed report --bundle`",
        "NO_COLOR=1 qcfeed top",
    ),
)
def top(
    ctx: typer.Context,
    every: Annotated[
        float, typer.Option(min=0.2, metavar="SECONDS", help="Seconds between two refreshes.")
    ] = EVERY,
    theme: Annotated[
        ThemeName, typer.Option(help="Colours for a dark or a light background.")
    ] = ThemeName.AUTO,
    source: From = None,
) -> None:
    """See HELP."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("top needs a terminal", hint=ALTERNATIVES)
    if os.environ.get("TERM") == "dumb":
        raise UsageError("this terminal cannot move the cursor (TERM=dumb)", hint=ALTERNATIVES)
    _run(ctx, every, theme, source)


def _run(ctx: typer.Context, every: float, wanted: ThemeName, source: Path | None) -> None:
    # Imported here, after the checks: Textual takes longer to import than everything else.
    from qcfeed.cli.top.screen import Top
    from qcfeed.cli.ui.sparkline import blocks_for

    observer = _observer(ctx, source)
    observer.process_id()  # raises if there is no service, before the screen is drawn
    # NO_COLOR is asked for without a question to the terminal: there is nothing to choose.
    ask = (lambda: b"") if os.environ.get("NO_COLOR") else ask_terminal
    theme = choose(wanted, os.environ, ask)
    screen = Top(observer, every=every, blocks=blocks_for(sys.stdout.encoding), theme=theme)
    screen.run(mouse=False)
    if screen.fault is not None:
        raise screen.fault
    if screen.return_code:
        raise typer.Exit(ExitStatus.BUG)


def _observer(ctx: typer.Context, source: Path | None) -> Observer:
    from qcfeed.cli.top.observer import Observer

    called = target.program()
    if source is None:
        return Observer(lambda: client(ctx), called=called)
    from qcfeed.cli.top.saved import SavedAnswers, SavedObserver

    return SavedObserver(lambda: client(ctx), called=called, answers=SavedAnswers(source))
