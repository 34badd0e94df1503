"""``qcfeed drill rehearse``: what the trainee reads, and when."""

from __future__ import annotations

import tempfile
import textwrap
from pathlib import Path

import typer

from qcfeed.cli.context import say
from qcfeed.cli.ui import formats
from qcfeed.cli.ui.render import draw
from qcfeed.cli.ui.table import Column, Table
from qcfeed.drills.rehearsal.game_day import GameDay, Happened
from qcfeed.drills.rehearsal.pager import Notification
from qcfeed.drills.rehearsal.processes import missing, processes
from qcfeed.errors import ExitStatus, QcfeedError
from qcfeed.metrics.catalog.alerts import ALERTS

INSTANCE = "rehearsal"
_ALERTS = {each.name: each for each in ALERTS}

STORY: Table[Happened] = Table(
    (
        Column("at", show=formats.age, right=True),
        Column("what", least=40),
        Column("took", show=formats.age, right=True),
    ),
    identity=lambda h: h.what,
)


def rehearse(drill: str, *, within: float, by_itself: bool) -> None:
    """Start, break, wait, verify, stop; ``by_itself``: nobody has to type. Bounded at every step."""
    with (
        tempfile.TemporaryDirectory(prefix="qcfeed-rehearsal-") as directory,
        processes(Path(directory), INSTANCE) as working,
    ):
        day = GameDay(working, drill, say)
        try:
            _hold(day, drill, within, by_itself=by_itself)
        except (QcfeedError, KeyboardInterrupt):
            if day.since:
                draw(STORY, day.story)
            raise
        conclude(day)


def conclude(day: GameDay) -> None:
    """What became of it. Raises typer.Exit where nobody has mended it."""
    say("VERIFIED: what the pages ask for holds.")
    _told_of_alerts(day)
    draw(STORY, day.story)
    if not day.mended:
        say("FADED: the fault ended by itself, before anybody did anything: nothing was mended")
        raise typer.Exit(ExitStatus.FINDINGS)


def _hold(day: GameDay, drill: str, within: float, *, by_itself: bool) -> None:
    say("starting a service, a subscriber, and what watches them")
    if absent := missing():
        say(f"  without {' and '.join(absent)}, not installed here")
    day.prepare()
    day.break_it(within)
    say(f"BROKEN: {drill}")
    rings = day.prometheus is not None and day.alerts
    say("  waiting for the pager..." if rings else "  waiting until somebody sees it...")
    rang = day.wait_for_the_first_alert()
    for each in rang:
        _ring(each)
    if not rang:
        _told(day)
    if not by_itself:
        _invite(day, within)
    day.wait_until_over(within, rings=_ring, by_itself=by_itself)


def _ring(alert: Notification) -> None:
    """As the pager says it."""
    known = _ALERTS[alert.name]
    say(f"PAGE: {alert.name} ({known.severity}), {formats.age(alert.fired)} after the fault")
    _wrapped("", alert.told["summary"])
    _wrapped("", alert.told["description"])
    _wrapped("type first: ", known.command)
    _wrapped("runbook:    ", f"qcfeed runbook {alert.name}")


def _told(day: GameDay) -> None:
    """Without an alert somebody calls, and tells what they see."""
    why = "no alert is for this" if not day.alerts else "nothing fires by itself"
    say(f"CALL ({why}):")
    _wrapped("", day.symptom)
    _wrapped("runbook:    ", f"qcfeed runbook {day.pages[0]}")


def _wrapped(label: str, text: str) -> None:
    """Indented, and no wider than a pager's screen."""
    say(textwrap.fill(label + text, 79, initial_indent="  ", subsequent_indent="  "))


def _invite(day: GameDay, within: float) -> None:
    say(f"\nIn a second terminal:  export QCFEED_INSTANCE={INSTANCE}")
    if day.prometheus is not None:
        say(f"What fires:            qcfeed alerts --prometheus {day.prometheus}")
    say("To restart the service: kill PID, of `qcfeed status`; it is started again.")
    say(f"Your time runs; I wait for the Verification, {formats.age(within)} at most.\n")


def _told_of_alerts(day: GameDay) -> None:
    """Which of the drill's alerts were seen, and which further ones."""
    rang = day.pager.rang
    for what, names in (
        ("fired and resolved: ", [name for name in day.alerts if name in rang]),
        ("did not fire: ", day.pager.silent if day.prometheus is not None else []),
        ("fired beside it: ", [name for name in rang if name not in day.alerts]),
    ):
        if names:
            _wrapped(what, ", ".join(names))
