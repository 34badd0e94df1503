"""What the rules look at: two looks at a service some seconds apart, and what it remembers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from qcfeed.diagnostics import window
from qcfeed.diagnostics.window import Flow
from qcfeed.metrics.growth import Point
from qcfeed.model import answers
from qcfeed.model.answers import Findings, Location, Memory, Orphan, Orphans, Status
from qcfeed.model.subscribers import Subscriber


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """An alert that Prometheus has for this service; ``active_s``: for how long. ``first``: what its
    rule says to type first."""

    name: str
    state: str
    active_s: float
    value: float
    summary: str = ""
    first: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """From when on a figure is a finding. Seconds and shares.

    ``stuck_s``: a loop that does not turn is stuck. ``slow_s``: a peer that takes nothing does not read. ``recent_s``: a stall that is older is history.
    ``memory_share``: of the limit. ``memory_left_s``: growth that would take longer to reach the limit
    is none. In the seconds of one look it must be ``memory_growth`` of what is resident, and fit a line
    by ``memory_fit`` (r2); what is remembered is judged as metrics/growth.py does, in windows of
    ``remembered_s`` and more: what starts grows.
    """

    stuck_s: float = 1.0
    slow_s: float = 1.0
    recent_s: float = 600.0
    memory_share: float = 0.85
    memory_left_s: float = 4 * 3600.0
    memory_growth: float = 0.02
    memory_fit: float = 0.9
    remembered_s: float = 150.0


@dataclass(slots=True, kw_only=True)
class Evidence:
    """``before`` and ``after`` are two snapshots of one process. ``status`` is None for a program that
    is attached, ``feeds`` are empty then. ``samples`` were taken between the two looks, ``history`` is what
    ``remembered_by`` (the service, or Prometheus) remembers from before. ``slow``: subscribers that are
    behind. ``command``: how the program is called in commands to type.
    """

    before: answers.TasksByLocation
    after: answers.TasksByLocation
    memory: Memory | None = None
    status: Status | None = None
    findings: Findings | None = None
    orphans: Orphans | None = None
    feeds: list[answers.Feed] = field(default_factory=list)
    slow: list[Subscriber] = field(default_factory=list)
    alerts: list[Firing] = field(default_factory=list)
    samples: list[Point] = field(default_factory=list)
    history: list[Point] = field(default_factory=list)
    remembered_by: str = ""
    untold: list[str] = field(default_factory=list)
    command: str = "qcfeed"
    limits: Thresholds = field(default_factory=Thresholds)

    @property
    def seconds(self) -> float:
        """Between the two looks."""
        times = [datetime.fromisoformat(each.taken_at) for each in (self.before, self.after)]
        return max(0.0, (times[1] - times[0]).total_seconds())

    @property
    def stuck_s(self) -> float:
        """For how long the loop has not turned now; 0 when it turns."""
        stalled = self.after.loop_stall_ms / 1000
        return stalled if stalled >= self.limits.stuck_s else 0.0

    def flows(self) -> list[Flow]:
        """What flowed at each location between the two looks."""
        return window.between(self.before.locations, self.after.locations, self.seconds)

    def row(self, location: str) -> Location | None:
        """The snapshot' row of a location: its functions' with the most live tasks."""
        rows = [row for row in self.after.locations if row.location == location]
        return max(rows, key=lambda row: row.live, default=None)

    def told(self, rule: str) -> Iterator[answers.Finding]:
        """What one of the rules of diagnostics/rules.py has found."""
        if self.findings is not None:
            yield from (each for each in self.findings.findings if each.rule == rule)

    def orphaned(self) -> Iterator[tuple[str, int, int]]:
        """Locations with orphans: how many the first look saw, and how many the second."""
        earlier: dict[str, int] = {}
        for row in self.before.locations:
            earlier[row.location] = earlier.get(row.location, 0) + row.orphaned
        rows = sorted(self.after.locations, key=lambda row: row.location)
        for location, some in groupby(rows, key=lambda row: row.location):
            if count := sum(row.orphaned for row in some):
                yield location, earlier.get(location, 0), count

    def orphans_of(self, location: str) -> list[Orphan]:
        """Its orphaned tasks, as far as they are listed."""
        listed = self.orphans.orphans if self.orphans is not None else []
        return [each for each in listed if each.location == location and each.serial is not None]
