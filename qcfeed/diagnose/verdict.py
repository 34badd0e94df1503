"""Applies all rules to the evidence: the answer of ``qcfeed diagnose``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from qcfeed.diagnose import (
    alerts,
    authentication,
    causes,
    cluster_side,
    diagnostics_findings,
    leaks,
    loop,
    memory,
    quotes,
    subscribers,
    workers,
)
from qcfeed.diagnose.evidence import Evidence
from qcfeed.diagnose.runbooks import page_of
from qcfeed.formats import age, count, if_any, milliseconds, plural, size, time_left
from qcfeed.model.diagnosis import Diagnosis, DiagnosisCheck, DiagnosisFinding
from qcfeed.model.tasks import GroupedTasks

HEALTHY, TOO_EARLY, SUSPECTED = "healthy", "too_early", "suspected"
"""Verdicts without a finding: nothing is wrong; too little was observed to say so; check again later."""
WARNINGS = frozenset(
    {"blocked_loop", "late_wakeup", "stale_symbols", "slow_subscribers", "vanished_subscribers"}
)
"""Rules whose suspected findings do not prevent the verdict HEALTHY: the fault is over, or is harmless unless
it lasts. A suspicion about tasks does prevent it."""
ENOUGH_S = 60.0
"""Seconds after which a leak of one task per second shows (diagnostics/survival.py)."""
ENOUGH_SNAPSHOTS = 6
"""Snapshots without which growth cannot be seen; on an overloaded machine they take longer than a minute."""
MANY_EARLIER = 20
"""From this many tasks from before the ledger on, if they are the majority, the verdict is not HEALTHY."""
NAMED_GROUPS = 2
"""Groups of tasks from before the ledger that are named."""

RULES: Sequence[Callable[[Evidence], Iterator[DiagnosisFinding]]] = (
    leaks.orphaned_tasks,
    leaks.never_ending_tasks,
    leaks.growing_locations,
    loop.blocked_loop,
    memory.memory_growth,
    memory.memory_near_limit,
    quotes.upstream,
    quotes.stale_symbols,
    quotes.own_lag,
    quotes.wrong_clock,
    subscribers.slow_subscribers,
    subscribers.vanished_subscribers,
    subscribers.refused_requests,
    authentication.refused_authentications,
    subscribers.orphaned_subscriptions,
    cluster_side.unstable_broker,
    cluster_side.two_owners,
    cluster_side.interest_without_feed,
    cluster_side.missed_renewals,
    cluster_side.feed_without_interest,
    cluster_side.slow_gateway,
    cluster_side.leaked_interest,
    cluster_side.former_owner,
    workers.restarted_worker,
    diagnostics_findings.ledger_findings,
    diagnostics_findings.growing_untracked,
    diagnostics_findings.incomplete_ledger,
    diagnostics_findings.running_drill,
    alerts.firing_alerts,
)


def diagnose(
    evidence: Evidence, rules: Sequence[Callable[[Evidence], Iterator[DiagnosisFinding]]] = RULES
) -> Diagnosis:
    """What is wrong, the cause first. Pure. Cost: O(locations + feeds + listed orphans)."""
    arranged = causes.arrange(evidence, [found for rule in rules for found in rule(evidence)])
    for each in arranged:
        each.runbook = each.runbook or page_of(each.rule)
    findings = [each for each in arranged if not each.is_suspected]
    if len(findings) > 1:  # the drill's fault is found, so the drill itself is not a second one
        findings = [each for each in findings if each.rule != diagnostics_findings.DRILL]
    suspected = [each for each in arranged if each.is_suspected]
    verdict, text = _conclusion(evidence, findings, suspected)
    return Diagnosis(
        pid=evidence.after.pid,
        instance=evidence.after.instance,
        taken_at=evidence.after.taken_at,
        loop_stall_ms=evidence.after.loop_stall_ms,
        loop_stack=evidence.after.loop_stack,
        verdict=verdict,
        headline=text,
        window_s=evidence.seconds,
        findings=findings,
        to_recheck=suspected,
        checks=list(_examined(evidence)),
        skipped=evidence.skipped,
        drill=evidence.status.drill if evidence.status is not None else None,
        saved_evidence=evidence.status.saved_evidence if evidence.status is not None else None,
    )


def _conclusion(
    evidence: Evidence, findings: list[DiagnosisFinding], suspected: list[DiagnosisFinding]
) -> tuple[str, str]:
    """The verdict, and the headline that says it."""
    if findings:
        return findings[0].rule, headline(findings[0])
    open_ones = [each for each in suspected if each.rule not in WARNINGS]
    if open_ones:
        more = f", and {len(open_ones) - 1} more" if len(open_ones) > 1 else ""
        return SUSPECTED, f"LOOK AGAIN  suspected: {open_ones[0].headline}{more}"
    if evidence.findings is not None and (watched := evidence.findings.watched_s) < ENOUGH_S:
        return TOO_EARLY, (
            f"NOTHING FOUND YET  {_counts(evidence)}: watched for {age(watched)}, and"
            f" a leak of 1 task per second needs {age(ENOUGH_S)}"
        )
    if evidence.findings is not None and evidence.findings.snapshots < ENOUGH_SNAPSHOTS:
        return TOO_EARLY, (
            f"NOTHING FOUND YET  {_counts(evidence)}: {plural(evidence.findings.snapshots, 'snapshot')},"
            f" and growth needs {ENOUGH_SNAPSHOTS}"
        )
    if evidence.findings is not None and evidence.findings.undecided:
        first, *others = evidence.findings.undecided
        more = f", and {len(others)} more" if others else ""
        return TOO_EARLY, f"NOTHING FOUND YET  {_counts(evidence)}: {first}{more}"
    earlier = sum(group.count for group in evidence.after.earlier)
    if earlier >= MANY_EARLIER and earlier > evidence.after.totals.live:
        return TOO_EARLY, (
            f"NOTHING FOUND YET  {_counts(evidence)}: most tasks are from before the ledger, and how"
            " old they are is not known"
        )
    return HEALTHY, f"HEALTHY  {_counts(evidence)}: no problem found"


def headline(finding: DiagnosisFinding) -> str:
    """``LEAK  47,829 tasks from feed.py:83 are orphaned; 11m02s left``"""
    left = "" if finding.left_s is None else f"; {time_left(finding.left_s, finding.left_most_s)}"
    return f"{finding.kind}  {finding.headline}{left}"


def _counts(evidence: Evidence) -> str:
    counts = [plural(evidence.after.totals.live, "task")]
    if evidence.after.totals.untracked:
        counts.append(f"{count(evidence.after.totals.untracked)} untracked")
    if evidence.status is not None:
        counts.append(plural(evidence.status.feed_count, "feed"))
        counts.append(plural(evidence.status.subscriptions, "subscription"))
    return ", ".join(counts)


def _examined(evidence: Evidence) -> Iterator[DiagnosisCheck]:
    totals = evidence.after.totals
    net = totals.live - evidence.before.totals.live
    yield DiagnosisCheck(
        subject="tasks",
        result=f"{count(totals.live)} live, {net:+,} in {age(evidence.seconds)},"
        f" {count(totals.orphaned)} orphaned{_untracked(evidence)}",
    )
    if evidence.after.earlier:
        yield DiagnosisCheck(subject="earlier", result=_earlier(evidence.after.earlier))
    if evidence.memory is not None:
        used, limit = evidence.memory.resident_bytes, evidence.memory.limit_bytes
        yield DiagnosisCheck(
            subject="memory", result=f"{size(used)} of {size(limit)}, {used / max(1, limit):.0%}"
        )
    stall = max(evidence.before.loop_stall_ms, evidence.after.loop_stall_ms)
    yield DiagnosisCheck(
        subject="loop", result=f"longest stall during this check {milliseconds(stall)}"
    )
    if evidence.findings is not None:
        snapshots = plural(evidence.findings.snapshots, "snapshot")
        text = f"{snapshots} in {age(evidence.findings.watched_s)}"
        if evidence.history:
            span = age(evidence.history[-1].at - evidence.history[0].at)
            text += f"; memory and tasks over {span}, from {evidence.history_source}"
        yield DiagnosisCheck(subject="history", result=text)
        for explained in evidence.findings.explained:
            yield DiagnosisCheck(subject="demand", result=explained)
        for open_question in evidence.findings.undecided:
            yield DiagnosisCheck(subject="undecided", result=open_question)
    yield from _service(evidence)


def _earlier(groups: Sequence[GroupedTasks]) -> str:
    """``108 tasks from before the ledger: 107 run refresh and wait at leak.py:2 (Event.wait)``"""
    named = [
        f"{count(each.count)} run {each.coroutine} and wait at {each.location} ({each.waiting})"
        for each in groups[:NAMED_GROUPS]
    ]
    total = sum(each.count for each in groups)
    return f"{plural(total, 'task')} from before the ledger: {'; '.join(named)}"


def _untracked(evidence: Evidence) -> str:
    before, after = evidence.before.totals.untracked, evidence.after.totals.untracked
    return f"; {count(after)} untracked, {after - before:+,}" if before or after else ""


def _service(evidence: Evidence) -> Iterator[DiagnosisCheck]:
    status = evidence.status
    if status is None:
        return
    bands = status.staleness
    yield DiagnosisCheck(
        subject="quotes",
        result=f"{count(bands.live)} live, {if_any(bands.no_quote, 'waiting')}{count(bands.stale)} stale,"
        f" {count(bands.very_stale + bands.dead)} older; {status.upstream}"
        + (" connected" if status.upstream_connected else " DOWN"),
    )
    yield DiagnosisCheck(
        subject="subscribers",
        result=f"{plural(status.subscriptions, 'subscription')},"
        f" {plural(status.connections, 'connection')},"
        f" {count(status.orphaned_subscriptions)} orphaned, {count(len(evidence.slow))} behind",
    )
    if evidence.alerts:
        firing = sum(each.state == "firing" for each in evidence.alerts)
        yield DiagnosisCheck(
            subject="alerts",
            result=f"{count(firing)} firing of {plural(len(evidence.alerts), 'alert')}",
        )
