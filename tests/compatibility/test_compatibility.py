"""Nothing that the last release had is gone or means something else.

A failure is a breaking change: keep the old name beside the new one for a minor version, with a line under "Deprecated"
in the changelog. An answer whose schema must change gets the next number instead.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.compatibility.surface import RELEASED, lost, succeeded, surface

OLD: dict[str, Any] = json.loads(RELEASED.read_text())
PARTS = sorted(OLD.keys() - {"version", "answers"})


@pytest.fixture(scope="module")
def new() -> dict[str, Any]:
    """Today's surface. Not at import: every worker imports this file, and one needs the surface."""
    return surface()


@pytest.mark.parametrize("part", PARTS)
def test_nothing_of_the_last_release_is_gone(part: str, new: dict[str, Any]) -> None:
    assert lost(OLD[part], new[part]) == []


@pytest.mark.parametrize("tag", sorted(OLD["answers"]))
def test_an_answer_keeps_its_fields_or_gets_the_next_number(tag: str, new: dict[str, Any]) -> None:
    if tag in new["answers"]:
        assert lost(OLD["answers"][tag], new["answers"][tag]) == []
    else:
        assert succeeded(tag, new["answers"])


def test_every_promise_is_looked_at(new: dict[str, Any]) -> None:
    assert sorted(new.keys() - {"answers"}) == PARTS
    for part in PARTS:
        assert new[part], part
    assert new["python"]["qcfeed.attach"][0] == "instance"
    assert "--reap" in new["commands"]["qcfeed orphans"]
    assert new["wire"]["close codes"]["TOO_SLOW"] == 4408


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"a": 1}, {}),
        ({"a": 1}, {"a": 2}),
        ({"a": ["x", "y"]}, {"a": ["y"]}),
        ({"a": {"type": "integer"}}, {"a": {"type": "string"}}),
        ({"a": {"required": ["x"]}}, {"a": {"required": []}}),
    ],
)
def test_a_breaking_change_is_found(old: Any, new: Any) -> None:
    assert lost(old, new)


def test_an_addition_is_no_breaking_change() -> None:
    assert lost({"a": ["x"], "b": {"c": 1}}, {"a": ["x", "y"], "b": {"c": 1, "d": 2}, "e": 3}) == []


def test_an_answer_is_succeeded_by_a_higher_number_only() -> None:
    assert succeeded("qcfeed.status/2", ["qcfeed.status/3"])
    assert not succeeded("qcfeed.status/2", ["qcfeed.status/1", "qcfeed.orphans/3"])
