"""The snapshots of the last minute: which locations grow, how fast, and their trend. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from qcfeed.model.tasks import TasksByLocation
from qcfeed.observe.comparison import compare, process_of, taken

SPAN = 60.0
"""Seconds over which growth is computed, or less while there are fewer snapshots."""


class LocationTrend(NamedTuple):
    """One spawn location. ``per_minute``: its net growth, None before the second snapshot; ``trend``:
    its live tasks in each snapshot, the oldest first, None where the ledger did not have it yet."""

    location: str
    function: str
    live: int
    per_minute: float | None
    trend: Sequence[int | None]
    orphaned: int
    oldest_s: float | None
    note: str


class RecentSnapshots:
    """The snapshots of the last minute, all of the same process.

    Cost: ``add`` is O(1), ``trends`` is O(snapshots x locations), both bounded.
    """

    def __init__(self, span: float = SPAN) -> None:
        self._span = span
        self._snapshots: deque[TasksByLocation] = deque()
        self.restarts = 0

    def add(self, snapshot: TasksByLocation) -> None:
        """Add the newest snapshot. One of another process discards those before and counts a restart."""
        if self._snapshots and process_of(self._snapshots[-1]) != process_of(snapshot):
            self._snapshots.clear()
            self.restarts += 1
        self._snapshots.append(snapshot)
        while self._seconds(self._snapshots[0]) > self._span:
            self._snapshots.popleft()

    def _seconds(self, earlier: TasksByLocation) -> float:
        """The time from ``earlier`` to the newest snapshot."""
        return (taken(self._snapshots[-1]) - taken(earlier)).total_seconds()

    @property
    def seconds(self) -> float:
        """The time from the oldest snapshot to the newest."""
        return self._seconds(self._snapshots[0]) if self._snapshots else 0.0

    @property
    def totals(self) -> list[int]:
        """The number of live tasks in each snapshot."""
        return [snapshot.totals.live for snapshot in self._snapshots]

    @property
    def per_minute(self) -> float | None:
        """The net growth of all live tasks, None before the second snapshot."""
        totals, seconds = self.totals, self.seconds
        return (totals[-1] - totals[0]) * 60 / seconds if seconds else None

    def since(self, seconds: float) -> TasksByLocation | None:
        """The oldest snapshot of the last ``seconds``, other than the newest; None if there is none."""
        older = [each for each in list(self._snapshots)[:-1] if self._seconds(each) <= seconds]
        return older[0] if older else None

    def trends(self) -> list[LocationTrend]:
        """Every location that has live tasks, or had some in the oldest snapshot."""
        if not self._snapshots:
            return []
        last = self._snapshots[-1]
        counted = [
            {(row.location, row.function): row.live for row in snapshot.locations}
            for snapshot in self._snapshots
        ]
        rates = {
            (flow.location, flow.function): flow.per_minute
            for flow in compare(self._snapshots[0], last).locations
        }
        return [
            LocationTrend(
                row.location,
                row.function,
                row.live,
                rates.get(key := (row.location, row.function)),
                [counts.get(key) for counts in counted],
                row.orphaned,
                row.oldest_s,
                row.note,
            )
            for row in last.locations
            if row.live or counted[0].get((row.location, row.function))
        ]
