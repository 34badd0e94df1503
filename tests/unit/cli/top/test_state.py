from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcfeed.cli.top.observer import Away, Target
from qcfeed.cli.top.recent import LocationTrend
from qcfeed.cli.top.state import State
from qcfeed.cli.top.views import fitted, truncate, views
from qcfeed.cli.ui.table import cell_width
from qcfeed.model.answers import Feed, Task

from .made import GUILTY, SOUND, finding, judged, seen

ROWS = (
    LocationTrend(SOUND, "main", 900, 0.0, [900, 900], 0, 60.0, ""),
    LocationTrend(GUILTY, "start_feed", 40, 120.0, [36, 40], 40, 30.0, ""),
    LocationTrend("new.py:1", "begin", 1, None, [None, 1], 0, 1.0, ""),
)


@pytest.fixture
def state() -> State:
    state = State(views())
    state.take(seen(rows=ROWS), 0.0)
    return state


def places(state: State) -> list[str]:
    return [row.location for row in state.rows()]


def test_what_grows_most_is_on_top_and_what_is_not_known_below(state: State) -> None:
    assert places(state) == [GUILTY, SOUND, "new.py:1"]


def test_sorting_goes_through_the_columns_and_the_other_way_round(state: State) -> None:
    state.sort()
    assert (state.chosen.order, state.chosen.down) == ("orphaned", True)
    for _ in range(3):
        state.sort()
    assert (state.chosen.order, state.chosen.down) == ("location", False)
    assert places(state) == [GUILTY, "new.py:1", SOUND]
    state.reverse()
    assert places(state) == [SOUND, "new.py:1", GUILTY]


def test_a_filter_keeps_what_holds_all_words_and_escape_undoes_it(state: State) -> None:
    state.filter("FEED 40")
    assert places(state) == [GUILTY]
    assert "only 'FEED 40'; 1 of 3" in state.about()
    state.filter("nothing like it")
    assert (state.rows(), state.empty()) == ([], "nothing holds 'nothing like it': Esc shows all")
    assert state.back()
    assert len(state.rows()) == 3
    assert not state.back()


def test_of_a_list_that_is_cut_short_it_is_said_that_only_that_is_searched(state: State) -> None:
    state.go("location", GUILTY)
    tasks = tuple(
        Task(serial=n, age_s=1.0, name=f"zombie-{n}", coroutine="f", location=GUILTY, state="waits")
        for n in range(200)
    )
    state.take(seen(wanted=Target("location", GUILTY), rows=tasks, total=47_829), 1.0)
    assert state.about().endswith("200 of 47,829")
    state.filter("zombie-19")
    assert state.about().endswith("11 of the 200 listed of 47,829")
    state.filter("MSFT")
    assert state.empty() == "nothing of the 200 listed holds 'MSFT': Esc shows all"


def test_the_names_of_the_lists_give_way_on_a_narrow_screen(state: State) -> None:
    assert state.tabs(40) == "[1 Tasks] 2 3 4 5"
    state.go("findings")
    assert state.tabs(40) == "1 2 3 4 [5 Findings]"


def test_the_page_is_that_of_the_row_or_of_the_worst_that_was_found(state: State) -> None:
    assert state.rule(ROWS[0]) is None
    state.take(seen(judged=judged(finding("zombies"), finding("loop"))), 1.0)
    assert state.rule(ROWS[0]) == state.rule(None) == "zombies"
    assert state.rule(finding("loop")) == "loop"


def test_a_list_is_empty_until_its_own_look_has_come(state: State) -> None:
    state.go("location", GUILTY)
    assert state.wanted == Target("location", GUILTY)
    assert (state.rows(), state.empty()) == ([], "looking ...")
    state.take(seen(rows=ROWS), 1.0)  # of the list before
    assert state.rows() == []
    state.take(seen(wanted=Target("location", GUILTY)), 2.0)
    assert state.empty() == "none is alive any more"
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


def test_an_attached_program_has_no_feeds_and_that_is_said(state: State) -> None:
    state.go("feeds")
    state.take(seen("feeds"), 1.0)
    assert state.empty() == "a program that is attached has none"


def test_findings_come_with_the_verdict(state: State) -> None:
    state.go("findings")
    assert state.waiting
    told = judged(finding())
    state.take(seen("findings", judged=told), 1.0)
    assert state.rows() == told.diagnosis.findings


def test_figures_stay_while_the_service_is_away(state: State) -> None:
    state.take(Away("gone", "start it", silent=False), 10.0)
    state.take(Away("gone", "start it", silent=False), 12.0)
    assert (state.heard, places(state)[0]) == (0.0, GUILTY)
    state.take(seen(rows=ROWS[:1]), 14.0)
    assert state.away is None
    assert places(state) == [SOUND]


def test_a_pause_holds_the_figures_still(state: State) -> None:
    state.paused = True
    state.take(seen(rows=ROWS[:1]), 1.0)
    assert len(state.rows()) == 3
    assert "PAUSED" in state.about()
    assert state.back()
    state.take(seen(rows=ROWS[:1]), 2.0)
    assert len(state.rows()) == 1


@pytest.mark.parametrize("width", [76, 116, 30])
def test_a_row_is_a_line_and_the_growth_is_on_it(width: int, state: State) -> None:
    shown = fitted(state.current, state.rows(), width)
    assert sum(shown.widths) + 2 * (len(shown.widths) - 1) <= width
    assert shown.titles[:2] == ["LOCATION", "LIVE"]
    assert ({"NET/MIN", "ORPHANS"} <= set(shown.titles)) == (width > 30)
    assert ("TREND" in shown.titles) == (width > 30)
    assert [cell.text for cell in shown.rows[0]][:3] == [GUILTY, "40", "+120"][: len(shown.titles)]


def test_a_title_takes_as_many_lines_as_it_needs(state: State) -> None:
    feed = Feed(
        symbol="BRK.B",
        demand="lingering",
        upstream="closing",
        subscribers=3,
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


def test_of_a_path_that_is_too_long_the_end_is_told(state: State) -> None:
    long = LocationTrend("/srv/" + "deep/" * 30 + "feed.py:83", "f", 1, 0.0, [1], 0, 1.0, "")
    ((first, *_),) = fitted(state.current, [long], 76).rows
    assert first.text.startswith("…")
    assert first.text.endswith("deep/feed.py:83")
    ((first, *_),) = fitted(state.current, [long], 76, "~").rows
    assert first.text.isascii()


@given(st.text(max_size=60), st.integers(1, 40), st.booleans())
def test_what_is_cut_fits_and_is_an_end_of_the_text(text: str, width: int, path: bool) -> None:
    cut = truncate(text, width, path=path)
    assert cell_width(cut) <= width
    if cut != text:
        kept = cut.removeprefix("…") if path else cut.removesuffix("…")
        assert (text.endswith if path else text.startswith)(kept)
        assert cell_width(cut) >= width - 1  # a wide letter may not fit into the last cell
