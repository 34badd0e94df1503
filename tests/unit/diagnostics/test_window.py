from __future__ import annotations

from qcfeed.diagnostics import window
from qcfeed.diagnostics.snapshot import LocationCounts
from qcfeed.diagnostics.window import Flow


def row(location: str, live: int, spawned: int, **more) -> LocationCounts:
    return LocationCounts(location, "f", live=live, spawned=spawned, **more)


def test_created_ended_and_net_change_per_minute() -> None:
    before = [row("a:1", 10, 100), row("b:2", 5, 50)]
    after = [row("b:2", 5, 80), row("a:1", 25, 130, oldest_s=3.0, orphaned=2)]
    worst, steady = window.between(before, after, 30)
    assert (worst.location, worst.spawned, worst.ended, worst.net) == ("a:1", 30, 15, 15)
    assert (worst.live_before, worst.live, worst.per_minute) == (10, 25, 30.0)
    assert (worst.oldest_s, worst.orphaned, worst.note) == (3.0, 2, "")
    assert (steady.location, steady.spawned, steady.ended, steady.per_minute) == ("b:2", 30, 30, 0)


def test_all_tasks_of_a_new_location_were_created_meanwhile() -> None:
    (flow,) = window.between([], [row("a:1", 3, 7)], 60)
    assert (flow.spawned, flow.ended, flow.net, flow.per_minute) == (7, 4, 3, 3)
    assert (flow.live_before, flow.note) == (None, "new")


def test_a_location_that_is_no_longer_counted() -> None:
    (flow,) = window.between([row("a:1", 3, 7)], [], 60)
    assert (flow.spawned, flow.ended, flow.per_minute) == (None, None, None)
    assert (flow.live_before, flow.live, flow.note) == (3, None, "gone")


def test_two_functions_on_one_line_are_kept_apart() -> None:
    before = [
        LocationCounts("a:1", "f", live=1, spawned=1),
        LocationCounts("a:1", "g", live=5, spawned=5),
    ]
    after = [
        LocationCounts("a:1", "f", live=2, spawned=2),
        LocationCounts("a:1", "g", live=5, spawned=5),
    ]
    assert [(f.function, f.net) for f in window.between(before, after, 1)] == [("f", 1), ("g", 0)]


def test_of_two_processes_only_live_tasks_are_compared() -> None:
    before, after = [row("a:1", 900, 9000)], [row("a:1", 10, 20), row("b:2", 1, 1)]
    new, old = window.between(before, after, 60, same=False)
    assert (old.live_before, old.live, old.net) == (900, 10, -890)
    assert {old.spawned, old.ended, old.per_minute, new.spawned} == {None}
    whole = window.total([new, old], 60)
    assert (whole.live_before, whole.live, whole.spawned, whole.per_minute) == (900, 11, None, None)


def test_counters_that_fell_give_no_created_tasks() -> None:
    (flow,) = window.between([row("a:1", 5, 100)], [row("a:1", 7, 9)], 60)
    assert (flow.spawned, flow.ended, flow.per_minute) == (None, None, None)
    assert flow.note == "counted anew"


def test_no_time_between_is_no_rate() -> None:
    same = [row("a:1", 5, 100)]
    (flow,) = window.between(same, same, 0)
    assert (flow.spawned, flow.ended, flow.per_minute) == (0, 0, None)
    assert window.total([flow], 0).per_minute is None


def test_the_total_is_the_sum() -> None:
    flows = window.between(
        [row("a:1", 10, 100)], [row("a:1", 5, 110), row("b:2", 9, 9, orphaned=4)], 30
    )
    assert window.total(flows, 30) == Flow("total", "", 19, 15, 10, 14, 8.0, orphaned=4)


def test_a_hundred_thousand_locations_are_compared_without_their_notes() -> None:
    class Counting(LocationCounts):
        looked = 0

        @property
        def note(self) -> str:
            raise AssertionError

    rows = [Counting(f"f:{n}", "f", live=n, spawned=n) for n in range(100_000)]
    flows = window.between(rows, rows, 10)
    assert len(flows) == 100_000
