"""Rows of spawn locations, grouped by the line that creates the tasks or by the application's line."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from qcfeed.diagnostics import snapshot
from qcfeed.diagnostics.locations import application_line, creator
from qcfeed.errors import UsageError
from qcfeed.model.tasks import Location, WaitCount

BY_LOCATION = "location"
_KEYS: Mapping[str, Callable[[str], str]] = {
    "caller": application_line,
    "creator": creator,
}
_COUNTS = ("live", "spawned", "finished", "cancelled", "failed", "destroyed", "orphaned")


def grouped(rows: list[Location], by: str) -> list[Location]:
    """The rows with the same ``caller`` or ``creator`` in one, most live tasks first.

    Raises UsageError for another word. ``location`` leaves the rows as they are.
    """
    if by == BY_LOCATION:
        return rows
    if by not in _KEYS:
        raise UsageError(
            f"tasks cannot be grouped by {by!r}", hint="give location, caller, creator or label:KEY"
        )
    groups: dict[str, list[Location]] = {}
    for row in rows:
        groups.setdefault(_KEYS[by](row.location), []).append(row)
    found = [_merged(place, group) for place, group in groups.items()]
    return sorted(found, key=lambda row: (-row.live, -row.spawned, row.location))


def _merged(place: str, rows: list[Location]) -> Location:
    functions = {row.function for row in rows}
    ages = [row.oldest_s for row in rows if row.oldest_s is not None]
    whole = snapshot.LocationCounts(
        location=place,
        function=functions.pop() if len(functions) == 1 else "",
        oldest_s=max(ages, default=None),
        **{count: sum(getattr(row, count) for row in rows) for count in _COUNTS},
    )
    merged = msgspec.convert(whole, Location, from_attributes=True)
    merged.matching = _sum([row.matching for row in rows])
    merged.sampled = _sum([row.sampled for row in rows])
    merged.waits = _waits(rows)
    sources = {row.source for row in rows}
    merged.source = sources.pop() if len(sources) == 1 else msgspec.UNSET
    return merged


def _sum(numbers: list[int | msgspec.UnsetType]) -> int | msgspec.UnsetType:
    known = [each for each in numbers if each is not msgspec.UNSET]
    return sum(known) if known else msgspec.UNSET


def _waits(rows: list[Location]) -> list[WaitCount] | msgspec.UnsetType:
    counted: dict[str, int] = {}
    known = [row.waits for row in rows if row.waits is not msgspec.UNSET]
    for each in (wait for waits in known for wait in waits):
        counted[each.state] = counted.get(each.state, 0) + each.count
    ranked = sorted(counted.items(), key=lambda pair: -pair[1])
    return [WaitCount(state=s, count=n) for s, n in ranked] if known else msgspec.UNSET
