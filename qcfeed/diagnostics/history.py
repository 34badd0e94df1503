"""The last hour's snapshots, a few numbers a location. Pure: whoever samples hands the time in."""

from __future__ import annotations

import threading
from array import array
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from qcfeed.diagnostics.snapshot import Row

MAX_SNAPSHOTS = 360
"""Censuses kept: an hour of one every 10 s."""
MAX_LOCATIONS = 512
"""Spawn locations followed, the busiest; 512 for an hour take 5 MB."""

Key = tuple[str, str]


@dataclass(slots=True)
class Series:
    """One location's counts, oldest first: of the last ``len(live)`` snapshots."""

    location: str
    function: str
    live: array[int] = field(default_factory=lambda: array("q"))
    spawned: array[int] = field(default_factory=lambda: array("q"))
    destroyed: array[int] = field(default_factory=lambda: array("q"))

    def add(self, row: Row, keep: int) -> None:
        for name in ("live", "spawned", "destroyed"):
            values: array[int] = getattr(self, name)
            values.append(getattr(row, name))
            del values[:-keep]

    def copy(self) -> Series:
        columns = (self.live[:], self.spawned[:], self.destroyed[:])
        return Series(self.location, self.function, *columns)


class History:
    """Bounded in time and in locations; from any thread.

    Cost: 1 us a location and snapshot, 8.5 KB a location when full. It follows the locations with
    the most live tasks, so one that falls behind 512 others is forgotten and begins anew.
    """

    def __init__(self, *, points: int = MAX_SNAPSHOTS, locations: int = MAX_LOCATIONS) -> None:
        self.dropped = 0
        """Locations that the last snapshot had and this does not follow."""
        self._points = points
        self._locations = locations
        self._at: deque[float] = deque(maxlen=points)
        self._series: dict[Key, Series] = {}
        self._lock = threading.Lock()

    def note(self, now: float, rows: Iterable[Row]) -> None:
        """Add a snapshot: rows by live tasks, most first, as ``snapshot.by_location`` gives them."""
        rows = list(rows)
        followed = rows[: self._locations]
        with self._lock:
            self._at.append(now)
            self.dropped = len(rows) - len(followed)
            before, self._series = self._series, {}
            for row in followed:
                key = (row.location, row.function)
                series = self._series[key] = before.get(key) or Series(*key)
                series.add(row, self._points)

    def times(self) -> list[float]:
        """When the snapshots were taken (``time.monotonic()``), oldest first."""
        with self._lock:
            return list(self._at)

    def series(self) -> list[Series]:
        """Copies of what is followed. Cost: 10 us a location when full."""
        with self._lock:
            return [series.copy() for series in self._series.values()]
