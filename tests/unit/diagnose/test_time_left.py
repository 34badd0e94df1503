"""How long is left: the figure of the headline, and the least of everything that is known."""

from __future__ import annotations

import pytest

from qcfeed.diagnose import causes, memory
from qcfeed.diagnose.evidence import Evidence
from qcfeed.diagnose.verdict import diagnose, headline
from qcfeed.metrics.growth import Point
from qcfeed.model.answers import Memory
from qcfeed.model.diagnosis import Certainty, Finding
from tests.support.seen import GIB, evidence, location, snapshot

MIB = 2**20
LIVE = 10_000


def climbing(left_s: float) -> Evidence:
    """Memory of 1 of 2 GiB, on a line that reaches the limit in so many seconds; 10,000 tasks live."""
    slope = GIB / left_s
    points = [Point(at / 2, GIB + slope * (at / 2 - 5), LIVE) for at in range(11)]
    return evidence(
        before=snapshot(location(live=LIVE)),
        after=snapshot(location(live=LIVE), after_s=5.0),
        samples=points,
        memory=Memory(resident_bytes=GIB, limit_bytes=2 * GIB, limit_source="cgroup"),
    )


def tasks_that_leave(seconds: float) -> float:
    """Tasks per minute that fill the other GiB in so many seconds, each with a ten-thousandth of the first."""
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
    """Of a climb in these seconds and one that is remembered, the one that leaves less time."""
    for now_s, before_s in ((100.0, 1_000.0), (1_000.0, 100.0)):
        seen = climbing(now_s)
        slope = GIB / before_s
        seen.history = [Point(at, GIB + slope * (at - 600.0), LIVE) for at in range(0, 601, 10)]
        climb = memory.fastest_growth(seen)
        assert climb is not None
        assert climb.left_s == pytest.approx(100.0)


def finding(rule: str, urgency: int, left_s: float | None) -> Finding:
    return Finding(
        rule=rule,
        kind="KIND",
        certainty=Certainty.FOUND,
        urgency=urgency,
        headline=rule,
        cause=rule,
        safe="safe",
        count=10 * LIVE,
        left_s=left_s,
    )


@pytest.mark.parametrize(
    ("cause", "symptom", "told"),
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
    cause: float | None, symptom: float | None, told: float | None
) -> None:
    (arranged,) = causes.arrange(
        evidence(), [finding("zombies", 90, cause), finding("memory_growth", 65, symptom)]
    )
    assert arranged.rule == "zombies"
    assert arranged.left_s == told


def test_the_headline_says_how_long_is_left() -> None:
    assert headline(finding("zombies", 90, 662.0)).endswith("; 11m02s left")
    assert "left" not in headline(finding("zombies", 90, None))
    judged = diagnose(climbing(240.5))
    assert judged.verdict == "memory_growth"
    assert judged.findings[0].left_s == pytest.approx(240.5)
    assert judged.headline.endswith("; 4m00s left")
