"""The time to the memory limit: the shortest estimate, and the figure in the headline."""

from __future__ import annotations

import pytest

from qcfeed.diagnose import causes, memory
from qcfeed.diagnose.evidence import Evidence
from qcfeed.diagnose.verdict import diagnose, headline
from qcfeed.diagnostics.findings import Certainty
from qcfeed.metrics.growth import Point
from qcfeed.model.diagnosis import DiagnosisFinding
from qcfeed.model.status import Memory
from tests.support.evidence_builders import GIB, healthy, location, snapshot

MIB = 2**20
LIVE = 10_000


def climbing(left_s: float) -> Evidence:
    """1 GiB of 2 GiB used, growing linearly to the limit in ``left_s``; 10,000 live tasks."""
    slope = GIB / left_s
    points = [Point(at / 2, GIB + slope * (at / 2 - 5), LIVE) for at in range(11)]
    return healthy(
        before=snapshot(location(live=LIVE)),
        after=snapshot(location(live=LIVE), after_s=5.0),
        samples=points,
        memory=Memory(resident_bytes=GIB, limit_bytes=2 * GIB, limit_source="cgroup"),
    )


def tasks_that_leave(seconds: float) -> float:
    """Tasks per minute that fill the free GiB in ``seconds``, at the present memory per task."""
    return LIVE * 60 / seconds


@pytest.mark.parametrize(("by_memory", "by_tasks"), [(100.0, 200.0), (200.0, 100.0)])
def test_the_shorter_of_two_estimates_is_the_time_left(by_memory: float, by_tasks: float) -> None:
    left = memory.time_to_limit(climbing(by_memory), tasks_per_minute=tasks_that_leave(by_tasks))
    assert left is not None
    assert left.seconds == pytest.approx(100.0)
    says = "more tasks per minute" if by_tasks < by_memory else "more per minute"
    assert says in left.rate
    assert ("tasks" in left.rate) == (by_tasks < by_memory)


def test_the_time_left_counts_free_memory() -> None:
    left = memory.time_to_limit(climbing(1e9), tasks_per_minute=tasks_that_leave(300.0))
    assert left is not None
    assert left.seconds == pytest.approx(300.0)


def test_there_is_no_time_left_when_nothing_grows() -> None:
    assert memory.time_to_limit(climbing(1e9)) is None


def test_the_faster_growth_counts_whether_in_the_window_or_the_history() -> None:
    """Of the growth in the window and in the history, the one that leaves less time counts."""
    for now_s, before_s in ((100.0, 1_000.0), (1_000.0, 100.0)):
        evidence = climbing(now_s)
        slope = GIB / before_s
        evidence.history = [Point(at, GIB + slope * (at - 600.0), LIVE) for at in range(0, 601, 10)]
        climb = memory.fastest_growth(evidence)
        assert climb is not None
        assert climb.left_s == pytest.approx(100.0)


def finding(rule: str, urgency: int, left_s: float | None) -> DiagnosisFinding:
    return DiagnosisFinding(
        rule=rule,
        kind="KIND",
        certainty=Certainty.PROVED,
        urgency=urgency,
        headline=rule,
        cause=rule,
        safe="safe",
        count=10 * LIVE,
        left_s=left_s,
    )


@pytest.mark.parametrize(
    ("cause", "symptom", "expected"),
    [
        (500.0, 200.0, 200.0),
        (200.0, 500.0, 200.0),
        (None, 200.0, 200.0),
        (200.0, None, 200.0),
        (None, None, None),
        (0.0, 200.0, 0.0),
        (200.0, 0.0, 0.0),
    ],
)
def test_a_cause_takes_over_the_shortest_time_of_its_symptoms(
    cause: float | None, symptom: float | None, expected: float | None
) -> None:
    (arranged,) = causes.arrange(
        healthy(), [finding("zombies", 90, cause), finding("memory_growth", 65, symptom)]
    )
    assert arranged.rule == "zombies"
    assert arranged.left_s == expected


def test_the_headline_says_how_long_is_left() -> None:
    assert headline(finding("zombies", 90, 662.0)).endswith("; 11m02s left")
    assert "left" not in headline(finding("zombies", 90, None))
    judged = diagnose(climbing(240.5))
    assert judged.verdict == "memory_growth"
    assert judged.findings[0].left_s == pytest.approx(240.5)
    assert judged.headline.endswith("; 4m00s left")
