from __future__ import annotations

import pytest

from qcfeed.cli.top.keys import KEYS, footer, help_lines
from qcfeed.cli.top.screen import Top
from qcfeed.cli.top.state import LISTS


def test_every_key_has_one_action_and_the_application_has_it() -> None:
    done = [(name, action) for key in KEYS for name, action in key.does.items()]
    assert len({name for name, _ in done}) == len(done)
    for _, action in done:
        assert callable(getattr(Top, f"action_{action.partition('(')[0]}"))


def test_every_list_has_its_digit() -> None:
    assert list(KEYS[0].does.values()) == [f"list({name!r})" for name in LISTS]


def test_the_help_fits_the_narrowest_usual_screen() -> None:
    assert max(map(len, help_lines())) <= 72
    assert len(help_lines()) <= 18


@pytest.mark.parametrize("width", [10, 40, 60, 80, 200])
def test_the_footer_always_has_help_and_quit(width: int) -> None:
    line = footer(width)
    assert line.endswith("? help  q quit")
    assert len(line) <= max(width, len("? help  q quit"))


def test_the_footer_leaves_out_the_least_important_keys_first() -> None:
    assert footer(80) == (
        "Enter open  / filter  s sort  c cancel  r reap  b runbook  ? help  q quit"
    )
    assert footer(40) == "Enter open  c cancel  ? help  q quit"
