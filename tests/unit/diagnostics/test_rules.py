"""The rules over what was planted, and over busy health, in which they must be silent."""

from __future__ import annotations

import heapq
import random
from array import array

import pytest

from qcfeed.diagnostics import growth_rules, rules
from qcfeed.diagnostics.findings import Certainty, Finding
from qcfeed.diagnostics.history import LocationSeries, SnapshotHistory
from qcfeed.diagnostics.observations import Observations, SuspectTasks, UntrackedTasks
from qcfeed.diagnostics.rules import findings
from qcfeed.diagnostics.snapshot import LocationCounts
from qcfeed.diagnostics.unretrieved import UnretrievedGroup
from qcfeed.diagnostics.watchdog import Stall

EVERY = 10.0


def look(*series: LocationSeries, **more) -> Observations:
    longest = max((len(s.live) for s in series), default=0)
    times = [n * EVERY for n in range(longest)]
    return Observations(now=times[-1] if times else 0.0, times=times, series=list(series), **more)


def series(live: list[int], destroyed: list[int] | None = None) -> LocationSeries:
    births = range(0, 7 * len(live), 7)
    return LocationSeries(
        "a.py:1",
        "f",
        array("q", live),
        array("q", births),
        array("q", destroyed or [0] * len(live)),
    )


def only(found: list[Finding]) -> Finding:
    (finding,) = found
    return finding


# ---------------------------------------------------------------- growing


def test_growth_is_to_be_checked_again_until_it_is_certain() -> None:
    live = [100 + 5 * n for n in range(120)]
    assert findings(look(series(live[:17]))) == []
    early = only(findings(look(series(live[:18]))))
    assert (early.rule, early.certainty) == ("growing", Certainty.SUSPECTED)
    assert early.recheck_s == pytest.approx(170 * (60 / 18 - 1))
    found = only(findings(look(series(live[:60]))))
    assert (found.certainty, found.recheck_s, found.location) == (
        Certainty.SUSPECTED,
        None,
        "a.py:1",
    )
    assert found.summary == "live tasks keep growing: 100 to 395 in 10 min, +30 per minute"
    assert found.evidence == [
        "413 created and 118 ended in that time",
        "lowest number in each sixth of it: 100, 150, 200, 250, 300, 350",
    ]


def test_a_leak_that_began_lately_is_found_after_a_quiet_hour() -> None:
    live = [100] * 300 + [100 + 20 * n for n in range(60)]
    assert only(findings(look(series(live)))).certainty is Certainty.SUSPECTED


def test_the_incidents_leak_is_found_within_the_hour() -> None:
    """20 a minute, under 800 births a minute of tasks that take some seconds."""
    chance = random.Random(20)
    live = [1_247 + 20 * n // 6 + round(chance.gauss(40, 6)) for n in range(360)]
    assert only(findings(look(series(live)))).certainty is Certainty.SUSPECTED


@pytest.mark.parametrize(
    "live",
    [
        pytest.param([500] * 360, id="flat"),
        pytest.param([n % 2 for n in range(360)], id="one comes and goes"),
        pytest.param([10 + 400 * (n % 30 < 3) for n in range(360)], id="a job every five minutes"),
        pytest.param([min(n * 100, 5_000) for n in range(360)], id="a start, then flat"),
        pytest.param([3_000 - 8 * n for n in range(360)], id="an evening"),
        pytest.param([min(9, n // 6) for n in range(360)], id="a few more"),
    ],
)
def test_counts_that_do_not_keep_growing_have_no_finding(live: list[int]) -> None:
    for moment in range(60, len(live), 7):
        assert findings(look(series(live[: moment + 1]))) == []


def test_a_count_that_climbs_and_falls_back_is_at_most_suspected() -> None:
    live = [10 + 4 * (n % 50) for n in range(360)]
    for moment in range(60, len(live)):
        told = findings(look(series(live[: moment + 1])))
        assert [finding for finding in told if finding.certainty is Certainty.PROVED] == []


@pytest.mark.parametrize("seed", range(5))
def test_ten_minutes_and_an_hour_of_healthy_churn_have_no_finding(seed: int) -> None:
    """Tasks are born by chance and live by chance, some long; sockets come in bursts. Fake time."""
    chance = random.Random(seed)
    kinds = {"query.py:8": (80.0, 0.2), "session.py:3": (5.0, 40.0), "socket.py:1": (0.5, 300.0)}
    ends: dict[str, list[float]] = {}
    spawned = dict.fromkeys(kinds, 0)
    for kind, (births, lives) in kinds.items():  # in balance from the start
        ends[kind] = [chance.expovariate(1 / lives) for _ in range(round(births * lives))]
        spawned[kind] = len(ends[kind])
        heapq.heapify(ends[kind])
    history = SnapshotHistory()
    for step in range(1, 361):
        now = step * EVERY
        rows = []
        for kind, (births, lives) in kinds.items():
            burst = 3 if chance.random() < 0.03 else 1
            for _ in range(round(chance.gauss(births, births**0.5 / 3) * EVERY * burst)):
                born = now - chance.random() * EVERY
                heapq.heappush(ends[kind], born + chance.expovariate(1 / lives))
                spawned[kind] += 1
            while ends[kind] and ends[kind][0] <= now:
                heapq.heappop(ends[kind])
            rows.append(LocationCounts(kind, "f", live=len(ends[kind]), spawned=spawned[kind]))
        history.note(now, rows)
        seen = Observations(now=now, times=history.times(), series=history.series())
        assert findings(seen) == [], f"after {now} s"


# ---------------------------------------------------------------- orphans, cancelled in vain


@pytest.mark.parametrize(
    ("kind", "rule"), [("orphaned", "orphans"), ("stubborn", "cancelled_in_vain")]
)
def test_suspect_tasks_are_ignored_then_suspected_then_proved(kind: str, rule: str) -> None:
    def told(**fields) -> list[Finding]:
        return findings(
            look(**{kind: [SuspectTasks("a.py:1", evidence="why", serials=[7, 8], **fields)]})
        )

    assert told(count=2, longest_s=0.9) == []
    again = only(told(count=2, longest_s=4.0))
    assert (again.certainty, again.recheck_s) == (Certainty.SUSPECTED, rules.PROVED_AFTER_S)
    found = only(told(count=2_000, proved=1, longest_s=9.0))
    assert (found.rule, found.certainty, found.recheck_s) == (rule, Certainty.PROVED, None)
    assert found.summary.startswith("2,000 tasks ")
    assert (found.location, found.serials) == ("a.py:1", [7, 8])
    assert found.evidence == ["task 7: why"]
    assert only(told(count=1, proved=1, longest_s=9.0)).summary.startswith("1 task ")


# ---------------------------------------------------------------- abandoned


def test_an_abandoned_future_is_reported_after_two_snapshots_and_proved_later() -> None:
    def told(**fields) -> list[Finding]:
        return findings(
            look(abandoned=[SuspectTasks("a.py:1", evidence="why", serials=[7], **fields)])
        )

    assert told(count=1) == []
    assert told(count=1, longest_s=4.0) == []
    again = only(told(count=1, longest_s=10.0))
    assert (again.certainty, again.recheck_s) == (Certainty.SUSPECTED, rules.ABANDONED_AFTER_S)
    found = only(told(count=3, proved=1, longest_s=30.0))
    assert (found.rule, found.certainty) == ("abandoned_future", Certainty.PROVED)
    assert found.summary == "3 tasks wait for a future that no other object refers to"
    assert found.serials == [7]


# ---------------------------------------------------------------- blocked


def stall(seconds: float, began: float = 0.0, serial: int | None = 3) -> Stall:
    stack = ["run.py:1 main", "asyncio/events.py:84 Handle._run", "a.py:9 work", "a.py:12 sort"]
    return Stall(began, seconds, stack, serial, "a.py:1" if serial else "")


def test_one_short_stall_is_suspected() -> None:
    again = only(findings(look(stalls=[stall(0.2)])))
    assert (again.certainty, again.recheck_s) == (Certainty.SUSPECTED, 60.0)
    assert again.summary == "the loop was blocked for 0.2 s, once at a.py:12 sort"


def test_a_long_stall_or_three_short_ones_are_found() -> None:
    found = only(findings(look(stalls=[stall(1.5)])))
    assert found.certainty is Certainty.PROVED
    assert found.evidence == ["by task 3 of a.py:1, 0 s ago", "a.py:9 work", "a.py:12 sort"]
    assert (found.location, found.serials) == ("a.py:1", [3])
    three = only(findings(look(stalls=[stall(0.2), stall(0.3), stall(0.2, serial=None)])))
    assert three.certainty is Certainty.PROVED
    assert three.summary == "the loop was blocked for 0.3 s, 3 times at a.py:12 sort"


def test_a_stall_by_a_callback_and_an_old_stall() -> None:
    seen = look(stalls=[stall(2.0, serial=None)])
    assert only(findings(seen)).evidence[0] == "by a callback, 0 s ago"
    seen.now = rules.RECENT_S + 1
    assert findings(seen) == []


# ---------------------------------------------------------------- destroyed, unretrieved


def test_tasks_destroyed_while_pending_are_found() -> None:
    found = only(findings(look(series([1, 1, 1], destroyed=[0, 0, 2]))))
    assert (found.rule, found.certainty) == ("destroyed_pending", Certainty.PROVED)
    assert found.summary == "2 tasks were destroyed while pending: nothing held a reference"


def test_tasks_destroyed_before_the_history_are_not_reported() -> None:
    assert findings(look(series([1, 1], destroyed=[5, 5]))) == []
    late = series([1], destroyed=[5])
    found = only(findings(look(series([1, 1]), late)))
    assert found.summary.startswith("5 tasks"), "it appeared with them"


def test_unretrieved_exceptions_are_reported_for_an_hour() -> None:
    seen = look(unretrieved=[UnretrievedGroup("a.py:1", 1, last=100.0, error="KeyError: 'x'")])
    seen.now = 110.0
    found = only(findings(seen))
    assert (found.rule, found.certainty) == ("exceptions_never_retrieved", Certainty.PROVED)
    assert found.summary == "1 exception was never retrieved"
    assert found.evidence[0] == "the last 10 s ago: KeyError: 'x'"
    seen.now = 100.0 + rules.RECENT_S + 1
    assert findings(seen) == []


def test_proved_findings_come_first() -> None:
    seen = look(
        stalls=[stall(0.2)],
        unretrieved=[UnretrievedGroup("b", 2, 0.0, "E")],
        orphaned=[SuspectTasks("c", 1, longest_s=2)],
    )
    assert [f.certainty for f in findings(seen)] == [
        Certainty.PROVED,
        Certainty.SUSPECTED,
        Certainty.SUSPECTED,
    ]


# ---------------------------------------------------------------- tasks around the ledger


def around(counts: list[int], live: int = 0, serving: int = 0, **more) -> list[Finding]:
    times = [n * EVERY for n in range(len(counts))]
    seen = UntrackedTasks(counts, live, [("RequestHandler.start", 28), ("poll", 2)], serving)
    return findings(Observations(now=0.0, times=times, untracked=seen, **more))


def test_untracked_tasks_are_suspected_if_they_are_the_majority() -> None:
    finding = only(around([30], live=10))
    assert (finding.rule, finding.certainty) == ("untracked_tasks", Certainty.SUSPECTED)
    assert finding.summary == (
        "cannot see what created 30 of 40 tasks: they did not pass the task factory"
    )
    assert finding.evidence[0] == (
        "most frequent coroutines of 30 sampled tasks: RequestHandler.start (28), poll (2)"
    )
    assert (finding.count, finding.location, finding.recheck_s) == (30, "", growth_rules.RECHECK_S)


def test_untracked_tasks_that_each_serve_a_connection_are_explained() -> None:
    growing = [100 + 5 * n for n in range(60)]
    for counts in ([30], growing):
        assert around(counts, live=10, serving=28) == []
        assert len(around(counts, live=10, serving=26)) == 1


@pytest.mark.parametrize(("count", "live"), [(0, 0), (19, 0), (30, 30), (5_000, 6_000)])
def test_a_few_untracked_tasks_beside_many_others_are_not(count: int, live: int) -> None:
    assert around([count], live) == []


def test_growing_untracked_tasks_are_reported_whatever_their_share() -> None:
    counts = [100 + 5 * n for n in range(60)]
    early = only(around(counts[:18], live=10_000))
    assert early.certainty is Certainty.SUSPECTED
    found = only(around(counts, live=10_000))
    assert (found.rule, found.certainty) == ("untracked_tasks", Certainty.PROVED)
    assert found.summary == "untracked tasks keep growing: 100 to 395 in 10 min, +30 per minute"
    assert found.per_minute == pytest.approx(30)
    assert "RequestHandler.start" in found.evidence[0]


def test_connections_that_come_and_go_untracked_are_no_leak() -> None:
    chance = random.Random(7)
    counts = [max(0, round(chance.gauss(300, 20))) for _ in range(360)]
    for moment in range(60, 360, 7):
        assert only(around(counts[:moment], live=10)).certainty is Certainty.SUSPECTED


def test_an_incomplete_ledger_is_reported_instead_of_untracked_tasks() -> None:
    found = only(around([500], live=2, incomplete=["cannot see 500 of 502 tasks: a reason"]))
    assert found.rule == "incomplete_ledger"


def test_late_wakeups_are_suspected_however_long_and_often_they_are() -> None:
    late = [stall(5.0, began=began) for began in (100.0, 300.0, 500.0)]
    finding = only(findings(look(late_wakeups=late)))
    assert (finding.rule, finding.certainty) == ("late_wakeup", Certainty.SUSPECTED)
    assert finding.summary == "the loop was woken 5.0 s late, 3 times"
    assert (finding.count, finding.worst_s, finding.location) == (3, 5.0, "")
