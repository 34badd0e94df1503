from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.snapshot import LocationCounts
from qcfeed.metrics.catalog import metrics as m
from qcfeed.metrics.program import OTHER, LocationLabels, TaskSamples


def row(location: str, live: int, finished: int = 0, function: str = "f") -> LocationCounts:
    return LocationCounts(location, function, live=live, spawned=live + finished, finished=finished)


def snapshot(*rows: LocationCounts) -> list[LocationCounts]:
    return sorted(rows, key=lambda each: (-each.live, -each.spawned, each.location))


def test_two_functions_on_one_line_are_one_label() -> None:
    books = LocationLabels().sort([row("a.py:1", 2), row("a.py:1", 3, function="g")])
    assert books["a.py:1"][m.TASKS_LIVE] == 5
    assert books[OTHER][m.TASKS_LIVE] == 0


def test_locations_without_a_label_are_summed() -> None:
    locations = LocationLabels(early=1, late=0)
    books = locations.sort(snapshot(row("a", 9), row("b", 2), row("c", 1)))
    assert set(books) == {"a", OTHER}
    assert books[OTHER][m.TASKS_LIVE] == 3


def test_a_leak_that_begins_late_gets_a_label_and_no_counter_falls() -> None:
    locations = LocationLabels(early=1, late=1)
    locations.sort(snapshot(row("a", 100), row("leak", 0, finished=50)))
    books = locations.sort(snapshot(row("a", 100), row("leak", 60, finished=50)))
    assert books["leak"][m.TASKS_LIVE] == 60
    assert books["leak"][m.TASKS_SPAWNED] == 0, "what came before stays with other"
    assert books[OTHER][m.TASKS_SPAWNED] == 110
    books = locations.sort(snapshot(row("a", 100), row("leak", 90, finished=50)))
    assert books["leak"][m.TASKS_SPAWNED] == 30


def test_a_late_location_that_does_not_matter_gets_none() -> None:
    locations = LocationLabels(early=1, late=1)
    books = locations.sort(snapshot(row("a", 1_000), row("b", 9), row("c", 0, finished=5_000)))
    assert set(books) == {"a", OTHER}


def test_the_ledger_s_own_other_is_no_location() -> None:
    assert set(LocationLabels().sort([row(OTHER, 3)])) == {OTHER}


def test_the_ledger_s_problems_are_counted() -> None:
    ledger = Ledger()

    def problems() -> float:
        (sample,) = (
            each for each in TaskSamples(ledger).read() if each.metric is m.LEDGER_PROBLEMS
        )
        return float(sample.value)  # type: ignore[arg-type]

    assert problems() == 0
    ledger.failure = "LookupError: broken"
    assert problems() == 1


steps = st.lists(
    st.dictionaries(
        st.sampled_from("abcdefgh"), st.tuples(st.integers(0, 50), st.integers(0, 9)), min_size=1
    ),
    min_size=1,
    max_size=12,
)


@given(steps)
def test_sums_are_the_ledger_s_and_counters_never_fall(history: list[dict[str, tuple[int, int]]]) -> None:  # fmt: skip
    locations = LocationLabels(early=2, late=2)
    ended: Counter[str] = Counter()
    live: Counter[str] = Counter()
    before: dict[str, Counter[m.Metric]] = {}
    for step in history:
        for location, (alive, over) in step.items():
            live[location] = alive
            ended[location] += over
        books = locations.sort(snapshot(*(row(each, live[each], ended[each]) for each in live)))
        assert len(books) <= 5
        assert sum(counts[m.TASKS_LIVE] for counts in books.values()) == live.total()
        assert sum(counts[m.TASKS_FINISHED] for counts in books.values()) == ended.total()
        for label, counts in before.items():
            assert books[label][m.TASKS_FINISHED] >= counts[m.TASKS_FINISHED]
        before = books
