"""The report's section about growth, and who an entry of the audit log is about."""

from __future__ import annotations

import pytest

from qcfeed.diagnose.report import sections
from qcfeed.diagnose.report.blocks import Code, Grid
from tests.support.evidence_builders import healthy, location, snapshot
from tests.unit.diagnose.report.test_sections import material, section


def test_growth_is_shown_per_minute_and_its_numbers_are_aligned() -> None:
    evidence = healthy(
        before=snapshot(location("hub.py:9", live=2, spawned=2)),
        after=snapshot(location("hub.py:9", live=4, spawned=9), after_s=5.0),
    )
    blocks = section(sections.blocks(material(evidence)), "Task growth")
    (code,) = (each for each in blocks if isinstance(each, Code))
    assert code.text.splitlines() == [
        "New spawns:   84 per minute",
        "Completions:  60 per minute",
        "Net growth:   +24 per minute (over 5.0s)",
    ]
    (grid,) = (each for each in blocks if isinstance(each, Grid))
    assert grid.rows[0][:4] == ("hub.py:9", "start", "4", "+24")
    assert {grid.header[each] for each in grid.right} == {
        "Live",
        "Net per minute",
        "Orphaned",
        "Oldest",
    }


def test_growth_of_a_restarted_program_has_no_rates() -> None:
    evidence = healthy(
        before=snapshot(location("hub.py:9", live=2, spawned=90)),
        after=snapshot(location("hub.py:9", live=4, spawned=4), after_s=5.0),
    )
    blocks = section(sections.blocks(material(evidence)), "Task growth")
    assert not [each for each in blocks if isinstance(each, Code)]


@pytest.mark.parametrize(
    ("caller", "shown"),
    [
        ({"user": "ann", "uid": 1000, "via": "socket"}, "ann"),
        ({"uid": 1000, "via": "socket"}, "1000"),
        ({"via": "tcp"}, "tcp"),
        ({}, "-"),
        (None, "-"),
    ],
)
def test_a_caller_has_the_best_known_name(caller: object, shown: str) -> None:
    assert sections.who(caller) == shown
