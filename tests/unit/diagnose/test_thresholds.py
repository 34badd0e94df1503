"""Each threshold: a finding at its value, none just below it."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import msgspec
import pytest

from qcfeed.diagnose import causes, leaks, memory
from qcfeed.diagnose.evidence import DiagnosisThresholds, Evidence
from qcfeed.diagnose.verdict import diagnose
from qcfeed.diagnostics.findings import Certainty
from qcfeed.metrics.growth import Point
from qcfeed.model.diagnosis import DiagnosisFinding
from qcfeed.model.status import Memory
from tests.support.evidence_builders import (
    GIB,
    LEAKY,
    feed,
    healthy,
    leak,
    ledger_findings,
    location,
    orphans,
    rule,
    snapshot,
    subscriber,
)
from tests.unit.diagnose.test_verdict import BLOCKED

MIB = 2**20


def rules(evidence: Evidence) -> list[str]:
    return [each.rule for each in diagnose(evidence).findings]


def held(resident: float, limit: float = 16 * GIB) -> Memory:
    return Memory(resident_bytes=round(resident), limit_bytes=round(limit), limit_source="cgroup")


def test_the_thresholds_match_the_documentation() -> None:
    limits = DiagnosisThresholds()
    assert (limits.stuck_s, limits.slow_s, limits.recent_s) == (1.0, 1.0, 600.0)
    assert (limits.memory_share, limits.memory_left_s) == (0.85, 4 * 3600.0)
    assert (limits.memory_growth, limits.memory_fit, limits.history_min_s) == (0.02, 0.9, 150.0)


@pytest.mark.parametrize(("share", "found"), [(0.8499, []), (0.85, ["memory_level"])])
def test_memory_is_near_its_limit_from_85_percent_on(share: float, found: list[str]) -> None:
    assert rules(healthy(memory=held(share * 1_000_000, 1_000_000))) == found


def test_memory_without_a_limit_is_never_near_it() -> None:
    assert rules(healthy(memory=held(GIB, 0))) == []
    assert rules(healthy(memory=None)) == []


@pytest.mark.parametrize(("stall_ms", "found"), [(999.0, []), (1_000.0, ["blocked_loop"])])
def test_a_loop_is_stuck_after_one_second(stall_ms: float, found: list[str]) -> None:
    assert rules(healthy(after=snapshot(after_s=5.0, stall_ms=stall_ms))) == found


@pytest.mark.parametrize(
    ("worst_s", "ago_s", "found"),
    [
        (1.0, 600.0, ["blocked_loop"]),
        (0.99, 600.0, []),
        (1.0, 601.0, []),
        (1.0, None, ["blocked_loop"]),
    ],
)
def test_a_stall_of_a_second_in_the_last_ten_minutes_is_a_finding(
    worst_s: float, ago_s: float | None, found: list[str]
) -> None:
    stood = dataclasses.replace(BLOCKED, worst_s=worst_s, ago_s=ago_s)
    assert rules(healthy(findings=ledger_findings(stood))) == found


@pytest.mark.parametrize(("ago_s", "goes_on"), [(1.0, True), (1.01, False)])
def test_a_stall_goes_on_when_it_was_seen_within_the_last_second(
    ago_s: float, goes_on: bool
) -> None:
    stuck = snapshot(after_s=5.0, stall_ms=5_000.0)
    stood = dataclasses.replace(BLOCKED, ago_s=ago_s, worst_s=3.0)
    found = diagnose(healthy(after=stuck, findings=ledger_findings(stood))).findings
    assert [each.urgency for each in found] == ([100] if goes_on else [100, 60])


@pytest.mark.parametrize(("stalled_s", "found"), [(0.99, []), (1.0, ["slow_subscribers"])])
def test_a_subscriber_stalled_for_a_second_is_a_finding(stalled_s: float, found: list[str]) -> None:
    assert rules(healthy(slow=[subscriber(7, stalled_s=stalled_s)])) == found


# ---------------------------------------------------------------- memory growth in the window


def climbing(left_s: float = 600.0, grown: float = 0.1, noise: float = 0.0) -> Evidence:
    """Memory that grew by the share ``grown`` in 5 s, and reaches its limit in ``left_s`` more."""
    resident = GIB
    first = resident * (1 - grown)
    points = [
        Point(at / 2, first + resident * grown * at / 10 + noise * GIB * (at % 2), 2.0)
        for at in range(11)
    ]
    slope = resident * grown / 5
    return healthy(samples=points, memory=held(resident, resident + slope * left_s))


@pytest.mark.parametrize(("left_s", "found"), [(14_399.0, ["memory_growth"]), (14_401.0, [])])
def test_memory_growth_that_reaches_the_limit_within_four_hours_is_a_finding(
    left_s: float, found: list[str]
) -> None:
    evidence = climbing(left_s)
    evidence.thresholds = replace(evidence.thresholds, memory_share=2.0)
    assert rules(evidence) == found


@pytest.mark.parametrize(("grown", "found"), [(0.0201, ["memory_growth"]), (0.0199, [])])
def test_memory_growth_of_two_percent_in_the_window_is_a_finding(
    grown: float, found: list[str]
) -> None:
    assert rules(climbing(grown=grown)) == found


@pytest.mark.parametrize(("noise", "found"), [(0.0, ["memory_growth"]), (0.05, [])])
def test_memory_growth_must_fit_a_line(noise: float, found: list[str]) -> None:
    assert rules(climbing(noise=noise)) == found


def test_growth_in_the_last_third_only_is_not_steady() -> None:
    points = [Point(at / 2, GIB + max(0, at - 7) * 90 * MIB, 2.0) for at in range(12)]
    evidence = healthy(samples=points, memory=held(GIB * 1.4, 1.6 * GIB))
    evidence.thresholds = replace(evidence.thresholds, memory_fit=0.0, memory_share=2.0)
    assert rules(evidence) == []


@pytest.mark.parametrize(("left_s", "urgency"), [(3_590.0, 85), (3_610.0, 65)])
def test_less_than_an_hour_left_is_more_urgent(left_s: float, urgency: int) -> None:
    assert diagnose(climbing(left_s)).findings[0].urgency == urgency


@pytest.mark.parametrize(("tasks", "is_tasks"), [(0.51, True), (0.49, False)])
def test_tasks_that_account_for_half_of_the_growth_are_its_cause(
    tasks: float, is_tasks: bool
) -> None:
    slope = 32 * MIB
    each = tasks * slope / memory.TASK_BYTES
    points = [Point(at / 2, GIB + slope * at / 2, each * at / 2) for at in range(11)]
    found = diagnose(healthy(samples=points)).findings[0]
    assert ("tasks are not the cause" in found.headline) != is_tasks


# ---------------------------------------------------------------- memory growth in the history


def remembered(minutes: float, lately: float) -> Evidence:
    """Memory that grew by 1 GiB per 10 minutes, and at the share ``lately`` of it in the last 5."""
    rate = GIB / 600
    points, value = [], 4.0 * GIB
    for at in range(0, round(minutes * 60) + 1, 10):
        points.append(Point(float(at), value, 100.0))
        value += 10 * rate * (lately if at >= minutes * 60 - 300 else 1.0)
    return healthy(history=points, memory=held(points[-1].memory or 0.0, 16 * GIB))


@pytest.mark.parametrize(("lately", "found"), [(1.0, ["memory_growth"]), (0.1, [])])
def test_growth_in_the_history_counts_only_while_it_continues(
    lately: float, found: list[str]
) -> None:
    assert rules(remembered(40, lately)) == found


def test_a_short_history_is_a_program_that_starts_and_not_growth() -> None:
    rate = GIB / 60
    for seconds, found in ((140, []), (160, ["memory_growth"])):
        points = [Point(float(at), GIB + rate * at, 9.0) for at in range(0, seconds + 1, 10)]
        evidence = healthy(history=points, memory=held(points[-1].memory or 0.0))
        assert rules(evidence) == found


# ---------------------------------------------------------------- time to the limit


@pytest.mark.parametrize(("live", "known"), [(999, False), (1_000, True)])
def test_memory_per_task_is_estimated_from_a_thousand_tasks(live: int, known: bool) -> None:
    evidence = healthy(after=snapshot(location(live=live), after_s=5.0))
    assert (memory.time_to_limit(evidence, tasks_per_minute=60.0) is not None) == known


def test_no_time_to_the_limit_without_new_tasks_or_without_a_limit() -> None:
    evidence = healthy(after=snapshot(location(live=5_000), after_s=5.0))
    assert memory.time_to_limit(evidence, tasks_per_minute=0.0) is None
    assert (
        memory.time_to_limit(replace(evidence, memory=held(GIB, 0)), tasks_per_minute=9.0) is None
    )
    assert memory.time_to_limit(replace(evidence, memory=None), tasks_per_minute=9.0) is None


def test_memory_over_its_limit_leaves_no_time() -> None:
    evidence = healthy(
        after=snapshot(location(live=5_000), after_s=5.0), memory=held(17 * GIB, 16 * GIB)
    )
    left = memory.time_to_limit(evidence, tasks_per_minute=9.0)
    assert left is not None
    assert left.seconds == 0.0


# ---------------------------------------------------------------- leaks


@pytest.mark.parametrize(("more", "urgency"), [(1, 82), (0, 75)])
def test_one_more_orphan_per_minute_counts_as_growth(more: int, urgency: int) -> None:
    evidence = leak(count=500, more=more)
    evidence.after = msgspec.structs.replace(
        snapshot(location(live=500, orphaned=500), after_s=60.0)
    )
    found = diagnose(evidence).findings[0]
    assert (found.urgency, found.per_minute) == (urgency, float(more))
    assert leaks.MIN_GROWTH_PER_MINUTE == 1.0


def test_the_faster_of_window_and_history_is_reported() -> None:
    for lately, before in ((60, 100.0), (5, 900.0)):
        evidence = leak(
            more=lately,
            findings=ledger_findings(
                rule("orphans", count=9, since_s=1.0), rule("growing", per_minute=before, count=9)
            ),
        )
        assert diagnose(evidence).findings[0].per_minute == max(lately * 12.0, before)


def test_growth_at_another_location_does_not_change_the_rate() -> None:
    evidence = leak(
        more=60,
        findings=ledger_findings(
            rule("orphans", count=9, since_s=1.0),
            rule("growing", "other.py:1", per_minute=9_000.0, count=9),
        ),
    )
    zombies = next(each for each in diagnose(evidence).findings if each.rule == "zombies")
    assert zombies.per_minute == 720.0


@pytest.mark.parametrize(
    ("gone", "since", "began"),
    [(720.0, 13_620.0, 13_620.0), (720.0, 60.0, 720.0), (720.0, None, 720.0)],
)
def test_a_leak_began_when_the_first_known_owner_left(
    gone: float, since: float | None, began: float
) -> None:
    evidence = leak(
        orphans=orphans(1.0), findings=ledger_findings(rule("orphans", count=1, since_s=since))
    )
    assert diagnose(evidence).findings[0].began_s == began


def test_a_task_asleep_since_before_its_owner_left_has_ignored_nothing() -> None:
    for slept, ignores in ((720.0, False), (719.0, True)):
        cause = diagnose(leak(orphans=orphans(slept))).findings[0].cause
        assert ("ignore failed sends" in cause) == ignores


# ---------------------------------------------------------------- causes


def finding(rule_name: str, urgency: int, **more: object) -> DiagnosisFinding:
    given: dict[str, object] = {
        "rule": rule_name,
        "kind": "KIND",
        "certainty": Certainty.PROVED,
        "urgency": urgency,
        "headline": rule_name,
        "cause": rule_name,
        "safe": "safe",
    }
    return msgspec.convert(given | more, DiagnosisFinding)


@pytest.mark.parametrize(("share", "explains"), [(0.251, True), (0.249, False)])
def test_a_leak_explains_memory_when_it_weighs_a_quarter_of_it(
    share: float, explains: bool
) -> None:
    count = round(share * GIB / memory.TASK_BYTES)
    arranged = causes.arrange(
        healthy(), [finding("zombies", 90, count=count), finding("memory_level", 80)]
    )
    assert (len(arranged) == 1) == explains


@pytest.mark.parametrize(("share", "explains"), [(0.26, True), (0.24, False)])
def test_a_leak_explains_growth_when_it_adds_a_quarter_of_it(share: float, explains: bool) -> None:
    slope = 32 * MIB
    evidence = healthy(samples=[Point(at / 2, GIB + slope * at / 2, 2.0) for at in range(11)])
    rate = share * slope / memory.TASK_BYTES * 60
    arranged = causes.arrange(
        evidence, [finding("zombies", 90, per_minute=rate), finding("memory_growth", 85)]
    )
    assert (len(arranged) == 1) == explains


def test_a_cause_takes_over_the_symptoms_of_its_symptoms() -> None:
    (zombies,) = causes.arrange(
        healthy(),
        [
            finding("memory_level", 80),
            finding("memory_growth", 85),
            finding("zombies", 90, count=10**9, location=LEAKY),
            finding("growing", 70, location=LEAKY),
        ],
    )
    assert zombies.rule == "zombies"
    assert sorted(each.rule for each in zombies.symptoms) == [
        "growing",
        "memory_growth",
        "memory_level",
    ]


def test_growth_at_another_location_is_a_finding_of_its_own() -> None:
    arranged = causes.arrange(
        healthy(),
        [finding("zombies", 90, location=LEAKY), finding("growing", 70, location="other.py:1")],
    )
    assert [each.rule for each in arranged] == ["zombies", "growing"]


def test_a_warning_explains_nothing_and_comes_last() -> None:
    arranged = causes.arrange(
        healthy(),
        [
            finding("zombies", 90, count=10**9, certainty=Certainty.SUSPECTED),
            finding("memory_level", 10),
        ],
    )
    assert [each.rule for each in arranged] == ["memory_level", "zombies"]


def test_of_equally_urgent_findings_the_larger_comes_first() -> None:
    arranged = causes.arrange(
        healthy(), [finding("growing", 70, count=n, location=f"{n}.py:1") for n in (5, 9, 7)]
    )
    assert [each.count for each in arranged] == [9, 7, 5]


@pytest.mark.parametrize(("band", "found"), [("stale", []), ("very_stale", ["stale_symbols"])])
def test_a_very_stale_or_failing_symbol_is_a_finding(band: str, found: list[str]) -> None:
    silent = feed("IBM", band=band, reason="upstream_silent")
    assert rules(healthy(feeds=[feed("AAPL"), silent])) == found
    failing = feed("IBM", band="stale", reason="upstream_down", failure="refused")
    assert rules(healthy(feeds=[feed("AAPL"), failing])) == ["stale_symbols"]
