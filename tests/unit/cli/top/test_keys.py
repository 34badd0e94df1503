from __future__ import annotations

import pytest

from qcfeed.cli.top.keys import KEYS, footer, told
from qcfeed.cli.top.screen import Top
from qcfeed.cli.top.state import ROOM_FOR_LISTS


def test_no_key_does_two_things_and_each_of_them_can_be_done() -> None:
    done = [(name, action) for key in KEYS for name, action in key.does.items()]
    assert len({name for name, _ in done}) == len(done)
    for _, action in done:
        assert callable(getattr(Top, f"action_{action.partition('(')[0]}"))


def test_every_list_has_its_digit() -> None:
    assert list(KEYS[0].does.values()) == [f"list({name!r})" for name in ROOM_FOR_LISTS]


def test_the_help_fits_the_narrowest_usual_screen() -> None:
    assert max(map(len, told())) <= 72
    assert len(told()) <= 18


@pytest.mark.parametrize("width", [10, 40, 60, 80, 200])
def test_the_last_line_is_never_without_help_and_quit(width: int) -> None:
    line = footer(width)
    assert line.endswith("? help  q quit")
    assert len(line) <= max(width, len("? help  q quit"))


def test_the_last_line_names_what_matters_most_as_long_as_it_fits() -> None:
    assert footer(80) == (
        "Enter open  / filter  s sort  c cancel  r reap  b runbook  ? help  q quit"
    )
    assert footer(40) == "Enter open  c cancel  ? help  q quit"
