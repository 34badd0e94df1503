"""Each rule's finding in full, every figure of it, and the exact limits from which it is told."""

from __future__ import annotations

from array import array

import pytest

from qcfeed.diagnostics.findings import Certainty, Finding
from qcfeed.diagnostics.history import LocationSeries
from qcfeed.diagnostics.observations import (
    Explanation,
    Observations,
    SuspectTasks,
    UntrackedTasks,
)
from qcfeed.diagnostics.rules import findings
from qcfeed.diagnostics.unretrieved import UnretrievedGroup
from qcfeed.diagnostics.watchdog import Stall

EVERY = 10.0
STEADY = [100 + 5 * n for n in range(60)]


def series(live: list[int], location: str = "a.py:1", destroyed: int = 0) -> LocationSeries:
    spawned = range(50, 50 + 7 * len(live), 7)
    gone = [0] * (len(live) - 1) + [destroyed]
    return LocationSeries(location, "f", array("q", live), array("q", spawned), array("q", gone))


def observed(*of: LocationSeries, every: float = EVERY, **more) -> list[Finding]:
    longest = max((len(each.live) for each in of), default=0)
    times = [n * every for n in range(longest)]
    return findings(Observations(**{"now": 5_000.0, "times": times, "series": list(of), **more}))


# ---------------------------------------------------------------- growth


def test_growth_is_told_with_its_count_its_rate_and_since_when() -> None:
    assert observed(series(STEADY)) == [
        Finding(
            "growing",
            Certainty.SUSPECTED,
            "live tasks keep growing: 100 to 395 in 10 min, +30 per minute",
            "a.py:1",
            [
                "413 created and 118 ended in that time",
                "lowest number in each sixth of it: 100, 150, 200, 250, 300, 350",
            ],
            count=395,
            per_minute=30.0,
            since_s=590.0,
        )
    ]


def test_a_short_time_is_told_in_seconds_and_a_long_one_in_minutes() -> None:
    live = [100 + 20 * n for n in range(18)]
    spans = {
        every: observed(series(live), every=every)[0].summary.partition(" in ")[2]
        for every in (0.0, 119 / 17, 120 / 17)
    }
    assert list(spans.values()) == [
        "0 s, at once",
        "119 s, +171 per minute",
        "2 min, +170 per minute",
    ]
    (at_once,) = observed(series(live), every=0.0)
    assert at_once.per_minute is None


def test_the_longest_time_over_which_it_grows_is_told() -> None:
    hour = [1_000 + 2 * n for n in range(360)]
    (finding,) = observed(series(hour))
    assert (finding.since_s, finding.count, finding.per_minute) == (3_590.0, 1_718, 12.0)
    later = [1_000] * 360 + STEADY
    (finding,) = observed(series([each + 1_000 for each in later[60:]]))
    assert finding.since_s == 590.0


def test_growth_by_fewer_than_twenty_tasks_is_not_told() -> None:
    def climbs(by: int) -> list[int]:
        """From 1; the lows of the sixths rise by ``by`` in all."""
        return [1 + by * min(5, n // 3) // 5 + (n % 3 > 0) for n in range(18)]

    assert observed(series(climbs(19))) == []
    assert len(observed(series(climbs(20)))) == 1


def test_growth_within_what_chance_does_is_not_told() -> None:
    """Of 10,000 tasks that come and go independently the number varies by about a hundred."""

    def climbs(by: int) -> list[int]:
        return [10_000 + by * (n // 3) // 5 + n % 3 for n in range(18)]

    assert observed(series(climbs(599))) == []
    assert len(observed(series(climbs(600)))) == 1


def test_growth_must_exceed_twice_the_widest_burst() -> None:
    def climbs(burst: int) -> list[int]:
        live = [100 + 20 * (n // 3) + n % 3 for n in range(18)]
        live[7] = live[6] + burst
        return live

    assert len(observed(series(climbs(50)))) == 1
    assert observed(series(climbs(51))) == []


def test_locations_that_are_explained_are_passed_over_and_others_not() -> None:
    grows = [series(STEADY, "a.py:1"), series(STEADY, "b.py:2")]
    (finding,) = observed(
        *grows, explained={"a.py:1": Explanation("each holds an open connection")}
    )
    assert finding.location == "b.py:2"
    assert len(observed(*grows)) == 2


# ---------------------------------------------------------------- untracked tasks

NAMED = [("start", 20), ("poll", 5), ("ping", 3), ("pong", 1_000)]
BYPASS = (
    "libraries that call asyncio.Task(...) directly, as for eager_start=True, bypass the factory"
)


def untracked(counts: list[int], live: int = 0, every: float = EVERY, **more) -> list[Finding]:
    times = [n * every for n in range(len(counts))]
    around = UntrackedTasks(counts, live, **more)
    return findings(Observations(now=5_000.0, times=times, untracked=around))


def test_untracked_tasks_are_told_with_the_three_most_frequent_coroutines() -> None:
    assert untracked([5_000], live=1_500, coroutines=NAMED) == [
        Finding(
            "untracked_tasks",
            Certainty.SUSPECTED,
            "cannot see what created 5,000 of 6,500 tasks: they did not pass the task factory",
            evidence=[
                "most frequent coroutines of 1,028 sampled tasks: start (20), poll (5), ping (3)",
                BYPASS,
            ],
            recheck_s=600.0,
            count=5_000,
        )
    ]
    assert untracked([20], live=19)[0].evidence == [BYPASS], "none was sampled"
    assert untracked([19], live=0) == []
    assert untracked([20], live=20) == []


def test_growing_untracked_tasks_are_to_be_looked_at_again_until_ten_minutes_are_over() -> None:
    (early,) = untracked(STEADY[:18], live=10_000)
    assert (early.certainty, early.count, early.since_s) == (Certainty.SUSPECTED, 185, 170.0)
    assert early.recheck_s == pytest.approx(170.0 * (60 / 18 - 1))
    (sure,) = untracked(STEADY, live=10_000)
    assert sure == Finding(
        "untracked_tasks",
        Certainty.PROVED,
        "untracked tasks keep growing: 100 to 395 in 10 min, +30 per minute",
        evidence=[BYPASS],
        count=395,
        per_minute=30.0,
        since_s=590.0,
    )


def test_untracked_tasks_are_explained_if_nine_of_ten_serve_a_connection() -> None:
    assert untracked([30], coroutines=[("start", 20)], serving=18) == []
    assert len(untracked([30], coroutines=[("start", 20)], serving=17)) == 1
    assert len(untracked([30], coroutines=[], serving=0)) == 1, "none was looked at"


# ---------------------------------------------------------------- single tasks


@pytest.mark.parametrize(
    ("kind", "rule", "one", "many"),
    [
        (
            "orphaned",
            "orphans",
            "1 task is alive though the owner is gone",
            "1,200 tasks are alive though the owner is gone",
        ),
        (
            "stubborn",
            "cancelled_in_vain",
            "1 task was cancelled more than once without ending",
            "1,200 tasks were cancelled more than once without ending",
        ),
        (
            "abandoned",
            "abandoned_future",
            "1 task waits for a future that no other object refers to",
            "1,200 tasks wait for a future that no other object refers to",
        ),
    ],
)
def test_tasks_with_a_symptom_are_told_with_their_number_and_since_when(
    kind: str, rule: str, one: str, many: str
) -> None:
    def told(**fields) -> list[Finding]:
        return observed(**{kind: [SuspectTasks("a.py:1", **fields)]})

    recheck = 30.0 if kind == "abandoned" else 5.0
    assert told(count=1, longest_s=6.0) == [
        Finding(
            rule,
            Certainty.SUSPECTED,
            one,
            "a.py:1",
            recheck_s=recheck,
            count=1,
            since_s=6.0,
        )
    ]
    assert told(count=1_200, proved=1, longest_s=60.0, evidence="why", serials=[7, 9]) == [
        Finding(
            rule,
            Certainty.PROVED,
            many,
            "a.py:1",
            ["task 7: why"],
            [7, 9],
            count=1_200,
            since_s=60.0,
        )
    ]
    least = 5.0 if kind == "abandoned" else 1.0
    assert told(count=1, longest_s=least - 0.001) == []
    assert len(told(count=1, longest_s=least)) == 1


def test_destroyed_tasks_are_told_with_their_function_and_number() -> None:
    (finding,) = observed(series([1, 1, 1], destroyed=1))
    assert finding == Finding(
        "destroyed_pending",
        Certainty.PROVED,
        "1 task was destroyed while pending: nothing held a reference",
        "a.py:1",
        ["spawned in f", "keep the task that create_task() returns until it ends"],
        count=1,
    )
    (finding,) = observed(series([1, 1, 1], destroyed=1_500))
    assert (finding.count, finding.summary[:11]) == (1_500, "1,500 tasks")


def test_unretrieved_exceptions_are_told_with_their_number_and_when_the_last_was() -> None:
    def told(now: float) -> list[Finding]:
        return observed(now=now, unretrieved=[UnretrievedGroup("a.py:1", 1_200, 100.0, "OSError")])

    assert told(130.0) == [
        Finding(
            "exceptions_never_retrieved",
            Certainty.PROVED,
            "1,200 exceptions were never retrieved",
            "a.py:1",
            ["the last 30 s ago: OSError", "the program's log has the traceback"],
            count=1_200,
            ago_s=30.0,
        )
    ]
    assert len(told(3_700.0)) == 1
    assert told(3_700.001) == []


def test_an_incomplete_ledger_is_told_with_what_it_means() -> None:
    assert observed(incomplete=["a reason"]) == [
        Finding(
            "incomplete_ledger",
            Certainty.PROVED,
            "a reason",
            evidence=["all other findings cover only the tasks that the ledger sees"],
        )
    ]


# ---------------------------------------------------------------- the loop


def stall(
    began: float, seconds: float, *, serial: int | None = 3, place: str = "a.py:12 sort"
) -> Stall:
    stack = [
        "run.py:1 main",
        "asyncio/events.py:84 Handle._run",
        *(f"a.py:{n} f" for n in range(10)),
    ]
    return Stall(began, seconds, stack, serial, "a.py:1" if serial else "", place, "data.sort()")


def test_a_blocked_loop_is_told_with_the_longest_stall_and_when_the_last_ended() -> None:
    stalls = [stall(4_000.0, 0.5), stall(4_100.0, 2.5), stall(4_200.0, 0.25)]
    assert observed(stalls=stalls) == [
        Finding(
            "blocked_loop",
            Certainty.PROVED,
            "the loop was blocked for 2.5 s, 3 times at a.py:12 sort",
            "a.py:1",
            ["by task 3 of a.py:1, 900 s ago", *(f"a.py:{n} f" for n in range(2, 10))],
            [3],
            count=3,
            since_s=1_000.0,
            worst_s=2.5,
            ago_s=5_000.0 - 4_200.25,
            place="a.py:12 sort",
            source="data.sort()",
        )
    ]


def test_stalls_are_told_by_place_and_one_that_goes_on_is_not_in_the_future() -> None:
    stalls = [stall(4_999.0, 0.5), stall(4_999.9, 0.5, place="b.py:3 read", serial=None)]
    first, other = observed(stalls=stalls)
    assert (first.place, other.place) == ("a.py:12 sort", "b.py:3 read")
    assert (first.certainty, first.recheck_s, first.ago_s) == (Certainty.SUSPECTED, 60.0, 0.5)
    assert (other.ago_s, other.serials, other.location) == (0.0, [], "")
    assert other.evidence[0] == "by a callback, 0 s ago"


@pytest.mark.parametrize(
    ("seconds", "number", "certainty"),
    [
        (0.999, 1, Certainty.SUSPECTED),
        (1.0, 1, Certainty.PROVED),
        (0.2, 2, Certainty.SUSPECTED),
        (0.2, 3, Certainty.PROVED),
    ],
)
def test_a_stall_of_a_second_or_three_at_one_place_are_proved(
    seconds: float, number: int, certainty: Certainty
) -> None:
    (finding,) = observed(stalls=[stall(4_000.0 + n, seconds) for n in range(number)])
    assert finding.certainty is certainty


def test_stalls_are_told_for_an_hour() -> None:
    assert len(observed(stalls=[stall(1_400.0, 2.0)])) == 1
    assert observed(stalls=[stall(1_399.9, 2.0)]) == []
    assert len(observed(late_wakeups=[stall(1_400.0, 2.0)])) == 1
    assert observed(late_wakeups=[stall(1_399.9, 2.0)]) == []


def test_late_wakeups_are_told_with_the_latest_and_when_the_last_ended() -> None:
    assert observed(late_wakeups=[stall(4_000.0, 3.0), stall(4_600.0, 0.5)]) == [
        Finding(
            "late_wakeup",
            Certainty.SUSPECTED,
            "the loop was woken 3.0 s late, 2 times",
            evidence=[
                "it waited for events although a timer was due",
                "the machine is busy, or other threads of the process hold the interpreter",
            ],
            recheck_s=600.0,
            count=2,
            since_s=1_000.0,
            worst_s=3.0,
            ago_s=5_000.0 - 4_600.5,
        )
    ]
    (once,) = observed(late_wakeups=[stall(4_999.9, 0.5)])
    assert (once.summary, once.ago_s) == ("the loop was woken 0.5 s late, once", 0.0)
