from __future__ import annotations

from qcfeed.cli.ui.sparkline import ASCII, BLOCKS, blocks_for, sparkline


def test_from_the_least_to_the_greatest() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 60) == BLOCKS
    assert sparkline([5, 5], 60) == BLOCKS[0] * 2
    assert sparkline([1, None, 2], 60) == f"{BLOCKS[0]} {BLOCKS[-1]}"


def test_more_values_than_cells_show_the_last_of_each_share() -> None:
    assert sparkline(range(100), 4) == sparkline([24, 49, 74, 99], 60)
    assert len(sparkline(range(1_000), 60)) == 60


def test_nothing_known_is_no_line() -> None:
    assert sparkline([], 60) == ""
    assert sparkline([None, None], 60) == ""


def test_without_unicode_other_characters_are_used() -> None:
    assert blocks_for("utf-8") == BLOCKS
    assert blocks_for("ascii") == blocks_for(None) == ASCII
    assert sparkline([0, 9], 60, blocks=ASCII) == "_#"
