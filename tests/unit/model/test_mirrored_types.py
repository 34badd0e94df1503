"""Types that diagnostics and the answers both declare have the same fields.

``qcfeed.diagnostics`` uses the standard library only, so its types are dataclasses. The answers' are msgspec structs,
because importing ``dataclasses`` would delay every command. A field that only one of them has is a mistake.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest

from qcfeed.diagnostics import filters, snapshot
from qcfeed.model import task_details
from qcfeed.model.tasks import Location, Task, TaskTotals

ONLY_IN_ANSWERS = {
    Location: {"note", "matching", "waits", "sampled", "source"},
    task_details.LabelValue: {"location_count"},
}
"""Fields that an answer adds for the query that asks for them, or computes."""
ONLY_IN_DIAGNOSTICS = {task_details.LabelValue: {"locations"}}


@pytest.mark.parametrize(
    ("own", "answer"),
    [
        (snapshot.Totals, TaskTotals),
        (snapshot.LocationCounts, Location),
        (snapshot.LiveTask, Task),
        (filters.LabelRow, task_details.LabelValue),
    ],
)
def test_both_have_the_same_fields_of_the_same_types(own: Any, answer: Any) -> None:
    here = {each.name: str(each.type) for each in dataclasses.fields(own)}
    there = {name: answer.__annotations__[name] for name in answer.__struct_fields__}
    missing = here.keys() - there.keys() - ONLY_IN_DIAGNOSTICS.get(answer, set())
    assert missing == set()
    assert there.keys() - here.keys() == ONLY_IN_ANSWERS.get(answer, set())
    assert {name: here[name] for name in here.keys() & there.keys()} == {
        name: there[name] for name in here.keys() & there.keys()
    }


def test_an_answer_keeps_what_diagnostics_counted() -> None:
    totals = snapshot.Totals(*range(1, 9), incomplete=["x"])
    converted = msgspec.convert(totals, TaskTotals, from_attributes=True)
    assert msgspec.to_builtins(converted) == dataclasses.asdict(totals)
