"""Subscribers that do not read what they are sent: which connections, and how far behind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qcfeed.diagnose.evidence import Evidence
from qcfeed.diagnostics.findings import Certainty
from qcfeed.formats import age, count, plural, size
from qcfeed.model.diagnosis import DiagnosisFinding
from qcfeed.model.subscribers import Subscriber

MAX_NAMED = 3
"""Connections that a finding names, the furthest behind first."""


def slow_subscribers(evidence: Evidence) -> Iterator[DiagnosisFinding]:
    """Connections whose socket accepts no data: a finding after a second, a warning before."""
    slow = [each for each in evidence.slow if each.slow]
    if not slow:
        return
    stalled = [each for each in slow if each.stalled_s >= evidence.thresholds.slow_s]
    chosen = sorted(stalled or slow, key=lambda each: (-each.stalled_s, -each.lag, each.id))
    connections = count(evidence.status.connections) if evidence.status is not None else "?"
    counted = f"{count(len(chosen))} of {connections} subscribers"
    if stalled:
        what = f"{counted} {'does not read' if len(chosen) == 1 else 'do not read'}"
    else:
        what = f"{counted} {'was' if len(chosen) == 1 else 'were'} briefly behind"
    yield DiagnosisFinding(
        rule="slow_subscribers",
        kind="SLOW",
        certainty=Certainty.PROVED if stalled else Certainty.SUSPECTED,
        urgency=45,
        headline=f"{what}: {_names(chosen)}",
        cause=f"{what} ({_names(chosen)}); the cause is on their side, or in the network",
        evidence=[_behind(each) for each in chosen[:MAX_NAMED]],
        began_s=max(each.stalled_s for each in chosen) if stalled else None,
        count=len(chosen),
        safe="other subscribers are not affected: each backlog is bounded; a kick ends only these",
        next=[
            f"{evidence.command} subscribers --slow",
            f"{evidence.command} subscribers kick {_ids(chosen)}",
        ],
    )


def _ids(slow: Sequence[Subscriber]) -> str:
    return " ".join(str(each.id) for each in slow[:MAX_NAMED])


def _names(slow: Sequence[Subscriber]) -> str:
    more = f" and {count(len(slow) - MAX_NAMED)} more" if len(slow) > MAX_NAMED else ""
    return ", ".join(each.peer for each in slow[:MAX_NAMED]) + more


def _behind(slow: Subscriber) -> str:
    symbols = ", ".join(slow.symbols[:MAX_NAMED])
    more = f" +{slow.held - MAX_NAMED}" if slow.held > MAX_NAMED else ""
    queued = slow.lag_bytes + (slow.kernel_bytes or 0)
    missed = slow.conflated + slow.dropped
    return (
        f"{slow.id} ({slow.peer}) subscribes to {symbols}{more}: {plural(slow.lag, 'quote')} behind,"
        f" {size(queued)} queued, stalled {age(slow.stalled_s)}, {count(missed)} missed, {slow.policy}"
    )
