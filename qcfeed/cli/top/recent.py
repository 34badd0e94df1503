"""The last minute of snapshots: which locations grow, how fast, and the shape of it. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from qcfeed.cli.tasks.windows import compare, taken
from qcfeed.model.answers import Location, TasksByLocation

SPAN = 60.0
"""Seconds that growth is told over; less where less was seen."""


class Row(NamedTuple):
    """One spawn location. ``per_minute``: its net growth over the trail, None before the second look;
    ``trend``: live tasks at each look, oldest first, None where the books had not the location yet."""

    location: str
    function: str
    live: int
    per_minute: float | None
    trend: Sequence[int | None]
    orphaned: int
    oldest_s: float | None
    note: str


class Trail:
    """The snapshots of one life of one service.

    Cost of ``take``: none; of ``rows``: O(looks x locations), both bounded.
    """

    def __init__(self, span: float = SPAN) -> None:
        self._span = span
        self._snapshots: deque[TasksByLocation] = deque()
        self.restarts = 0

    def take(self, snapshot: TasksByLocation) -> None:
        """The newest look. One of another life begins the trail anew, and is counted."""
        if self._snapshots and _life(self._snapshots[-1]) != _life(snapshot):
            self._snapshots.clear()
            self.restarts += 1
        self._snapshots.append(snapshot)
        while self._seconds(self._snapshots[0]) > self._span:
            self._snapshots.popleft()

    def _seconds(self, earlier: TasksByLocation) -> float:
        """From ``earlier`` to the newest."""
        return (taken(self._snapshots[-1]) - taken(earlier)).total_seconds()

    @property
    def seconds(self) -> float:
        """What the trail spans."""
        return self._seconds(self._snapshots[0]) if self._snapshots else 0.0

    @property
    def totals(self) -> list[int]:
        """Live tasks of all locations, at each look."""
        return [snapshot.totals.live for snapshot in self._snapshots]

    @property
    def per_minute(self) -> float | None:
        """Net growth of all live tasks."""
        totals, seconds = self.totals, self.seconds
        return (totals[-1] - totals[0]) * 60 / seconds if seconds else None

    def since(self, seconds: float) -> TasksByLocation | None:
        """The oldest snapshot of the last ``seconds``, if there is one beside the newest."""
        older = [each for each in list(self._snapshots)[:-1] if self._seconds(each) <= seconds]
        return older[0] if older else None

    def rows(self) -> list[Row]:
        """Every location that has live tasks, or had some at the beginning of the trail."""
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
            _row(row, rates.get(key := (row.location, row.function)), [c.get(key) for c in counted])
            for row in last.locations
            if row.live or counted[0].get((row.location, row.function))
        ]


def _row(row: Location, per_minute: float | None, trend: Sequence[int | None]) -> Row:
    return Row(
        row.location,
        row.function,
        row.live,
        per_minute,
        trend,
        row.orphaned,
        row.oldest_s,
        row.note,
    )


def _life(snapshot: TasksByLocation) -> tuple[int, str, str]:
    return snapshot.pid, snapshot.instance, snapshot.since
