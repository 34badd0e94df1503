"""Subscribers that are refused because of their API key or token, and keys that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator

from qcfeed.diagnose.evidence import Evidence
from qcfeed.diagnostics.findings import Certainty
from qcfeed.formats import age, count
from qcfeed.model.diagnosis import DiagnosisFinding

CODES = frozenset({"unauthenticated", "invalid_token", "forbidden", "authentication_unavailable"})
"""Error codes of requests that are refused because of who sends them, not because of a limit."""
PER_S = 1.0
"""Refused authentications per second from which it is a finding."""


def refused_authentications(evidence: Evidence) -> Iterator[DiagnosisFinding]:
    """Keys that cannot be read, and many refused authentications."""
    status, before = evidence.status, evidence.status_before
    if status is None:
        return
    more = {
        why: status.refused.get(why, 0) - (before.refused.get(why, 0) if before else 0)
        for why in CODES
    }
    total = sum(more.values()) if before is not None else 0
    many = bool(evidence.seconds) and total >= PER_S * evidence.seconds
    if not many and not status.access_problems:
        return
    rate = f"{total / evidence.seconds:,.1f} authentications per second are refused" if many else ""
    unreadable = "the subscribers' keys cannot be read" if status.access_problems else ""
    what = "; ".join(filter(None, (unreadable, rate)))
    refused = ", ".join(
        f"{count(number)} {why}" for why, number in sorted(more.items()) if number > 0
    )
    yield DiagnosisFinding(
        rule="refused_authentications",
        kind="AUTHENTICATION",
        certainty=Certainty.PROVED,
        urgency=50 if status.access_problems else 46,
        headline=what,
        cause=f"{what}: the log names the clients and the files",
        evidence=[
            *status.access_problems,
            *([f"{refused} in {age(evidence.seconds)}"] if many else []),
        ],
        count=total,
        per_minute=total * 60 / evidence.seconds if many else None,
        safe="connected subscribers are not affected; the keys that were read last stay in use",
        next=[f"{evidence.command} status", f"{evidence.command} keys list"],
    )
