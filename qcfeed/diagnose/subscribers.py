"""Subscribers that do not take what they are sent: who they are, and how far behind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qcfeed.diagnose.evidence import Evidence
from qcfeed.formats import age, count, plural, size
from qcfeed.model.diagnosis import Certainty, Finding
from qcfeed.model.subscribers import Subscriber

NAMED = 3
"""Of them that are told one by one, the furthest behind."""


def slow(seen: Evidence) -> Iterator[Finding]:
    """Known by what their peers have not taken: a moment is nothing, some seconds are."""
    listed = [each for each in seen.slow if each.slow]
    if not listed:
        return
    stalled = [each for each in listed if each.stalled_s >= seen.limits.slow_s]
    chosen = sorted(stalled or listed, key=lambda each: (-each.stalled_s, -each.lag, each.id))
    of_all = count(seen.status.connections) if seen.status is not None else "?"
    verb = "does not read" if len(chosen) == 1 else "do not read"
    if not stalled:
        verb = "was late" if len(chosen) == 1 else "were late"
    what = f"{count(len(chosen))} of {of_all} subscribers {verb}"
    yield Finding(
        rule="slow_subscribers",
        kind="SLOW",
        certainty=Certainty.PROVED if stalled else Certainty.SUSPECTED,
        urgency=45,
        headline=f"{what}: {_names(chosen)}",
        cause=f"{what} what they are sent ({_names(chosen)}); it is their side, or their network",
        evidence=[_behind(each) for each in chosen[:NAMED]],
        began_s=max(each.stalled_s for each in chosen) if stalled else None,
        count=len(chosen),
        safe="they cost the others nothing: what waits for them is bounded; a kick ends only them",
        next=[
            f"{seen.command} subscribers --slow",
            f"{seen.command} subscribers kick {' '.join(str(each.id) for each in chosen[:NAMED])}",
        ],
    )


def _names(slow: Sequence[Subscriber]) -> str:
    more = f" and {count(len(slow) - NAMED)} more" if len(slow) > NAMED else ""
    return ", ".join(each.peer for each in slow[:NAMED]) + more


def _behind(slow: Subscriber) -> str:
    symbols = ", ".join(slow.symbols[:NAMED])
    more = f" +{slow.held - NAMED}" if slow.held > NAMED else ""
    waits = slow.lag_bytes + (slow.kernel_bytes or 0)
    lost = slow.conflated + slow.dropped
    return (
        f"{slow.id} ({slow.peer}) holds {symbols}{more}: {plural(slow.lag, 'quote')} behind,"
        f" {size(waits)} wait, stalled {age(slow.stalled_s)}, {count(lost)} missed, {slow.policy}"
    )
