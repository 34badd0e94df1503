"""``qcfeed top``: a live full-screen view of a service, with keys to inspect and to act."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qcfeed.cli import cluster, target
from qcfeed.cli.context import client, examples, new_app
from qcfeed.cli.saved_files import From
from qcfeed.cli.top import keys
from qcfeed.cli.top.theme import Theme, ThemeName, ask_terminal, choose
from qcfeed.errors import ExitStatus, UsageError

if TYPE_CHECKING:
    from qcfeed.cli.cluster.members import Members
    from qcfeed.cli.top.cluster_screen import ClusterTop
    from qcfeed.cli.top.observer import Observer
    from qcfeed.cli.top.screen import Top

EVERY = 2.0
"""Seconds between two refreshes, by default."""

CLUSTER_TIMEOUT = 2.0
"""Seconds to wait for an instance of a cluster: the screen and the key q must not wait for long."""

ALTERNATIVES = "use `qcfeed diagnose` or `qcfeed tasks --watch` instead"
HELP = f"""Show a live full-screen view of a service, with keys to inspect and to act.

Shows what is wrong and the time left, tasks by location with their growth, feeds, subscribers,
orphans and findings. Actions show a plan and ask for confirmation. Waits for a service that
restarts; shows the stack of an event loop that is stuck. With --from it shows a saved bundle, read-only.

Colours suit the background, which $COLORFGBG or the terminal reports, unless NO_COLOR is set or --theme
is given.

With --cluster it shows all instances, read-only: role and state of each, the owner and epoch of each
share, subscriptions, quotes per second, orphans between them, and instances that do not answer.

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
        "qcfeed --cluster top                 # all instances: owners, orphans, missing ones",
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
    if cluster.is_asked(ctx, **{"from": source}):
        _run_cluster(ctx, every, theme)
    else:
        _run(ctx, every, theme, source)


def _run_cluster(ctx: typer.Context, every: float, wanted: ThemeName) -> None:
    from qcfeed.cli.cluster.members import members
    from qcfeed.cli.top.cluster_observer import ClusterObserver
    from qcfeed.cli.top.cluster_screen import ClusterTop
    from qcfeed.cli.ui.sparkline import blocks_for

    def connect() -> Members:
        return members(ctx, at_most=CLUSTER_TIMEOUT)

    connect()  # raises if there is nobody, before the screen is drawn
    blocks, theme = blocks_for(sys.stdout.encoding), _theme(wanted)
    _show(ClusterTop(ClusterObserver(connect), every=every, blocks=blocks, theme=theme))


def _theme(wanted: ThemeName) -> Theme:
    # NO_COLOR is asked for without a question to the terminal: there is nothing to choose.
    ask = (lambda: b"") if os.environ.get("NO_COLOR") else ask_terminal
    return choose(wanted, os.environ, ask)


def _show(screen: Top | ClusterTop) -> None:
    screen.run(mouse=False)
    if screen.fault is not None:
        raise screen.fault
    if screen.return_code:
        raise typer.Exit(ExitStatus.BUG)


def _run(ctx: typer.Context, every: float, wanted: ThemeName, source: Path | None) -> None:
    # Imported here, after the checks: Textual takes longer to import than everything else.
    from qcfeed.cli.top.screen import Top
    from qcfeed.cli.ui.sparkline import blocks_for

    observer = _observer(ctx, source)
    observer.process_id()  # raises if there is no service, before the screen is drawn
    blocks, theme = blocks_for(sys.stdout.encoding), _theme(wanted)
    _show(Top(observer, every=every, blocks=blocks, theme=theme))


def _observer(ctx: typer.Context, source: Path | None) -> Observer:
    from qcfeed.cli.top.observer import Observer

    called = target.program()
    if source is None:
        return Observer(lambda: client(ctx), called=called)
    from qcfeed.cli.top.saved import SavedAnswers, SavedObserver

    return SavedObserver(lambda: client(ctx), called=called, answers=SavedAnswers(source))
