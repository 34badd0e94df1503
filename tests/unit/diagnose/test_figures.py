"""Every figure in a verdict's sentences, each with a distinct value, whatever the words around it."""

from __future__ import annotations

import dataclasses
import re

import msgspec
import pytest

from qcfeed.diagnose.evidence import Evidence
from qcfeed.diagnose.report import sections, time_sections
from qcfeed.diagnose.report.blocks import Block, Code, Facts, Grid, Heading
from qcfeed.diagnose.report.material import Material
from qcfeed.diagnose.verdict import diagnose
from qcfeed.metrics.growth import Point
from qcfeed.model.diagnosis import DiagnosisFinding
from qcfeed.model.status import Bands
from qcfeed.model.tasks import Location, TaskTotals, WaitCount
from tests.support.evidence_builders import (
    GIB,
    LEAKY,
    feed,
    healthy,
    leak,
    ledger_findings,
    location,
    memory,
    orphans,
    rule,
    snapshot,
    status,
    subscriber,
)
from tests.unit.diagnose.test_verdict import BLOCKED, STUCK, firing

MIB = 2**20
FIGURE = re.compile(r"[+-]?\d[\d,.]*(?: (?:ms|[KMG]iB)\b|%|[hms](?:\d+[ms])?\b)?")


def figures(*texts: str) -> list[str]:
    """The numbers in these texts, with units and in order; line numbers and ports are left out."""
    return [
        each
        for text in texts
        for each in FIGURE.findall(re.sub(r"\w+\.py:\d+|10\.0\.0\.\d+:\d+", "", text))
    ]


def first(evidence: Evidence, rule_name: str) -> DiagnosisFinding:
    judged = diagnose(evidence)
    return next(each for each in (*judged.findings, *judged.to_recheck) if each.rule == rule_name)


# ---------------------------------------------------------------- leaks


def test_the_figures_of_orphaned_tasks() -> None:
    """12,000 of 15,000 tasks, 90 more in 5 s; 5 GiB for 20,000 tasks in all is 256 KiB each."""
    row = location(
        live=15_000,
        orphaned=12_000,
        waits=[WaitCount(state="sleeping", count=300)],
        sampled=400,
    )
    other = location("hub.py:9", live=5_000)
    evidence = leak(
        before=snapshot(location(live=14_910, orphaned=11_910), other),
        after=snapshot(row, other, after_s=5.0),
        findings=ledger_findings(rule("orphans", count=12_000, since_s=700.0)),
        orphans=orphans(1.0, 2.0, 800.0, None),
        memory=memory(5 * GIB, 10 * GIB),
    )
    found = first(evidence, "zombies")
    each = 5 * GIB / 20_000
    assert found.left_s == pytest.approx(5 * GIB / each / 1_080 * 60)
    assert (found.count, found.per_minute, found.began_s, found.urgency) == (12_000, 1_080, 720, 90)
    assert figures(found.headline) == ["12,000"]
    assert figures(found.cause) == ["1,080"]
    assert [figures(each) for each in found.evidence] == [
        ["12,000", "15,000", "+90", "5.0s"],
        [],
        ["2", "3"],
        ["300", "400"],
        ["18m31s", "10.0 GiB", "1,080", "262 KiB"],
    ]


def test_a_constant_number_of_orphans_has_no_time_left() -> None:
    found = first(leak(count=20_000, more=0), "zombies")
    assert (found.left_s, found.urgency, found.per_minute) == (None, 75, 0.0)
    assert figures(found.cause) == []


def test_orphans_of_one_line_are_counted_across_its_functions() -> None:
    rows = [location(function=name, live=n, orphaned=n) for name, n in (("a", 30), ("b", 12))]
    evidence = leak(
        before=snapshot(location(live=20, orphaned=20)), after=snapshot(*rows, after_s=5.0)
    )
    found = first(evidence, "zombies")
    assert (found.count, found.per_minute) == (42, 22 * 12)
    assert figures(found.evidence[0])[0] == "42"


def test_the_proof_comes_from_the_ledger_or_from_the_first_orphan() -> None:
    bare = ledger_findings(rule("orphans", count=9, since_s=1.0, evidence=[]))
    listed = first(leak(findings=bare), "zombies").evidence
    assert listed[1] == "task 0: owner subscriber 812 of AAPL closed 720.0 s ago; task sleeping"
    unlisted = first(leak(findings=bare, orphans=None), "zombies").evidence
    assert figures(unlisted[1]) == ["500", "500"], "the next line says what they wait on"


def test_the_figures_of_growing_tasks() -> None:
    """10,000 tasks in 1 GiB, 300 more per minute: 15 GiB of room are 500 minutes."""
    evidence = healthy(
        after=snapshot(location(live=10_000), after_s=5.0),
        findings=ledger_findings(rule("growing", count=900, per_minute=300.0, since_s=600.0)),
    )
    found = first(evidence, "growing")
    assert (found.count, found.per_minute, found.began_s, found.urgency) == (900, 300.0, 600.0, 70)
    assert found.left_s == pytest.approx(500 * 60)
    assert figures(found.headline) == figures(found.cause) == ["300"]
    assert figures(found.evidence[-1]) == ["8h20m", "16.0 GiB", "300", "105 KiB"]


@pytest.mark.parametrize(("rate", "text"), [(9.94, "9.9"), (10.0, "10"), (1_234.5, "1,234")])
def test_a_rate_has_a_digit_behind_the_point_where_it_is_small(rate: float, text: str) -> None:
    evidence = healthy(
        findings=ledger_findings(rule("growing", count=9, per_minute=rate, since_s=60.0))
    )
    assert figures(first(evidence, "growing").headline) == [text]


# ---------------------------------------------------------------- memory


def climbing(mib_per_s: float, tasks_per_s: float) -> Evidence:
    points = [
        Point(at / 2, GIB + mib_per_s * MIB * at / 2, 100 + tasks_per_s * at / 2)
        for at in range(11)
    ]
    return healthy(
        before=snapshot(location(live=100)),
        after=snapshot(location(live=100 + round(5 * tasks_per_s)), after_s=5.0),
        samples=points,
        memory=memory(GIB + 5 * mib_per_s * MIB),
    )


def test_memory_growth_without_tasks() -> None:
    """15 GiB less 150 MiB of room at 30 MiB/s are 507 s."""
    found = first(climbing(30.0, 2.0), "memory_growth")
    assert found.left_s == pytest.approx((15 * 1024 - 150) / 30)
    assert found.urgency == 85
    assert figures(found.headline) == ["1.8 GiB"]
    assert figures(found.cause) == ["1.8 GiB", "100", "110"]
    assert [figures(each) for each in found.evidence] == [
        ["1.1 GiB", "16.0 GiB"],
        ["11", "5.0s", "1.00"],
    ]


def test_memory_growth_with_tasks() -> None:
    """2,000 tasks per second of 16 KiB at most are 31 MiB/s."""
    found = first(climbing(30.0, 2_000.0), "memory_growth")
    assert figures(found.cause) == ["1.8 GiB", "+120,000"]


def test_memory_growth_with_hours_left_is_less_urgent() -> None:
    found = first(climbing(4.2, 0.0), "memory_growth")
    assert found.left_s == pytest.approx((15 * 1024 - 21) / 4.2)
    assert found.urgency == 65


def test_memory_growth_in_the_history() -> None:
    """An hour in which 4 GiB became 8 and 600 tasks 1,200: two more hours to 16."""
    points = [
        Point(at, 4 * GIB + 4 * GIB * at / 3_600, 600 + 600 * at / 3_600)
        for at in range(0, 3_601, 30)
    ]
    found = first(healthy(history=points, memory=memory(8 * GIB)), "memory_growth")
    assert found.left_s == pytest.approx(7_200)
    assert figures(found.evidence[1]) == ["121", "1h00m", "1.00"]
    assert figures(found.headline) == ["68.3 MiB"]


def test_without_memory_or_limit_there_is_no_growth() -> None:
    for held in (None, memory(GIB, 0.0)):
        evidence = climbing(30.0, 0.0)
        evidence.memory = held
        evidence.history = evidence.samples
        assert diagnose(evidence).verdict == "healthy"


def test_memory_near_its_limit() -> None:
    found = first(healthy(memory=memory(9 * GIB, 10 * GIB)), "memory_level")
    assert figures(found.headline) == ["9.0 GiB", "10.0 GiB", "90%"]
    assert figures(found.cause) == ["90%", "10.0 GiB"]
    assert figures(found.evidence[0]) == ["2"]
    assert (found.left_s, found.urgency) == (None, 80)


# ---------------------------------------------------------------- the loop


def test_a_loop_that_is_stuck() -> None:
    found = first(healthy(after=STUCK, findings=ledger_findings(BLOCKED)), "blocked_loop")
    assert (found.began_s, found.count, found.urgency) == (12.0, 1, 100)
    assert figures(found.headline) == figures(found.cause) == ["12s"]
    assert len(found.evidence) == 3


def test_a_loop_that_stalled() -> None:
    stood = dataclasses.replace(
        BLOCKED, worst_s=4.0, ago_s=30.0, count=7, since_s=90.0, evidence=list("abcdef")
    )
    found = first(healthy(findings=ledger_findings(stood)), "blocked_loop")
    assert (found.began_s, found.count, found.urgency) == (90.0, 7, 60)
    assert figures(found.headline) == ["7", "4.0s"]
    assert found.evidence == ["a", "d", "e", "f"], "the first line, and the innermost three frames"


def test_a_loop_that_is_stuck_and_was_not_caught_yet() -> None:
    after = msgspec.structs.replace(STUCK, loop_stack=[f"m{n}.py:1 f{n}" for n in range(6)])
    found = first(healthy(after=after), "blocked_loop")
    assert (found.began_s, found.count, found.location) == (12.0, 1, "m5.py:1")
    assert "f5" in found.cause
    assert figures(found.evidence[0]) == ["6"]
    assert [each.split()[1] for each in found.evidence[1:]] == ["f3", "f4", "f5"]


# ---------------------------------------------------------------- quotes


def test_an_upstream_that_is_silent() -> None:
    feeds = [
        feed("AAPL", band="stale", reason="upstream_silent", age_s=40.0, subscriber_count=3),
        feed("MSFT", band="dead", reason="upstream_silent", age_s=1_300.0, subscriber_count=4),
        feed(
            "IBM",
            band="dead",
            reason="upstream_silent",
            age_s=None,
            subscriber_count=5,
            failure="gone",
        ),
        feed("OLD", band="dead", demand="lingering", age_s=9_999.0, subscriber_count=6),
    ]
    totals = msgspec.structs.replace(
        status(), upstream_reconnects=8, upstream_gaps=9, upstream="feed:"
    )
    evidence = healthy(
        feeds=feeds,
        status=totals,
        before=snapshot(location("hub.py:9", live=50)),
        after=snapshot(location("hub.py:9", live=61, orphaned=2), after_s=5.0),
    )
    found = first(evidence, "upstream")
    assert (found.count, found.began_s, found.urgency) == (3, 40.0, 88)
    assert figures(found.headline) == ["3", "12"]
    assert [figures(each) for each in found.evidence] == [
        ["2", "1"],
        ["21m40s"],
        ["1"],
        ["8", "9"],
        ["1"],
        ["61", "+11", "5.0s", "2"],
    ]
    assert "MSFT" in found.evidence[1]


@pytest.mark.parametrize("orphaned", [0, 1])
def test_a_silent_upstream_rules_out_a_leak_only_without_orphans(
    orphaned: int,
) -> None:
    silent = [feed("AAPL", band="dead", reason="upstream_silent")]
    after = snapshot(location("hub.py:9", live=9, orphaned=orphaned), after_s=5.0)
    cause = first(healthy(feeds=silent, after=after), "upstream").cause
    assert ("not a leak" in cause) == (orphaned == 0)


def test_some_symbols_without_quotes() -> None:
    silent = [
        feed(name, band="dead", reason="upstream_silent", age_s=100.0 * n)
        for n, name in enumerate("VWXYZ", 1)
    ]
    found = first(healthy(feeds=[feed("AAPL"), feed("MSFT"), *silent]), "stale_symbols")
    assert (found.count, found.began_s, found.urgency) == (5, 100.0, 50)
    assert figures(found.headline.partition(":")[0]) == ["5", "7"]
    assert found.headline.endswith("Z, Y, X and 2 more")
    assert [figures(each) for each in found.evidence] == [["5"], ["8m20s"], ["0", "0"]]


def test_symbols_stale_because_the_loop_was_late() -> None:
    late = [feed(f"S{n}", band="stale", reason="own_lag") for n in range(3)]
    found = first(healthy(feeds=[feed("AAPL"), *late]), "own_lag")
    assert (found.count, found.urgency) == (3, 55)
    assert figures(found.headline) == figures(found.cause) == ["3"]


# ---------------------------------------------------------------- subscribers, alerts, what else


def test_subscribers_that_do_not_read() -> None:
    slow = [
        subscriber(7, stalled_s=12.0, lag=500, conflated=40, dropped=2, held=6),
        subscriber(8, stalled_s=90.0, lag=700, held=3, symbols=["A", "B", "C"]),
        subscriber(9, stalled_s=12.0, lag=600),
        subscriber(10, stalled_s=1.5),
        subscriber(11, stalled_s=0.5),
        subscriber(12, stalled_s=50.0, slow=False),
    ]
    found = first(
        healthy(slow=slow, status=msgspec.structs.replace(status(), connections=33)),
        "slow_subscribers",
    )
    assert (found.count, found.began_s, found.urgency) == (4, 90.0, 45)
    assert figures(found.headline.partition(":")[0]) == ["4", "33"]
    assert found.headline.endswith("10.0.0.8:4000, 10.0.0.9:4000, 10.0.0.7:4000 and 1 more")
    assert [each.split()[0] for each in found.evidence] == ["8", "9", "7"]
    assert figures(found.evidence[0]) == ["8", "700", "128 KiB", "1m30s", "340"]
    assert figures(found.evidence[2]) == ["7", "+3", "500", "128 KiB", "12s", "42"]
    assert found.next[1].endswith("kick --slow")


def test_a_firing_alert() -> None:
    found = first(healthy(alerts=[firing("QcfeedTargetMissing")]), "QcfeedTargetMissing")
    assert (found.began_s, found.urgency) == (90.0, 20)
    assert figures(found.cause) == ["1m30s"]
    assert figures(found.evidence[0]) == ["5"]


def test_an_alert_that_has_just_begun_is_not_made_older() -> None:
    begins = dataclasses.replace(firing("QcfeedTargetMissing"), active_s=0.25)
    assert first(healthy(alerts=[begins]), "QcfeedTargetMissing").began_s == 0.25


def test_destroyed_tasks_are_more_urgent_than_a_wrong_clock() -> None:
    late = [feed(each, age_s=1.0, last_quote_at="2024-03-20T03:15:04Z") for each in ("A", "B")]
    both = healthy(feeds=late, findings=ledger_findings(rule("destroyed_pending")))
    assert [each.rule for each in diagnose(both).findings] == ["destroyed_pending", "wrong_clock"]


@pytest.mark.parametrize(
    ("name", "urgency"),
    [
        ("cancelled_in_vain", 55),
        ("abandoned_future", 50),
        ("destroyed_pending", 45),
        ("exceptions_never_retrieved", 40),
        ("late_wakeup", 30),
    ],
)
def test_findings_of_the_ledger_are_taken_over(name: str, urgency: int) -> None:
    found = first(healthy(findings=ledger_findings(rule(name, count=17, since_s=33.0))), name)
    assert (found.count, found.began_s, found.urgency) == (17, 33.0, urgency)
    assert found.location == LEAKY


# ---------------------------------------------------------------- what was looked at


def test_a_healthy_verdict_lists_the_figures_that_were_checked() -> None:
    totals = msgspec.structs.replace(
        status(),
        feed_count=4,
        subscriptions=5,
        connections=6,
        orphaned_subscriptions=0,
        staleness=Bands(live=10, stale=2, very_stale=3, dead=4),
    )
    evidence = healthy(
        before=snapshot(location("hub.py:9", live=21), stall_ms=40.0),
        after=snapshot(location("hub.py:9", live=24), after_s=4.0, stall_ms=30.0),
        memory=memory(3 * GIB, 12 * GIB),
        status=totals,
        alerts=[firing("A", "pending"), firing("B", "pending")],
        history=[Point(0.0, GIB), Point(300.0, GIB)],
        slow=[subscriber(1, slow=False), subscriber(2, slow=False)],
    )
    judged = diagnose(evidence)
    assert judged.verdict == "healthy"
    assert judged.window_s == 4.0
    assert figures(judged.headline) == ["24", "4", "5"]
    assert {each.subject: figures(each.result) for each in judged.checks} == {
        "tasks": ["24", "+3", "4.0s", "0"],
        "memory": ["3.0 GiB", "12.0 GiB", "25%"],
        "loop": ["40 ms"],
        "history": ["60", "10m00s", "5m00s"],
        "quotes": ["10", "2", "7"],
        "subscribers": ["5", "6", "0", "2"],
        "alerts": ["0", "2"],
    }


def test_a_verdict_names_its_process_its_time_and_its_cost() -> None:
    stuck = msgspec.structs.replace(STUCK, loop_stack=["app.py:1 main"])
    evidence = healthy(
        after=stuck,
        status=status(drill="slow-disk"),
        skipped=["feeds: gone"],
        findings=ledger_findings(BLOCKED),
    )
    judged = diagnose(evidence)
    assert (judged.pid, judged.instance) == (7, "8006")
    assert judged.taken_at == "2024-03-20T02:15:05+00:00"
    assert (judged.loop_stall_ms, judged.loop_stack) == (12_000.0, ["app.py:1 main"])
    assert (judged.window_s, judged.drill, judged.skipped) == (5.0, "slow-disk", ["feeds: gone"])


# ---------------------------------------------------------------- the report


def section(blocks: list[Block], title: str) -> list[Block]:
    begin = blocks.index(Heading(title)) + 1
    rest = blocks[begin:]
    ends = [n for n, each in enumerate(rest) if isinstance(each, Heading) and each.level == 2]
    return rest[: ends[0]] if ends else rest


def reported(evidence: Evidence) -> list[Block]:
    return sections.blocks(
        Material(diagnosis=diagnose(evidence), evidence=evidence, host="prod-1", version="1.0")
    )


def test_the_details_of_a_report() -> None:
    totals = TaskTotals(
        live=11,
        untracked=2,
        spawned=300,
        finished=200,
        cancelled=50,
        failed=30,
        destroyed=9,
        orphaned=5,
    )
    after = msgspec.structs.replace(snapshot(location(live=11), after_s=5.0), totals=totals)
    (code, *_) = section(
        reported(healthy(after=after, memory=memory(2 * GIB, 16 * GIB))), "Alert details"
    )
    assert isinstance(code, Code)
    assert [figures(line) for line in code.text.splitlines()] == [
        ["2.0 GiB", "16.0 GiB", "12.50%"],
        [],
        ["11", "2"],
        ["300"],
        ["289", "30"],
        ["5"],
    ]


def test_the_report_shows_the_shortest_time_of_all_findings() -> None:
    evidence = climbing(30.0, 0.0)
    evidence.findings = ledger_findings(rule("growing", count=900, per_minute=1.0, since_s=600.0))
    (code, *_) = section(reported(evidence), "Alert details")
    assert isinstance(code, Code)
    assert figures(code.text.splitlines()[1]) == ["8m27s"]


@pytest.mark.parametrize(
    ("evidence", "severity"),
    [
        (healthy(), "None"),
        (leak(more=0), "Critical"),
        (healthy(findings=ledger_findings(rule("growing", count=1, per_minute=9.0))), "Warning"),
    ],
)
def test_the_severity_of_a_report(evidence: Evidence, severity: str) -> None:
    """Orphans are critical even without growth (75 of 100); growth with owners is a warning (70)."""
    facts = reported(evidence)[1]
    assert isinstance(facts, Facts)
    assert dict(facts.facts)["Severity"] == severity


def test_the_head_of_a_report() -> None:
    totals = msgspec.structs.replace(status(), uptime_s=7_260.0, started_at="2024-03-20T00:14:05Z")
    facts = reported(healthy(status=totals))[1]
    assert isinstance(facts, Facts)
    told_of = dict(facts.facts)
    assert told_of["Taken"] == "2024-03-20 02:15:05 UTC"
    assert told_of["Up"] == "2h01m, since 2024-03-20 00:14:05 UTC"
    assert told_of["Service"] == "instance 8006, pid 7, on prod-1"
    assert told_of["Upstream"] == "sim:"
    assert "Drill" not in told_of


def test_subscriptions_in_a_report() -> None:
    totals = msgspec.structs.replace(
        status(),
        subscriptions=9,
        connections=7,
        orphaned_subscriptions=2,
        feeds_by_state={"open": 3},
    )
    feeds = [
        feed("A", subscriber_count=4),
        feed("B", subscriber_count=5),
        feed("C", subscriber_count=0),
    ]
    (facts,) = section(reported(healthy(status=totals, feeds=feeds)), "Subscriptions")
    assert isinstance(facts, Facts)
    assert [figures(value) for _, value in facts.facts] == [
        ["9", "7"],
        ["2"],
        ["4.5"],
        ["2"],
        ["3"],
    ]


def test_the_windows_of_a_report_worst_first() -> None:
    """Memory falls for 50 minutes and then climbs: only the short windows see it reach the limit."""
    points = [
        Point(at, 8 * GIB - GIB * min(at, 3_000) / 3_000, 100 - at / 60)
        for at in range(0, 3_301, 30)
    ]
    points = [
        each if each.at <= 3_000 else each._replace(memory=7 * GIB + GIB * (each.at - 3_000) / 300)
        for each in points
    ]
    held = memory(8 * GIB, 16 * GIB + 4 * MIB)
    (grid,) = time_sections.windows(healthy(history=points, memory=held))
    assert isinstance(grid, Grid)
    told_first = dict(zip(grid.header, grid.rows[0], strict=True))
    assert told_first == {
        "Window": "5m",
        "Memory per hour": "+12.0 GiB",
        "Fit (r2)": "1.00",
        "Tasks per minute": "-1.0",
        "Time to the limit": "40m01s",
    }
    assert [row[0] for row in grid.rows][:2] == ["5m", "15m"]
    assert {row[0] for row in grid.rows[2:]} == {"1h", "whole"}
    assert {(row[1][0], row[4]) for row in grid.rows[2:]} == {("-", "never")}


def test_a_timeline_without_history_shows_the_time_of_day() -> None:
    evidence = healthy(samples=[Point(100.0 + n, GIB + n * MIB, 20 + n) for n in range(5)])
    grid = section(reported(evidence), "Timeline")[-1]
    assert isinstance(grid, Grid)
    assert [row[0] for row in grid.rows] == [f"02:15:0{n}" for n in range(1, 6)]
    assert [row[2] for row in grid.rows] == ["20", "21", "22", "23", "24"]


def test_the_row_of_a_location_is_its_busiest_function() -> None:
    rows: list[Location] = [
        location(function="few", live=3, source="few()"),
        location(function="many", live=30, source="many()"),
    ]
    evidence = leak(
        after=snapshot(*rows, location(function="gone", live=2, orphaned=2), after_s=5.0)
    )
    assert first(evidence, "zombies").source == "many()"
