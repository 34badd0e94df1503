from __future__ import annotations

import pytest
import typer

from qcfeed.cli.ui.durations import parse


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("10m", 600), ("1.5h", 5400), ("500ms", 0.5), ("2d", 172_800), ("7", 7),
     (" 5 S ", 5), (".5", 0.5)],
)  # fmt: skip
def test_durations_as_people_write_them(text: str, seconds: float) -> None:
    assert parse(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "0", "0s", "-5s", "s", "5 years", "1e3", "inf", "٣s"])
def test_text_that_is_no_duration_is_a_clear_error(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="for example 30s"):
        parse(text)
