"""A healthy service has no findings, and no finding appears twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qcfeed.diagnose.verdict import diagnose
from qcfeed.metrics.growth import Point
from tests.support.evidence_builders import (
    GIB,
    feed,
    healthy,
    leak,
    ledger_findings,
    location,
    rule,
    snapshot,
)

BUSY = st.integers(0, 100_000)
RULES = (
    "orphans",
    "growing",
    "cancelled_in_vain",
    "abandoned_future",
    "blocked_loop",
    "late_wakeup",
    "destroyed_pending",
)


@given(before=BUSY, after=BUSY, noise=st.lists(st.integers(0, 2**22), min_size=11, max_size=11))
def test_changing_tasks_and_noisy_memory_are_healthy(
    before: int, after: int, noise: list[int]
) -> None:
    evidence = healthy(
        before=snapshot(location("a.py:1", live=before)),
        after=snapshot(location("a.py:1", live=after), after_s=5.0),
        samples=[Point(at / 2, GIB + grown, after) for at, grown in enumerate(noise)],
        feeds=[feed("AAPL")],
    )
    assert diagnose(evidence).verdict == "healthy"


@given(st.lists(st.tuples(st.sampled_from(RULES), st.booleans()), max_size=6), st.booleans())
def test_each_finding_appears_once_as_cause_or_symptom(
    rules: list[tuple[str, bool]], leaky: bool
) -> None:
    findings = ledger_findings(
        *(rule(name, sure=sure, count=1, worst_s=2.0, ago_s=1.0) for name, sure in rules)
    )
    judged = diagnose((leak if leaky else healthy)(findings=findings))
    causes = [*judged.findings, *judged.to_recheck]
    symptoms = [symptom for cause in causes for symptom in cause.symptoms]
    assert len({id(each) for each in causes}) == len(causes)
    urgencies = [each.urgency for each in judged.findings]
    assert urgencies == sorted(urgencies, reverse=True)
    assert len(causes) + len(symptoms) <= len(rules) + leaky
