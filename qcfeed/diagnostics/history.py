"""The snapshots of the last hour, a few numbers per spawn location. Pure: the caller passes the time."""

from __future__ import annotations

import threading
from array import array
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from qcfeed.diagnostics.snapshot import LocationCounts

MAX_SNAPSHOTS = 360
"""Snapshots that are kept: an hour, with one every 10 s."""
MAX_LOCATIONS = 512
"""Spawn locations that are followed, those with the most live tasks. 512 take 5 MB for an hour."""

Key = tuple[str, str]


@dataclass(slots=True)
class LocationSeries:
    """The counts of one location in the last ``len(live)`` snapshots, oldest first."""

    location: str
    function: str
    live: array[int] = field(default_factory=lambda: array("q"))
    spawned: array[int] = field(default_factory=lambda: array("q"))
    destroyed: array[int] = field(default_factory=lambda: array("q"))

    def add(self, row: LocationCounts, keep: int) -> None:
        for name in ("live", "spawned", "destroyed"):
            values: array[int] = getattr(self, name)
            values.append(getattr(row, name))
            del values[:-keep]

    def copy(self) -> LocationSeries:
        columns = (self.live[:], self.spawned[:], self.destroyed[:])
        return LocationSeries(self.location, self.function, *columns)


class SnapshotHistory:
    """The snapshots of the last hour, limited in time and in locations. From any thread.

    It follows the locations with the most live tasks. A location that falls behind 512 others is
    forgotten, and starts again if it comes back. Cost: 1 us per location and snapshot; 8.5 KB per
    location when full.
    """

    def __init__(self, *, points: int = MAX_SNAPSHOTS, locations: int = MAX_LOCATIONS) -> None:
        self.dropped = 0
        """Locations of the last snapshot that are not followed."""
        self._points = points
        self._locations = locations
        self._at: deque[float] = deque(maxlen=points)
        self._series: dict[Key, LocationSeries] = {}
        self._lock = threading.Lock()

    def note(self, now: float, rows: Iterable[LocationCounts]) -> None:
        """Add the rows of a snapshot, most live tasks first, as ``snapshot.by_location`` gives them.

        ``now``: ``time.monotonic()``.
        """
        rows = list(rows)
        followed = rows[: self._locations]
        with self._lock:
            self._at.append(now)
            self.dropped = len(rows) - len(followed)
            before, self._series = self._series, {}
            for row in followed:
                key = (row.location, row.function)
                series = self._series[key] = before.get(key) or LocationSeries(*key)
                series.add(row, self._points)

    def times(self) -> list[float]:
        """When the snapshots were taken (``time.monotonic()``), oldest first."""
        with self._lock:
            return list(self._at)

    def series(self) -> list[LocationSeries]:
        """Copies of all series. Cost: 10 us per location when full."""
        with self._lock:
            return [series.copy() for series in self._series.values()]
