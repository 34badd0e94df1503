from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcfeed.cli.top.observer import Away, ListTarget
from qcfeed.cli.top.state import State
from qcfeed.cli.top.views import fitted, truncate, views
from qcfeed.cli.ui.table import cell_width
from qcfeed.model.feeds import FeedStatus
from qcfeed.model.tasks import Task
from qcfeed.observe.recent import LocationTrend

from .made import HEALTHY, LEAKING, finding, health, refreshed

ROWS = (
    LocationTrend(HEALTHY, "main", 900, 0.0, [900, 900], 0, 60.0, ""),
    LocationTrend(LEAKING, "start_feed", 40, 120.0, [36, 40], 40, 30.0, ""),
    LocationTrend("new.py:1", "begin", 1, None, [None, 1], 0, 1.0, ""),
)


@pytest.fixture
def state() -> State:
    state = State(views())
    state.take(refreshed(rows=ROWS), 0.0)
    return state


def places(state: State) -> list[str]:
    return [row.location for row in state.rows()]


def test_the_fastest_growth_is_on_top_and_unknown_growth_at_the_bottom(state: State) -> None:
    assert places(state) == [LEAKING, HEALTHY, "new.py:1"]


def test_sorting_goes_through_the_columns_and_can_be_reversed(state: State) -> None:
    state.sort()
    assert (state.arrangement.order, state.arrangement.descending) == ("orphaned", True)
    for _ in range(3):
        state.sort()
    assert (state.arrangement.order, state.arrangement.descending) == ("location", False)
    assert places(state) == [LEAKING, "new.py:1", HEALTHY]
    state.reverse()
    assert places(state) == [HEALTHY, "new.py:1", LEAKING]


def test_a_filter_keeps_rows_with_all_words_and_back_removes_it(state: State) -> None:
    state.filter("FEED 40")
    assert places(state) == [LEAKING]
    assert "filter 'FEED 40'; 1 of 3" in state.about()
    state.filter("nothing like it")
    assert (state.rows(), state.empty()) == ([], "no row contains 'nothing like it': Esc shows all")
    assert state.back()
    assert len(state.rows()) == 3
    assert not state.back()


def test_a_filter_on_a_partial_list_says_how_many_rows_it_searched(state: State) -> None:
    state.go("location", LEAKING)
    tasks = tuple(
        Task(
            serial=n, age_s=1.0, name=f"zombie-{n}", coroutine="f", location=LEAKING, state="waits"
        )
        for n in range(200)
    )
    state.take(refreshed(target=ListTarget("location", LEAKING), rows=tasks, total=47_829), 1.0)
    assert state.about().endswith("200 of 47,829")
    state.filter("zombie-19")
    assert state.about().endswith("11 of the 200 listed of 47,829")
    state.filter("MSFT")
    assert state.empty() == "none of the 200 listed rows contains 'MSFT': Esc shows all"


def test_a_narrow_screen_shows_only_the_title_of_the_current_list(state: State) -> None:
    assert state.tabs(40) == "[1 Tasks] 2 3 4 5"
    state.go("findings")
    assert state.tabs(40) == "1 2 3 4 [5 Findings]"


def test_the_runbook_is_that_of_the_row_or_of_the_first_finding(state: State) -> None:
    assert state.rule(ROWS[0]) is None
    state.take(refreshed(health=health(finding("zombies"), finding("loop"))), 1.0)
    assert state.rule(ROWS[0]) == state.rule(None) == "zombies"
    assert state.rule(finding("loop")) == "loop"


def test_a_list_is_empty_until_its_own_rows_arrive(state: State) -> None:
    state.go("location", LEAKING)
    assert state.target == ListTarget("location", LEAKING)
    assert (state.rows(), state.empty()) == ([], "loading ...")
    state.take(refreshed(rows=ROWS), 1.0)  # of the list before
    assert state.rows() == []
    state.take(refreshed(target=ListTarget("location", LEAKING)), 2.0)
    assert state.empty() == "no live tasks any more"
    assert state.back()
    assert state.view == "locations"


def test_digits_and_tab_reach_every_list(state: State) -> None:
    assert state.tabs(80).startswith("[1 Tasks]  2 Feeds ")
    reached = []
    for _ in range(5):
        state.step(1)
        reached.append(state.view)
    assert reached == ["feeds", "subscribers", "orphans", "findings", "locations"]
    state.step(-1)
    assert state.view == "findings"


def test_the_feeds_of_an_attached_program_are_empty_with_the_reason(state: State) -> None:
    state.go("feeds")
    state.take(refreshed("feeds"), 1.0)
    assert state.empty() == "an attached program has none"


def test_findings_arrive_with_the_diagnosis(state: State) -> None:
    state.go("findings")
    assert state.waiting
    diagnosed = health(finding())
    state.take(refreshed("findings", health=diagnosed), 1.0)
    assert state.rows() == diagnosed.diagnosis.findings


def test_the_last_rows_stay_while_the_service_is_away(state: State) -> None:
    state.take(Away("gone", "start it", timed_out=False), 10.0)
    state.take(Away("gone", "start it", timed_out=False), 12.0)
    assert (state.answered_at, places(state)[0]) == (0.0, LEAKING)
    state.take(refreshed(rows=ROWS[:1]), 14.0)
    assert state.away is None
    assert places(state) == [HEALTHY]


def test_a_pause_keeps_the_rows(state: State) -> None:
    state.paused = True
    state.take(refreshed(rows=ROWS[:1]), 1.0)
    assert len(state.rows()) == 3
    assert "PAUSED" in state.about()
    assert state.back()
    state.take(refreshed(rows=ROWS[:1]), 2.0)
    assert len(state.rows()) == 1


@pytest.mark.parametrize("width", [76, 116, 30])
def test_a_row_is_one_line_with_its_growth(width: int, state: State) -> None:
    shown = fitted(state.current, state.rows(), width)
    assert sum(shown.widths) + 2 * (len(shown.widths) - 1) <= width
    assert shown.titles[:2] == ["LOCATION", "LIVE"]
    assert ({"NET/MIN", "ORPHANS"} <= set(shown.titles)) == (width > 30)
    assert ("TREND" in shown.titles) == (width > 30)
    assert [cell.text for cell in shown.rows[0]][:3] == [LEAKING, "40", "+120"][: len(shown.titles)]


def test_a_title_takes_as_many_lines_as_it_needs(state: State) -> None:
    feed = FeedStatus(
        symbol="BRK.B",
        demand="lingering",
        upstream_state="closing",
        subscriber_count=3,
        generation=1,
        band="very_stale",
        reason=None,
        last_quote_at="2024-03-20T02:15:00Z",
        age_s=301.0,
        quotes=5,
        quotes_per_s=0.1,
        restarts=0,
    )
    view = state.views["feeds"]
    assert "LAST\nQUOTE" in fitted(view, [feed], 77).titles
    assert "LAST QUOTE" in fitted(view, [feed], 117).titles


def test_a_long_path_is_truncated_at_its_beginning(state: State) -> None:
    long = LocationTrend("/srv/" + "deep/" * 30 + "feed.py:83", "f", 1, 0.0, [1], 0, 1.0, "")
    ((first, *_),) = fitted(state.current, [long], 76).rows
    assert first.text.startswith("…")
    assert first.text.endswith("deep/feed.py:83")
    ((first, *_),) = fitted(state.current, [long], 76, "~").rows
    assert first.text.isascii()


@given(st.text(max_size=60), st.integers(1, 40), st.booleans())
def test_truncated_text_fits_and_is_a_part_of_the_original(
    text: str, width: int, path: bool
) -> None:
    cut = truncate(text, width, path=path)
    assert cell_width(cut) <= width
    if cut != text:
        kept = cut.removeprefix("…") if path else cut.removesuffix("…")
        assert (text.endswith if path else text.startswith)(kept)
        assert cell_width(cut) >= width - 1  # a wide letter may not fit into the last cell
