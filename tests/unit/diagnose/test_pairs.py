"""Two faults at once: both are told, the more urgent one first, or one explains the other."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from qcfeed.diagnose.evidence import Evidence
from qcfeed.diagnose.verdict import diagnose
from qcfeed.model.diagnosis import DiagnosisFinding
from qcfeed.model.messages import CloseCode
from tests.support.evidence_builders import (
    GIB,
    feed,
    healthy,
    ledger_findings,
    location,
    memory,
    orphans,
    rule,
    samples,
    snapshot,
    status,
    subscriber,
)

Change = Callable[[Evidence], None]


def more_findings(evidence: Evidence, *found: Any) -> None:
    known = evidence.findings.findings if evidence.findings is not None else []
    evidence.findings = ledger_findings(*known, *found)


def leaks(evidence: Evidence) -> None:
    evidence.after = snapshot(location(live=20_000, orphaned=20_000), after_s=5.0)
    evidence.orphans = orphans(0.2, 0.2)
    more_findings(evidence, rule("orphans", count=20_000))


def never_ends(evidence: Evidence) -> None:
    more_findings(evidence, rule("never_ending", "bot.py:88", count=900, per_minute=90.0))


def blocks(evidence: Evidence) -> None:
    stall = {"worst_s": 3.0, "ago_s": 5.0, "since_s": 8.0, "count": 1}
    more_findings(evidence, rule("blocked_loop", "app.py:12", place="app.py:31 hash_all", **stall))


def blocked_earlier(evidence: Evidence) -> None:
    stall = {"worst_s": 3.0, "ago_s": 411.0, "since_s": 414.0, "count": 1}
    more_findings(evidence, rule("blocked_loop", "app.py:12", place="app.py:31 hash_all", **stall))


def is_silent(evidence: Evidence) -> None:
    evidence.feeds = [feed(each, band="dead", age_s=90.0) for each in ("AAPL", "MSFT")]


def changed(evidence: Evidence, **fields: Any) -> None:
    """The service's status before, and after it with these fields."""
    evidence.status_before = evidence.status_before or status()
    evidence.status = msgspec.structs.replace(evidence.status or status(), **fields)


def loses_readers(evidence: Evidence) -> None:
    changed(evidence, orphaned_subscriptions=100)
    assert evidence.status_before is not None
    evidence.status_before.orphaned_subscriptions = 100


def is_stormed(evidence: Evidence) -> None:
    refused = {} if evidence.status is None else evidence.status.refused
    changed(evidence, refused=refused | {"rate_limited": 5_000})


def refuses_keys(evidence: Evidence) -> None:
    refused = {} if evidence.status is None else evidence.status.refused
    changed(evidence, refused=refused | {"invalid_token": 500})


def loses_peers(evidence: Evidence) -> None:
    changed(evidence, closed={str(int(CloseCode.NO_PONG)): 7})


def is_read_slowly(evidence: Evidence) -> None:
    evidence.slow = [subscriber(7, stalled_s=4.0)]


def fills_memory(evidence: Evidence) -> None:
    evidence.samples = samples(100.0)
    evidence.memory = memory(GIB, 16 * GIB)


def loses_the_ledger(evidence: Evidence) -> None:
    reason = "cannot see 5 of 7 tasks: the task factory was replaced"
    totals = msgspec.structs.replace(evidence.after.totals, incomplete=[reason])
    evidence.after = msgspec.structs.replace(evidence.after, totals=totals)


FAULTS: dict[str, Change] = {
    "zombies": leaks,
    "never_ending": never_ends,
    "blocked_loop": blocks,
    "upstream": is_silent,
    "orphaned_subscriptions": loses_readers,
    "refused_requests": is_stormed,
    "refused_authentications": refuses_keys,
    "vanished_subscribers": loses_peers,
    "slow_subscribers": is_read_slowly,
    "memory_growth": fills_memory,
    "incomplete_ledger": loses_the_ledger,
}


def judged(*changes: Change) -> list[DiagnosisFinding]:
    evidence = dataclasses.replace(healthy())
    for change in changes:
        change(evidence)
    return diagnose(evidence).findings


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_alone_is_the_cause(name: str) -> None:
    assert [each.rule for each in judged(FAULTS[name])] == [name]


PAIRS = list(itertools.combinations(FAULTS, 2))


@pytest.mark.parametrize("pair", PAIRS, ids="+".join)
def test_two_faults_are_both_told(pair: tuple[str, str]) -> None:
    alone = {name: judged(FAULTS[name])[0] for name in pair}
    found = judged(*(FAULTS[name] for name in pair))
    told = {each.rule for each in found}
    explained = {symptom.rule for each in found for symptom in each.symptoms}
    assert told | explained == set(pair)
    worst = max(found, key=lambda each: each.urgency)
    assert found[0] is worst
    for each in found:
        assert each.runbook == alone[each.rule].runbook
        assert each.next == alone[each.rule].next


def test_a_stall_that_is_over_is_no_headline_above_a_fault_that_goes_on() -> None:
    for name, change in FAULTS.items():
        if name != "blocked_loop":
            found = judged(change, blocked_earlier)
            assert found[0].rule == name
            assert "blocked_loop" in {each.rule for each in found}
