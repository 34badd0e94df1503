from __future__ import annotations

import msgspec
import pytest

from qcfeed.control.handlers.grouping import grouped
from qcfeed.errors import UsageError
from qcfeed.model.tasks import Location, WaitCount


def row(location: str, live: int, function: str = "spawn", **more: object) -> Location:
    counts = {"spawned": live + 1, "finished": 1, "cancelled": 0, "failed": 0, "destroyed": 0}
    given = {"oldest_s": float(live), "orphaned": 0, **counts, **more}
    return msgspec.convert(
        {"location": location, "function": function, "live": live, **given}, Location
    )


def rows() -> list[Location]:
    return [
        row("lib.py:5 < bot.py:9", 7, orphaned=2),
        row("lib.py:5 < bot.py:3", 4),
        row("other.py:1 < bot.py:3", 4, "go", orphaned=4),
        row("bot.py:50", 1, "main"),
    ]


def short(found: list[Location]) -> list[tuple[str, str, int, str]]:
    return [(each.location, each.function, each.live, each.note) for each in found]


def test_by_location_changes_nothing() -> None:
    assert grouped(rows(), "location") == rows()


def test_by_caller_one_row_per_line_of_the_application() -> None:
    found = grouped(rows(), "caller")
    assert short(found) == [
        ("bot.py:3", "", 8, "4 orphaned"),
        ("bot.py:9", "spawn", 7, "2 orphaned"),
        ("bot.py:50", "main", 1, ""),
    ]
    assert (found[0].spawned, found[0].finished, found[0].oldest_s) == (10, 2, 4.0)
    assert found[0].matching is found[0].waits is found[0].source is msgspec.UNSET


def test_by_creator_one_row_per_line_that_creates_tasks() -> None:
    assert short(grouped(rows(), "creator")) == [
        ("lib.py:5", "spawn", 11, "2 orphaned"),
        ("other.py:1", "go", 4, "all orphaned"),
        ("bot.py:50", "main", 1, ""),
    ]


def test_matching_tasks_and_waits_are_added_up() -> None:
    given = rows()
    for each in given:
        each.matching, each.sampled = each.live - 1, each.live
        each.waits = [
            WaitCount(state="sleeping", count=each.live),
            WaitCount(state=each.function, count=1),
        ]
        each.source = "await go()"
    found = grouped(given, "caller")[0]
    assert (found.matching, found.sampled, found.source) == (6, 8, "await go()")
    assert found.waits == [
        WaitCount(state="sleeping", count=8),
        WaitCount(state="spawn", count=1),
        WaitCount(state="go", count=1),
    ]


def test_an_unknown_grouping() -> None:
    with pytest.raises(UsageError, match="cannot be grouped by 'colour'") as caught:
        grouped(rows(), "colour")
    assert "caller, creator" in str(caught.value.hint)
