"""Processes of ``serve --workers`` that were started again because something went wrong with them."""

from __future__ import annotations

from collections.abc import Iterator

from qcfeed.diagnose.evidence import Evidence
from qcfeed.diagnostics.findings import Certainty
from qcfeed.formats import age, plural
from qcfeed.model.diagnosis import DiagnosisFinding
from qcfeed.model.status import ServiceStatus
from qcfeed.supervised import REQUESTED

RECENT_S = 900.0
"""Seconds after a restart for which it is a finding: as long as its alert looks back."""
_REASONS = {"ended": "it had ended by itself", "stuck": "it was stuck, and was killed"}


def restarted_worker(evidence: Evidence) -> Iterator[DiagnosisFinding]:
    """A worker whose process before this one crashed or was stuck, a short time ago."""
    status = evidence.status
    if status is None or (why := restart_reason(status)) is None:
        return
    what = f"this worker was started again {age(status.uptime_s)} ago, because {why}"
    times = {name: n for name, n in status.restarts_by_reason.items() if n and name != REQUESTED}
    reasons = ", ".join(f"{count} {name}" for name, count in times.items())
    yield DiagnosisFinding(
        rule="restarted_worker",
        kind="RESTART",
        certainty=Certainty.PROVED,
        urgency=42,
        headline=what,
        cause=f"{what}; its connections were lost",
        evidence=[
            f"{plural(sum(times.values()), 'restart')} since the supervisor's start: {reasons}"
        ],
        count=sum(times.values()),
        began_s=status.uptime_s,
        safe="nothing to cancel: it serves again",
        next=["qcfeed --cluster diagnose", f"{evidence.command} memory"],
    )


def restart_reason(status: ServiceStatus) -> str | None:
    """Why a worker was started again a short time ago, if something was wrong with it; else None."""
    return _REASONS.get(status.last_restart or "") if status.uptime_s <= RECENT_S else None
