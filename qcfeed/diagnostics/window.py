"""Two snapshots by location, and what flowed between them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


class Counted(Protocol):
    """A location's row in a snapshot: a ``snapshot.Row``, or what was read from a saved one."""

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

    ``spawned`` and ``ended`` (in whatever way) are None where that cannot be told. ``live_before`` is
    None for a location that is new, ``live`` is None for one that is gone from the books.
    ``per_minute`` is the live tasks' net change; None when there is no time between the two.
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
        """What a person should know before reading the figures."""
        if self.live_before is None:
            return "new"
        if self.live is None:
            return "gone"
        return "" if self.spawned is not None else "counted anew"


def between(
    before: Iterable[Counted], after: Iterable[Counted], seconds: float, *, same: bool = True
) -> list[Flow]:
    """Every location of either snapshot, the one that grew most first.

    ``seconds`` lie between the two; ``same`` is whether one process counted both. Of two processes
    only the live tasks can be compared: births, ends and rates are None then. So are they for a
    location whose counters went backwards, which only one that began anew can do.

    Cost: O(locations). Tasks born and ended between the two are counted, not listed.
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
    """All locations in one row; what one of them cannot tell, the total cannot either."""
    rows = list(flows)
    live_before = sum(flow.live_before or 0 for flow in rows)
    live = sum(flow.live or 0 for flow in rows)
    told = seconds > 0 and all(flow.spawned is not None for flow in rows)
    return Flow(
        location="total",
        function="",
        spawned=sum(flow.spawned or 0 for flow in rows) if told else None,
        ended=sum(flow.ended or 0 for flow in rows) if told else None,
        live_before=live_before,
        live=live,
        per_minute=(live - live_before) * 60 / seconds if told else None,
        orphaned=sum(flow.orphaned for flow in rows),
    )


def _flow(before: Counted | None, after: Counted, minutes: float | None, *, same: bool) -> Flow:
    spawned = before.spawned if before else 0
    live = before.live if before else 0
    told = same and after.spawned >= spawned
    born = after.spawned - spawned
    return Flow(
        location=after.location,
        function=after.function,
        spawned=born if told else None,
        ended=max(0, live + born - after.live) if told else None,
        live_before=before.live if before else None,
        live=after.live,
        per_minute=(after.live - live) / minutes if told and minutes else None,
        orphaned=after.orphaned,
        oldest_s=after.oldest_s,
    )


def _gone(row: Counted) -> Flow:
    return Flow(row.location, row.function, None, None, row.live, None, None)
