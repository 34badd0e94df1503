"""Compares two snapshots by spawn location: tasks created and ended in between. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


class CountedLocation(Protocol):
    """A location's row in a snapshot: a ``snapshot.LocationCounts``, or a row of a saved file."""

    @property
    def location(self) -> str: ...
    @property
    def function(self) -> str: ...
    @property
    def live(self) -> int: ...
    @property
    def spawned(self) -> int: ...
    @property
    def orphaned(self) -> int: ...
    @property
    def oldest_s(self) -> float | None: ...


@dataclass(slots=True)
class Flow:
    """One spawn location between two snapshots.

    ``spawned`` and ``ended``: tasks created, and tasks ended in any way; None if that is not known.
    ``live_before`` is None for a new location, ``live`` for a location that is no longer counted.
    ``per_minute``: net change of the live tasks; None if no time passed between the two.
    """

    location: str
    function: str
    spawned: int | None
    ended: int | None
    live_before: int | None
    live: int | None
    per_minute: float | None
    orphaned: int = 0
    oldest_s: float | None = None

    @property
    def net(self) -> int:
        return (self.live or 0) - (self.live_before or 0)

    @property
    def note(self) -> str:
        """A remark on the numbers: ``new``, ``gone`` or ``counted anew``; else empty."""
        if self.live_before is None:
            return "new"
        if self.live is None:
            return "gone"
        return "" if self.spawned is not None else "counted anew"


def between(
    before: Iterable[CountedLocation],
    after: Iterable[CountedLocation],
    seconds: float,
    *,
    same: bool = True,
) -> list[Flow]:
    """Every location of either snapshot, strongest growth first.

    ``seconds``: the time between the two. ``same``: whether the same process counted both. Of two
    processes only the live tasks can be compared, so created and ended tasks and rates are None. They
    are None too for a location whose counters fell, because it was then counted from the start again.

    Cost: O(locations). Tasks created and ended in between are counted, not listed.
    """
    earlier = {(row.location, row.function): row for row in before}
    minutes = seconds / 60 if same and seconds > 0 else None
    flows = [
        _flow(earlier.pop((row.location, row.function), None), row, minutes, same=same)
        for row in after
    ]
    flows += [_gone(row) for row in earlier.values()]
    return sorted(flows, key=lambda flow: (-flow.net, -(flow.spawned or 0), flow.location))


def total(flows: Iterable[Flow], seconds: float) -> Flow:
    """All locations in one row. What is None for one location is None in the total."""
    rows = list(flows)
    live_before = sum(flow.live_before or 0 for flow in rows)
    live = sum(flow.live or 0 for flow in rows)
    counted = seconds > 0 and all(flow.spawned is not None for flow in rows)
    return Flow(
        location="total",
        function="",
        spawned=sum(flow.spawned or 0 for flow in rows) if counted else None,
        ended=sum(flow.ended or 0 for flow in rows) if counted else None,
        live_before=live_before,
        live=live,
        per_minute=(live - live_before) * 60 / seconds if counted else None,
        orphaned=sum(flow.orphaned for flow in rows),
    )


def _flow(
    before: CountedLocation | None, after: CountedLocation, minutes: float | None, *, same: bool
) -> Flow:
    spawned = before.spawned if before else 0
    live = before.live if before else 0
    comparable = same and after.spawned >= spawned
    created = after.spawned - spawned
    return Flow(
        location=after.location,
        function=after.function,
        spawned=created if comparable else None,
        ended=max(0, live + created - after.live) if comparable else None,
        live_before=before.live if before else None,
        live=after.live,
        per_minute=(after.live - live) / minutes if comparable and minutes else None,
        orphaned=after.orphaned,
        oldest_s=after.oldest_s,
    )


def _gone(row: CountedLocation) -> Flow:
    return Flow(row.location, row.function, None, None, row.live, None, None)
