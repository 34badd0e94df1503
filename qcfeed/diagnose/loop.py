"""Code that blocks the service's event loop, now or in the last minutes."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from qcfeed.diagnose.evidence import Evidence
from qcfeed.diagnostics.findings import Certainty, Finding
from qcfeed.formats import age, plural
from qcfeed.model.diagnosis import DiagnosisFinding

STACK_FRAMES = 3
"""Innermost frames of the blocking stack that a finding shows."""
LIVE_S = 60.0
"""Seconds for which a stall that has ended ranks beside ongoing faults; later it ranks below them."""
_SAFE_WHILE_STUCK = "actions are refused until the loop runs again; reads still work and are safe"


def blocked_loop(evidence: Evidence) -> Iterator[DiagnosisFinding]:
    """One finding per line that blocked the loop."""
    stalls = list(evidence.ledger_findings("blocked_loop"))
    now = [each for each in stalls if evidence.stuck_s and _goes_on(evidence, each)]
    yield from (_blocked(evidence, each, goes_on=each in now) for each in stalls)
    if evidence.stuck_s and not now:
        yield _not_caught_yet(evidence)


def _goes_on(evidence: Evidence, stall: Finding) -> bool:
    return stall.ago_s is not None and stall.ago_s <= evidence.thresholds.stuck_s


def _blocked(evidence: Evidence, stall: Finding, *, goes_on: bool) -> DiagnosisFinding:
    line, _, function = stall.place.partition(" ")
    worst, times = stall.worst_s or 0.0, stall.count
    long = goes_on or worst >= evidence.thresholds.stuck_s
    recent = goes_on or (stall.ago_s or 0.0) <= evidence.thresholds.recent_s
    what = _what(evidence, times, worst, goes_on=goes_on)
    blocks = "blocks it; nothing else runs" if goes_on else "blocked it; nothing else ran"
    return DiagnosisFinding(
        rule="blocked_loop",
        kind="BLOCKED",
        certainty=Certainty.PROVED if long and recent else Certainty.SUSPECTED,
        # Nothing is more urgent than a stuck loop: meanwhile the service does nothing at all.
        urgency=100 if goes_on else 60 if (stall.ago_s or 0.0) <= LIVE_S else 15,
        headline=f"{what}, at {line}",
        cause=f"{what}: {function or line} {blocks} meanwhile"
        if long
        else f"{what}, in {function or line}",
        location=line,
        source=stall.source,
        evidence=[stall.evidence[0], *stall.evidence[1:][-STACK_FRAMES:]],
        began_s=stall.since_s,
        count=times,
        safe=_SAFE_WHILE_STUCK
        if goes_on
        else "nothing to cancel: make the call asynchronous, or run it in a thread",
        next=[
            f"{evidence.command} stacks",
            f"{evidence.command} report --bundle evidence.tar.gz",
        ],
    )


def _what(evidence: Evidence, times: int, worst: float, *, goes_on: bool) -> str:
    if goes_on:
        return f"the loop has been stuck for {age(evidence.stuck_s)}"
    if times == 1:
        return f"the loop stalled for {age(worst)}"
    return f"the loop stalled {times} times, for up to {age(worst)}"


def _not_caught_yet(evidence: Evidence) -> DiagnosisFinding:
    """A stuck loop that the watchdog has not recorded yet: the answer's own stack names the line."""
    stack = [] if evidence.after.loop_stack is msgspec.UNSET else evidence.after.loop_stack
    inner = stack[-1] if stack else ""
    line, _, function = inner.partition(" ")
    what = f"the loop has been stuck for {age(evidence.stuck_s)}"
    return DiagnosisFinding(
        rule="blocked_loop",
        kind="BLOCKED",
        certainty=Certainty.PROVED,
        urgency=100,
        headline=what + (f", at {line}" if line else ""),
        cause=f"{what}: {function or 'a call'} blocks it; nothing else runs meanwhile",
        location=line,
        evidence=[plural(len(stack), "call") + " deep", *stack[-STACK_FRAMES:]] if stack else [],
        began_s=evidence.stuck_s,
        count=1,
        safe=_SAFE_WHILE_STUCK,
        next=[f"{evidence.command} stacks"],
    )
