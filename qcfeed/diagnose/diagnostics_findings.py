"""Findings of diagnostics/rules.py that need no further evidence, and findings about the service's state."""

from __future__ import annotations

from collections.abc import Iterator

from qcfeed.diagnose.evidence import Evidence
from qcfeed.diagnose.runbooks import page_of
from qcfeed.diagnostics.findings import Certainty, Finding
from qcfeed.formats import age
from qcfeed.model.diagnosis import DiagnosisFinding

DRILL = "drill"
UNREAD = "cannot judge the tasks: what the rules have found could not be read"
"""Why nothing is known about leaks, if the service did not answer; ``skipped`` has the reason."""
MIN_UNTRACKED_GROWTH = 20
"""More untracked tasks between the two snapshots; fewer are not worth waking a person."""

_LEDGER_RULES = {
    "cancelled_in_vain": (
        "UNCANCELLED",
        55,
        "cancelling again does not help; check what the tasks do when they are cancelled",
    ),
    "abandoned_future": (
        "ABANDONED",
        50,
        "cancelling these tasks: nothing can complete what they wait for",
    ),
    "destroyed_pending": ("DESTROYED", 45, "nothing to cancel: the tasks are gone"),
    "exceptions_never_retrieved": ("ERRORS", 40, "nothing to cancel: the tasks have ended"),
    "untracked_tasks": (
        "UNTRACKED",
        35,
        "nothing to cancel here: the owner of these tasks is not known",
    ),
    "late_wakeup": (
        "STARVED",
        30,
        "nothing to cancel: see what else runs on the machine, and in the process's other threads",
    ),
}
"""For each rule of the ledger: the finding's kind, its urgency, and what is safe to do."""


def ledger_findings(evidence: Evidence) -> Iterator[DiagnosisFinding]:
    """The findings of the rules in ``_LEDGER_RULES``, which need no further evidence."""
    for rule, (kind, urgency, safe) in _LEDGER_RULES.items():
        for found in evidence.ledger_findings(rule):
            yield _from_ledger(evidence, found, kind, urgency, safe)


def _from_ledger(
    evidence: Evidence, found: Finding, kind: str, urgency: int, safe: str
) -> DiagnosisFinding:
    row = evidence.row(found.location)
    at = found.location
    source = row.source if row is not None and isinstance(row.source, str) else ""
    return DiagnosisFinding(
        rule=found.rule,
        kind=kind,
        certainty=Certainty(found.certainty),
        urgency=urgency,
        headline=f"{found.summary}, from {at}" if at else found.summary,
        cause=f"{found.summary}; spawned at {at}" if at else found.summary,
        location=found.location,
        source=source,
        evidence=found.evidence,
        began_s=found.since_s,
        count=found.count,
        safe=safe,
        next=[each.replace("qcfeed ", f"{evidence.command} ", 1) for each in found.next],
    )


def growing_untracked(evidence: Evidence) -> Iterator[DiagnosisFinding]:
    """Untracked tasks that grow in number. They have no location, so no other rule can judge them."""
    before, after = evidence.before.totals.untracked, evidence.after.totals.untracked
    if evidence.findings is not None and evidence.findings.untracked_explained:
        return
    known = list(evidence.ledger_findings("untracked_tasks"))
    is_proved = any(Certainty(each.certainty) is Certainty.PROVED for each in known)
    if after - before < MIN_UNTRACKED_GROWTH or is_proved or evidence.after.totals.incomplete:
        return
    kind, urgency, safe = _LEDGER_RULES["untracked_tasks"]
    summary = f"{after - before:,} more untracked tasks in {age(evidence.seconds)}"
    yield DiagnosisFinding(
        rule="untracked_tasks",
        kind=kind,
        certainty=Certainty.PROVED,
        urgency=urgency,
        headline=f"{summary}, {after:,} in all: whether they leak cannot be judged",
        cause=f"{summary}: the code that creates them bypasses the task factory, so its line is not known",
        evidence=[
            f"{after:,} untracked and {evidence.after.totals.live:,} tracked tasks are live",
            *(line for each in known for line in each.evidence),
        ],
        count=after,
        safe=safe,
        next=[f"{evidence.command} runbook {page_of('untracked_tasks')}"],
    )


def running_drill(evidence: Evidence) -> Iterator[DiagnosisFinding]:
    """A drill that is running. The verdict drops this finding if another finding shows the drill's fault."""
    if evidence.status is not None and evidence.status.drill:
        name = evidence.status.drill
        yield DiagnosisFinding(
            rule=DRILL,
            kind="DRILL",
            certainty=Certainty.PROVED,
            urgency=1,  # any other fault matters more
            headline=f"{name} is active: a fault was injected on purpose",
            cause=f"the drill {name} is active: a fault was injected on purpose",
            safe="rehearse; `drill stop` ends the drill, and it also ends by itself",
            next=[f"{evidence.command} drill stop"],
        )


def incomplete_ledger(evidence: Evidence) -> Iterator[DiagnosisFinding]:
    """Tasks or findings that could not be read, so that the absence of other findings proves little."""
    # The rules ran a moment later than the snapshot, so the same reason may have other numbers there.
    summaries = [each.summary for each in evidence.ledger_findings("incomplete_ledger")]
    unread = [] if evidence.findings is not None else [UNREAD]
    for reason in [*(evidence.after.totals.incomplete or summaries), *unread]:
        yield DiagnosisFinding(
            rule="incomplete_ledger",
            kind="INCOMPLETE",
            certainty=Certainty.PROVED,
            urgency=65,
            headline=reason.partition(": ")[0],
            cause=reason,
            safe="the service keeps running; findings cover only the tasks that the ledger sees",
            next=[
                f"{evidence.command} --timeout 60 diagnose"
                if reason is UNREAD
                else f"{evidence.command} runbook {page_of('incomplete_ledger')}"
            ],
        )
