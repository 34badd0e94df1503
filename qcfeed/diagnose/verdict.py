"""All rules over the evidence, and what they come to: the one answer of ``qcfeed diagnose``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from qcfeed.diagnose import (
    alerts,
    causes,
    diagnostics_findings,
    leaks,
    loop,
    memory,
    quotes,
    subscribers,
)
from qcfeed.diagnose.evidence import Evidence
from qcfeed.diagnose.runbooks import page_of
from qcfeed.formats import age, count, milliseconds, plural, size
from qcfeed.model.diagnosis import Diagnosis, Finding, Looked

HEALTHY = "healthy"

RULES: Sequence[Callable[[Evidence], Iterator[Finding]]] = (
    leaks.zombies,
    leaks.growing,
    loop.blocked,
    memory.growing,
    memory.near,
    quotes.upstream,
    quotes.some,
    quotes.own_lag,
    subscribers.slow,
    diagnostics_findings.passed_on,
    diagnostics_findings.incomplete,
    diagnostics_findings.drill,
    alerts.fires,
)


def diagnose(
    seen: Evidence, rules: Sequence[Callable[[Evidence], Iterator[Finding]]] = RULES
) -> Diagnosis:
    """What is wrong, the cause first. Pure. Cost: O(locations + feeds + listed orphans)."""
    arranged = causes.arrange(seen, [finding for rule in rules for finding in rule(seen)])
    for each in arranged:
        each.runbook = page_of(each.rule)
    findings = [each for each in arranged if each.proved]
    if len(findings) > 1:  # a drill is no fault of its own where the fault that it makes is seen
        findings = [each for each in findings if each.rule != diagnostics_findings.DRILL]
    return Diagnosis(
        pid=seen.after.pid,
        instance=seen.after.instance,
        taken_at=seen.after.taken_at,
        loop_stall_ms=seen.after.loop_stall_ms,
        loop_stack=seen.after.loop_stack,
        verdict=findings[0].rule if findings else HEALTHY,
        headline=headline(findings[0]) if findings else f"HEALTHY  {_all_well(seen)}",
        window_s=seen.seconds,
        findings=findings,
        to_recheck=[each for each in arranged if not each.proved],
        checks=list(_looked_at(seen)),
        skipped=seen.untold,
        drill=seen.status.drill if seen.status is not None else None,
    )


def headline(finding: Finding) -> str:
    """``LEAK  47,829 tasks from feed.py:83 serve nobody; 11m02s left``"""
    left = "" if finding.left_s is None else f"; {age(finding.left_s)} left"
    return f"{finding.kind}  {finding.headline}{left}"


def _all_well(seen: Evidence) -> str:
    what = [plural(seen.after.totals.live, "task")]
    if seen.status is not None:
        what.append(plural(seen.status.feed_count, "feed"))
        what.append(plural(seen.status.subscriptions, "subscription"))
    return f"{', '.join(what)}: nothing is wrong that can be seen"


def _looked_at(seen: Evidence) -> Iterator[Looked]:
    totals = seen.after.totals
    net = totals.live - seen.before.totals.live
    yield Looked(
        subject="tasks",
        result=f"{count(totals.live)} live, {net:+,} in {age(seen.seconds)},"
        f" {count(totals.orphaned)} orphaned",
    )
    if seen.memory is not None:
        share = seen.memory.resident_bytes / max(1, seen.memory.limit_bytes)
        yield Looked(
            subject="memory",
            result=f"{size(seen.memory.resident_bytes)} of {size(seen.memory.limit_bytes)}, {share:.0%}",
        )
    stall = max(seen.before.loop_stall_ms, seen.after.loop_stall_ms)
    yield Looked(
        subject="loop", result=f"stood still {milliseconds(stall)} at most while it was looked at"
    )
    if seen.findings is not None:
        told = f"{plural(seen.findings.snapshots, 'look')} in {age(seen.findings.watched_s)}"
        if seen.history:
            spans = age(seen.history[-1].at - seen.history[0].at)
            told += f"; memory and tasks of {spans}, by {seen.remembered_by}"
        yield Looked(subject="history", result=told)
    yield from _service(seen)


def _service(seen: Evidence) -> Iterator[Looked]:
    status = seen.status
    if status is None:
        return
    bands = status.staleness
    yield Looked(
        subject="quotes",
        result=f"{count(bands.live)} live, {count(bands.stale)} stale,"
        f" {count(bands.very_stale + bands.dead)} older; {status.upstream}"
        + (" connected" if status.upstream_connected else " DOWN"),
    )
    yield Looked(
        subject="subscribers",
        result=f"{plural(status.subscriptions, 'subscription')},"
        f" {plural(status.connections, 'connection')},"
        f" {count(status.orphaned_subscriptions)} orphaned, {count(len(seen.slow))} behind",
    )
    if seen.alerts:
        firing = sum(each.state == "firing" for each in seen.alerts)
        yield Looked(
            subject="alerts",
            result=f"{count(firing)} firing of {plural(len(seen.alerts), 'alert')}",
        )
