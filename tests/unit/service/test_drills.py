"""A drill is asked for by name, and by nothing else."""

from __future__ import annotations

import pytest

from qcfeed.errors import ConfigError
from qcfeed.service import drills


@pytest.mark.parametrize(
    ("text", "zombies"),
    [("zombie-feeds", 0), ("zombie-feeds=0", 0), ("zombie-feeds=47829", 47_829)],
)
def test_the_drill_and_its_number(text: str, zombies: int) -> None:
    assert drills.parse(text) == zombies


@pytest.mark.parametrize(
    "text",
    [
        "",
        "zombies",
        "zombie-feeds=x",
        "zombie-feeds=-1",
        "zombie-feeds=1e3",
        "zombie-feeds=1000001",
    ],
)
def test_no_other_drill(text: str) -> None:
    with pytest.raises(ConfigError, match="there is no drill") as error:
        drills.parse(text)
    assert "zombie-feeds=N" in (error.value.hint or "")
