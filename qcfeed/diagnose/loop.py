"""The loop: what keeps it from turning."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from qcfeed.diagnose.evidence import Evidence
from qcfeed.formats import age, plural
from qcfeed.model import answers
from qcfeed.model.diagnosis import Certainty, Finding

SHOWN = 3
"""Calls of a stack that are told, the innermost."""


def blocked(seen: Evidence) -> Iterator[Finding]:
    """Code that does not give the loop back: by its line. Now, or some minutes ago."""
    told = list(seen.told("blocked_loop"))
    now = [each for each in told if seen.stuck_s and _goes_on(seen, each)]
    yield from (_blocked(seen, each, goes_on=each in now) for each in told)
    if seen.stuck_s and not now:
        yield _unseen(seen)


def _goes_on(seen: Evidence, told: answers.Finding) -> bool:
    return told.ago_s is not None and told.ago_s <= seen.limits.stuck_s


def _blocked(seen: Evidence, told: answers.Finding, *, goes_on: bool) -> Finding:
    line, _, function = told.place.partition(" ")
    worst, times = told.worst_s or 0.0, told.count
    long = goes_on or worst >= seen.limits.stuck_s
    recent = goes_on or (told.ago_s or 0.0) <= seen.limits.recent_s
    often = "once" if times == 1 else f"{times} times"
    stands = (
        f"the loop has been stuck for {age(seen.stuck_s)}"
        if goes_on
        else f"the loop stood still {often}, {age(worst)} at most"
    )
    return Finding(
        rule="blocked_loop",
        kind="BLOCKED",
        certainty=Certainty.PROVED if long and recent else Certainty.SUSPECTED,
        urgency=100 if goes_on else 60,
        headline=f"{stands}, at {line}",
        cause=f"{stands}: {function or line} does not give it back, and nobody is served meanwhile"
        if long
        else f"{stands}, in {function or line}",
        location=line,
        source=told.source,
        evidence=[told.evidence[0], *told.evidence[1:][-SHOWN:]],
        began_s=told.since_s,
        count=times,
        safe="no action can be carried out until the loop turns; reading goes on, and harms nothing"
        if goes_on
        else "nothing to cancel: the line has to become asynchronous, or go to a thread",
        next=[
            f"{seen.command} stacks",
            f"{seen.command} report --bundle evidence.tar.gz",
        ],
    )


def _unseen(seen: Evidence) -> Finding:
    """Stuck, and the watchdog has not caught it yet: the answer's own stack says where."""
    stack = [] if seen.after.loop_stack is msgspec.UNSET else seen.after.loop_stack
    inner = stack[-1] if stack else ""
    line, _, function = inner.partition(" ")
    return Finding(
        rule="blocked_loop",
        kind="BLOCKED",
        certainty=Certainty.PROVED,
        urgency=100,
        headline=f"the loop has been stuck for {age(seen.stuck_s)}" + (f", at {line}" * bool(line)),
        cause=f"the loop has been stuck for {age(seen.stuck_s)}: {function or 'something'} does not give"
        " it back, and nobody is served meanwhile",
        location=line,
        evidence=[plural(len(stack), "call") + " deep", *stack[-SHOWN:]],
        began_s=seen.stuck_s,
        count=1,
        safe="no action can be carried out until the loop turns; reading goes on, and harms nothing",
        next=[f"{seen.command} stacks"],
    )
