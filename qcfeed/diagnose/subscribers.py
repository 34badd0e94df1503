"""Subscribers that do not read or have vanished, and subscriptions without a reader."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qcfeed.diagnose import authentication
from qcfeed.diagnose.evidence import Evidence
from qcfeed.diagnostics.findings import Certainty
from qcfeed.formats import age, count, plural, size
from qcfeed.model.diagnosis import DiagnosisFinding
from qcfeed.model.messages import CloseCode
from qcfeed.model.subscribers import SubscriberStatus

MAX_NAMED = 3
"""Connections that a finding names, the furthest behind first."""
MIN_VANISHED, VANISHED_SHARE = 3, 0.01
"""Vanished peers, and their share of all connections, from which they are a finding; fewer are a warning."""


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
            f"{evidence.command} subscribers kick --slow",
        ],
    )


def vanished_subscribers(evidence: Evidence) -> Iterator[DiagnosisFinding]:
    """Connections whose peer has gone without closing and answers no ping. A warning if they are few."""
    vanished = sorted(evidence.vanished, key=lambda each: -each.unanswered_s)
    closed = _more_closed(evidence, CloseCode.NO_PONG)
    if not vanished and not closed:
        return
    parts = []
    if vanished:
        parts.append(f"{plural(len(vanished), 'connection')} without an answer: {_names(vanished)}")
    if closed:
        parts.append(f"{count(closed)} closed in {age(evidence.seconds)}")
    number = len(vanished) + closed
    what = "peers vanished without closing their connections"
    yield DiagnosisFinding(
        rule="vanished_subscribers",
        kind="VANISHED",
        certainty=Certainty.PROVED if _is_many(evidence, number) else Certainty.SUSPECTED,
        urgency=42,
        headline=f"{what}: {'; '.join(parts)}",
        cause=f"{what}, or the network between is broken: they answer no ping",
        evidence=[
            f"{each.id} ({each.peer}) has not answered a ping for {age(each.unanswered_s)}"
            for each in vanished[:MAX_NAMED]
        ],
        began_s=max((each.heard_s for each in vanished), default=None),
        count=number,
        safe="nothing to do: the service closes such connections, and others are not affected",
        next=[f"{evidence.command} subscribers -o wide"],
    )


def _is_many(evidence: Evidence, number: int) -> bool:
    """Whether these are more vanished peers than any network loses."""
    connections = evidence.status.connections if evidence.status is not None else 0
    return number >= max(MIN_VANISHED, VANISHED_SHARE * connections)


def refused_requests(evidence: Evidence) -> Iterator[DiagnosisFinding]:
    """Requests that are refused many times per second: clients ask for more than a limit allows."""
    before, after = evidence.status_before, evidence.status
    if before is None or after is None or not evidence.seconds:
        return
    more = {
        why: number - before.refused.get(why, 0)
        for why, number in after.refused.items()
        if why not in authentication.CODES
    }
    total = sum(number for number in more.values() if number > 0)
    if total < evidence.thresholds.refused_per_s * evidence.seconds:
        return
    why = max(more, key=lambda each: more[each])
    rate = f"{total / evidence.seconds:,.0f} requests per second are refused"
    yield DiagnosisFinding(
        rule="refused_requests",
        kind="STORM",
        certainty=Certainty.PROVED,
        urgency=48,
        headline=f"{rate}, most of them: {why}",
        cause=f"{rate}: clients ask for more than the limits allow",
        evidence=[
            ", ".join(f"{count(number)} {each}" for each, number in more.items() if number > 0)
            + f" in {age(evidence.seconds)}",
            f"{plural(after.connections, 'connection')}, {plural(after.subscriptions, 'subscription')}",
        ],
        count=total,
        per_minute=total * 60 / evidence.seconds,
        safe="the limits protect the others; look at which clients repeat their requests",
        next=[f"{evidence.command} subscribers", f"{evidence.command} status"],
    )


def orphaned_subscriptions(evidence: Evidence) -> Iterator[DiagnosisFinding]:
    """Subscriptions whose connection is closed: nobody reads them, and they keep feeds open."""
    before, after = evidence.status_before, evidence.status
    number = 0 if after is None else after.orphaned_subscriptions
    if after is None or not number:
        return
    lasting = before is not None and before.orphaned_subscriptions > 0
    listed = evidence.orphans.orphans if evidence.orphans is not None else []
    symbols = sorted({each.symbol for each in listed if each.serial is None and each.symbol})
    what = (
        f"{count(number)} of {plural(after.subscriptions, 'subscription')}"
        f" {'is' if number == 1 else 'are'} orphaned"
    )
    more = number - (before.orphaned_subscriptions if before is not None else 0)
    yield DiagnosisFinding(
        rule="orphaned_subscriptions",
        kind="LEAK",
        certainty=Certainty.PROVED if lasting else Certainty.SUSPECTED,
        urgency=72,
        headline=f"{what}: nobody reads them",
        cause=f"{what}: their connections are closed, and they keep feeds open",
        evidence=[
            f"{f'{more:+,}' if more else 'no more'} in {age(evidence.seconds)}",
            *([f"symbols: {_some(symbols)}"] if symbols else []),
        ],
        count=number,
        per_minute=more * 60 / evidence.seconds if evidence.seconds else None,
        safe="`orphans --reap` removes exactly these; current subscribers are not affected",
        next=[f"{evidence.command} orphans --reap"],
    )


def _more_closed(evidence: Evidence, code: CloseCode) -> int:
    """How many connections were closed with this code between the two snapshots."""
    before, after = evidence.status_before, evidence.status
    if before is None or after is None:
        return 0
    key = str(int(code))
    return after.closed.get(key, 0) - before.closed.get(key, 0)


def _some(symbols: Sequence[str]) -> str:
    more = f" and {count(len(symbols) - MAX_NAMED)} more" if len(symbols) > MAX_NAMED else ""
    return ", ".join(symbols[:MAX_NAMED]) + more


def _names(slow: Sequence[SubscriberStatus]) -> str:
    more = f" and {count(len(slow) - MAX_NAMED)} more" if len(slow) > MAX_NAMED else ""
    return ", ".join(each.peer for each in slow[:MAX_NAMED]) + more


def _behind(slow: SubscriberStatus) -> str:
    symbols = ", ".join(slow.symbols[:MAX_NAMED])
    more = f" +{slow.held - MAX_NAMED}" if slow.held > MAX_NAMED else ""
    queued = slow.lag_bytes + (slow.kernel_bytes or 0)
    missed = slow.conflated + slow.dropped
    return (
        f"{slow.id} ({slow.peer}) subscribes to {symbols}{more}: {plural(slow.lag, 'quote')} behind,"
        f" {size(queued)} queued, stalled {age(slow.stalled_s)}, {count(missed)} missed, {slow.policy}"
    )
