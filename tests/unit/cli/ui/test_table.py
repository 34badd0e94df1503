from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from qcfeed.cli.ui.table import Column, Table, lay_out


@dataclass
class Line:
    place: str
    live: int | None
    note: str = ""
    extra: str = "extra"


TABLE: Table[Line] = Table(
    (
        Column("place", least=10),
        Column("live", right=True, colour=lambda x: "red"),
        Column("last_note", "note", rank=1, least=8),
        Column("extra", wide=True),
    ),
    identity=lambda line: line.place,
)


def test_piped_rows_are_whole_aligned_and_without_trailing_blanks() -> None:
    rows = [Line("qcfeed/service/hub.py:83", 47_829, "no subscribers"), Line("a.py:1", None)]
    assert lay_out(TABLE, rows).lines == [
        "PLACE                      LIVE  LAST NOTE",
        "qcfeed/service/hub.py:83  47829  no subscribers",
        "a.py:1                        -  -",
    ]


def test_piped_rows_are_whole_although_they_could_be_wrapped_or_hidden() -> None:
    laid = lay_out(TABLE, [Line("a/" * 60 + "x.py:1", 1, "word " * 60)])
    assert laid.hidden == []
    assert len(laid.lines) == 2
    assert "a/" * 60 + "x.py:1" in laid.lines[1]


def test_words_stay_apart_when_a_cell_is_wrapped() -> None:
    words = "one two three four five six seven"
    lines = lay_out(TABLE, [Line("a.py:1", 1, words)], width=30).lines
    column = lines[0].index("LAST NOTE")
    assert len(lines) > 3
    assert " ".join(line[column:] for line in lines[1:]) == words


def test_wide_has_every_column() -> None:
    assert lay_out(TABLE, [Line("a.py:1", 1)], wide=True).lines[0].split() == [
        "PLACE", "LIVE", "LAST", "NOTE", "EXTRA",
    ]  # fmt: skip


def test_a_narrow_terminal_wraps_paths_at_their_joints() -> None:
    laid = lay_out(TABLE, [Line("qcfeed/service/hub.py:83", 5, "no subscribers")], width=40)
    assert laid.hidden == []
    assert laid.lines == [
        "PLACE               LIVE  LAST NOTE",
        "qcfeed/service/        5  no subscribers",
        "hub.py:83",
    ]


def test_columns_of_high_rank_go_first_and_are_named() -> None:
    laid = lay_out(TABLE, [Line("qcfeed/service/hub.py:83", 5, "no subscribers")], width=20)
    assert laid.hidden == ["LAST NOTE"]
    assert max(map(len, laid.lines)) <= 20


def test_colour_is_around_the_cell_and_not_its_padding() -> None:
    lines = lay_out(TABLE, [Line("a", 5)], colour=True).lines
    assert lines[0].startswith("\x1b[1mPLACE\x1b[0m")
    assert "   \x1b[31m5\x1b[0m" in lines[1]


def test_wide_characters_take_two_cells() -> None:
    lines = lay_out(TABLE, [Line("東京", 1), Line("abcd", 2)]).lines
    assert lines[1].index("1") == lines[2].index("2") - 2


def test_no_rows_is_a_header_alone() -> None:
    assert lay_out(TABLE, []).lines == ["PLACE  LIVE  LAST NOTE"]
    assert lay_out(TABLE, [], header=False).lines == []


texts = st.text(st.sampled_from("ab/._: \x1b\n\u6771\u4eac"), max_size=60)


@given(
    st.lists(st.builds(Line, texts, st.integers(0, 10**12), texts), max_size=5),
    st.integers(50, 120),
)
def test_no_line_is_longer_than_the_terminal_and_no_letter_is_lost(
    rows: list[Line], width: int
) -> None:
    laid = lay_out(TABLE, rows, width=width)
    assert all(cell_len(line) <= width for line in laid.lines)
    whole = "".join(lay_out(TABLE, rows).lines)
    if not laid.hidden:
        assert sorted("".join("".join(laid.lines).split())) == sorted("".join(whole.split()))


def test_on_a_terminal_that_is_too_narrow_each_row_is_a_record() -> None:
    rows = [Line("qcfeed/service/hub.py:83", 1, "no subscribers at all"), Line("a.py:1", None)]
    laid = lay_out(
        TABLE._replace(columns=[c._replace(rank=0) for c in TABLE.columns]), rows, width=24
    )
    assert laid.hidden == []
    assert laid.lines == [
        "PLACE      qcfeed/",
        "           service/",
        "           hub.py:83",
        "LIVE       1",
        "LAST NOTE  no",
        "           subscribers",
        "           at all",
        "",
        "PLACE      a.py:1",
    ]
