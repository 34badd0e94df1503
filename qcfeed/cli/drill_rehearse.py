"""``qcfeed drill rehearse``: what the trainee reads, and when."""

from __future__ import annotations

import tempfile
from pathlib import Path

from qcfeed.cli import formats
from qcfeed.cli.context import say
from qcfeed.cli.layout import Column, Table
from qcfeed.cli.render import draw
from qcfeed.metrics.catalog.alerts import Alert
from qcfeed.rehearsal.crew import crew
from qcfeed.rehearsal.game_day import GameDay, Took

INSTANCE = "rehearsal"

TOOK: Table[Took] = Table(
    (
        Column(key="step", value=lambda t: t.step),
        Column(
            key="seconds", header="TOOK", value=lambda t: t.seconds, show=formats.age, right=True
        ),
    ),
    identity=lambda t: t.step,
)


def rehearse(drill: str, *, within: float, by_itself: bool) -> None:
    """Start, break, wait, verify, stop; ``by_itself``: nobody has to type. Bounded at every step."""
    with (
        tempfile.TemporaryDirectory(prefix="qcfeed-rehearsal-") as directory,
        crew(Path(directory), INSTANCE) as working,
    ):
        day = GameDay(working, drill, say)
        say(
            "starting a service, a subscriber, Prometheus and Alertmanager where they are installed"
        )
        alert, prometheus = day.prepare()
        day.break_it()
        say(f"BROKEN: {drill}. What you would see:")
        _page(alert, None if prometheus is None else day.wait_for_the_alert(prometheus))
        if by_itself:
            day.mitigate()
        else:
            say(f"\nIn a second terminal:  export QCFEED_INSTANCE={INSTANCE}")
            say(f"then follow the page:  qcfeed runbook {alert.name}")
            say(f"Your time runs; I wait for its Verification, {formats.age(within)} at most.")
        day.wait_until_verified(within, "verified" if by_itself else "mitigated and verified")
        say("VERIFIED: what the page asks for holds.")
        draw(TOOK, day.took)


def _page(alert: Alert, told: dict[str, str] | None) -> None:
    """As the pager says it; without Prometheus, as the alert is written."""
    if told is None:
        say("  (Prometheus is not installed: nothing fires by itself)")
    say(f"  {alert.name} ({alert.severity})")
    say(f"  {alert.summary if told is None else told['summary']}")
    say(f"  {alert.description if told is None else told['description']}")
    say(f"  type first: {alert.command}")
