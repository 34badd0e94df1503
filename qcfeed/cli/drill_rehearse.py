"""``qcfeed drill rehearse``: the course of a game day and its messages."""

from __future__ import annotations

import contextlib
import signal
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import typer

from qcfeed.cli.context import say
from qcfeed.cli.ui import formats
from qcfeed.cli.ui.render import draw
from qcfeed.cli.ui.table import Column, Table
from qcfeed.drills import catalog
from qcfeed.drills.catalog import ConfiguredDrill
from qcfeed.drills.rehearsal.game_day import GameDay, TimelineEntry
from qcfeed.drills.rehearsal.pager import Notification
from qcfeed.drills.rehearsal.processes import missing, processes
from qcfeed.errors import ExitStatus, QcfeedError, StartError
from qcfeed.metrics.catalog.alerts import ALERTS

INSTANCE = "rehearsal"
_ALERTS = {each.name: each for each in ALERTS}

STORY: Table[TimelineEntry] = Table(
    (
        Column("at", show=formats.age, right=True),
        Column("what", least=40),
        Column("took", show=formats.age, right=True),
    ),
    identity=lambda h: h.what,
)


def rehearse(drill: str, *, within: float, automatic: bool) -> None:
    """Start the processes, inject the fault, wait until it is mitigated, and stop everything.

    ``within``: seconds allowed for the mitigation. ``automatic``: run the runbook's commands instead of
    waiting for a person. Raises ConfigError for a drill that is not in the catalog, before anything is started.
    """
    configured = catalog.parse(drill)
    with (
        _unwound_by_sigterm(),
        _scratch() as directory,
        processes(Path(directory), INSTANCE) as started,
    ):
        day = GameDay(started, configured, say)
        try:
            _hold(day, configured, within, automatic=automatic)
        except (QcfeedError, KeyboardInterrupt):
            if day.elapsed:
                draw(STORY, day.timeline)
            raise
        conclude(day)


@contextlib.contextmanager
def _unwound_by_sigterm() -> Iterator[None]:
    """For the block, SIGTERM raises SystemExit, so that every process of the rehearsal is ended."""

    def unwind(*_: object) -> NoReturn:
        signal.signal(
            signal.SIGTERM, signal.SIG_IGN
        )  # a second one must not interrupt the clean-up
        sys.exit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, unwind)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _scratch() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="qcfeed-rehearsal-")
    except OSError as error:
        raise StartError(
            f"there is no directory for the rehearsal's files: {error.strerror}",
            hint="set TMPDIR to a directory that this user can write to",
        ) from error


def conclude(day: GameDay) -> None:
    """Print the outcome. Raises typer.Exit if the fault ended without being mitigated."""
    say("VERIFIED: the Verification of every runbook holds.")
    _print_alerts(day)
    draw(STORY, day.timeline)
    if not day.mitigated:
        say("FADED: the fault ended by itself before anything was done: nothing was mitigated")
        raise typer.Exit(ExitStatus.FINDINGS)


def _hold(day: GameDay, drill: ConfiguredDrill, within: float, *, automatic: bool) -> None:
    say("starting a service, a subscriber, and the monitoring")
    if absent := missing():
        say(f"  without {' and '.join(absent)}, not installed here")
    day.prepare()
    day.start_drill(within)
    say(f"FAULT INJECTED: {drill}")
    has_pager = day.prometheus is not None and day.alerts
    say("  waiting for the pager..." if has_pager else "  waiting until somebody notices...")
    notifications = day.wait_for_first_alert()
    for each in notifications:
        _page(each)
    if not notifications:
        _call(day)
    if not automatic:
        _instruct(day, within)
    day.wait_until_resolved(within, on_alert=_page, automatic=automatic)


def _page(alert: Notification) -> None:
    """Print an alert as a pager shows it."""
    known = _ALERTS[alert.name]
    say(f"PAGE: {alert.name} ({known.severity}), {formats.age(alert.fired)} after the fault")
    _wrapped("", alert.annotations["summary"])
    _wrapped("", alert.annotations["description"])
    _wrapped("type first: ", known.command)
    _wrapped("runbook:    ", f"qcfeed runbook {alert.name}")


def _call(day: GameDay) -> None:
    """Print the symptom that a person reports, when no alert does."""
    why = "no alert covers this" if not day.alerts else "no alert fires"
    say(f"CALL ({why}):")
    _wrapped("", day.symptom)
    _wrapped("runbook:    ", f"qcfeed runbook {day.pages[0]}")


def _wrapped(label: str, text: str) -> None:
    """Print indented text, at most 79 columns wide."""
    say(textwrap.fill(label + text, 79, initial_indent="  ", subsequent_indent="  "))


def _instruct(day: GameDay, within: float) -> None:
    say(f"\nIn a second terminal:  export QCFEED_INSTANCE={INSTANCE}")
    if day.prometheus is not None:
        say(f"To list the alerts:    qcfeed alerts --prometheus {day.prometheus}")
    say("To restart the service: kill its PID (`qcfeed status`); it is started again.")
    say(f"The clock is running: you have {formats.age(within)} until the Verification must hold.\n")


def _print_alerts(day: GameDay) -> None:
    """Print which alerts of the drill fired, which did not, and which others fired."""
    fired = day.pager.notifications
    for label, names in (
        ("fired and resolved: ", [name for name in day.alerts if name in fired]),
        ("did not fire: ", day.pager.missing if day.prometheus is not None else []),
        ("also fired: ", [name for name in fired if name not in day.alerts]),
    ):
        if names:
            _wrapped(label, ", ".join(names))
