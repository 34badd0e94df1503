"""What diagnostics/rules.py says whole already: told on, with what is safe."""

from __future__ import annotations

from collections.abc import Iterator

from qcfeed.diagnose.evidence import Evidence
from qcfeed.diagnose.runbooks import page_of
from qcfeed.model import answers
from qcfeed.model.diagnosis import Certainty, Finding

DRILL = "drill"

_PASSED_ON = {
    "cancelled_in_vain": ("STUBBORN", 55, "cancelling them again does no good; see what they do"),
    "abandoned_future": (
        "FORGOTTEN",
        50,
        "cancelling them: what they wait for cannot come any more",
    ),
    "destroyed_pending": ("DESTROYED", 45, "nothing to cancel: they are gone"),
    "exceptions_never_retrieved": ("ERRORS", 40, "nothing to cancel: they have ended"),
    "untracked_tasks": (
        "UNTRACKED",
        35,
        "nothing to cancel here: what they belong to is not known",
    ),
}
"""Its kind, its urgency, and what is safe."""


def passed_on(seen: Evidence) -> Iterator[Finding]:
    """Cancellations that are swallowed, tasks that nobody held, exceptions that nobody took."""
    for rule, (kind, urgency, safe) in _PASSED_ON.items():
        yield from (_passed_on(seen, each, kind, urgency, safe) for each in seen.told(rule))


def _passed_on(
    seen: Evidence, told: answers.Finding, kind: str, urgency: int, safe: str
) -> Finding:
    row = seen.row(told.location)
    at = told.location
    source = row.source if row is not None and isinstance(row.source, str) else ""
    return Finding(
        rule=told.rule,
        kind=kind,
        certainty=Certainty(told.certainty),
        urgency=urgency,
        headline=f"{told.summary}, from {at}" if at else told.summary,
        cause=f"{told.summary}; spawned at {at}" if at else told.summary,
        location=told.location,
        source=source,
        evidence=told.evidence,
        began_s=told.since_s,
        count=told.count,
        safe=safe,
        next=[told.next.replace("qcfeed ", f"{seen.command} ", 1)],
    )


def drill(seen: Evidence) -> Iterator[Finding]:
    """A service that is broken on purpose; only a finding while it shows nothing else."""
    if seen.status is not None and seen.status.drill:
        name = seen.status.drill
        yield Finding(
            rule=DRILL,
            kind="DRILL",
            certainty=Certainty.PROVED,
            urgency=1,
            headline=f"{name}: this service is broken on purpose",
            cause=f"the drill {name} is on: this service is broken on purpose",
            safe="rehearse; `drill stop` puts it back, and it ends by itself",
            next=[f"{seen.command} drill stop"],
        )


def incomplete(seen: Evidence) -> Iterator[Finding]:
    """A ledger that does not see all tasks: that nothing else is found says little then."""
    for reason in seen.after.totals.incomplete:
        yield Finding(
            rule="incomplete_ledger",
            kind="BLIND",
            certainty=Certainty.PROVED,
            urgency=65,
            headline=reason.partition(": ")[0],
            cause=reason,
            safe="the service goes on; what is said of its tasks holds for those that can be seen",
            next=[f"{seen.command} runbook {page_of('incomplete_ledger')}"],
        )
