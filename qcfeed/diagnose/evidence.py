"""The input of all rules: two snapshots of a service some seconds apart, and its history."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from qcfeed.diagnostics import window
from qcfeed.diagnostics.findings import Finding
from qcfeed.diagnostics.window import Flow
from qcfeed.metrics.growth import Point
from qcfeed.model import thresholds
from qcfeed.model.feeds import FeedStatus
from qcfeed.model.findings import Findings
from qcfeed.model.orphans import Orphan, Orphans
from qcfeed.model.status import Memory, ServiceStatus
from qcfeed.model.subscribers import SubscriberStatus
from qcfeed.model.tasks import Location, TasksByLocation


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveAlert:
    """An alert that Prometheus has for this service, firing or pending.

    ``active_s``: seconds since it became active. ``first``: the first command that its rule names.
    """

    name: str
    state: str
    active_s: float
    value: float
    summary: str = ""
    first: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosisThresholds:
    """Values from which a figure is a finding. Times are in seconds; shares are fractions of 1.

    - ``stuck_s``: a loop that has not run for this long is stuck.
    - ``slow_s``: a subscriber whose socket has accepted nothing for this long does not read.
    - ``vanished_s``: a subscriber that has not answered a ping for this long has vanished.
    - ``refused_per_s``: more refused requests per second are a storm.
    - ``clock_s``: the timestamps of quotes may differ this much from the time at which they arrived.
    - ``recent_s``: a stall that is older is a warning, not a finding.
    - ``memory_share``: share of the memory limit.
    - ``memory_left_s``: growth that takes longer to reach the limit is not a finding.
    - ``memory_growth``, ``memory_fit``: within the seconds between the two snapshots, memory must
      grow by this share of what is resident, and a line must fit it with at least this r².
    - ``history_min_s``: the shortest window of the history that is judged. A program that has just
      started always grows.
    """

    stuck_s: float = thresholds.LOOP_STUCK_S
    slow_s: float = 1.0
    vanished_s: float = 5.0
    refused_per_s: float = 10.0
    clock_s: float = 5.0
    recent_s: float = 600.0
    memory_share: float = thresholds.MEMORY_SHARE
    memory_left_s: float = thresholds.MEMORY_LEFT_S
    memory_growth: float = 0.02
    memory_fit: float = 0.9
    history_min_s: float = 150.0


@dataclass(slots=True, kw_only=True)
class Evidence:
    """What the rules judge.

    ``before`` and ``after`` are two snapshots of one process, and so are ``status_before`` and
    ``status``. For a program that uses ``attach()``, ``status`` is None and ``feeds`` is empty.
    ``samples`` were taken between the two snapshots; ``history`` comes from ``history_source`` (the
    service, or Prometheus). ``slow``: subscribers that are behind. ``vanished``: those that have not
    answered a ping for a while. ``skipped``: what could not be read, and why. ``command``: how commands
    to type begin.
    """

    before: TasksByLocation
    after: TasksByLocation
    memory: Memory | None = None
    status: ServiceStatus | None = None
    status_before: ServiceStatus | None = None
    findings: Findings | None = None
    orphans: Orphans | None = None
    feeds: list[FeedStatus] = field(default_factory=list)
    slow: list[SubscriberStatus] = field(default_factory=list)
    vanished: list[SubscriberStatus] = field(default_factory=list)
    alerts: list[ActiveAlert] = field(default_factory=list)
    samples: list[Point] = field(default_factory=list)
    history: list[Point] = field(default_factory=list)
    history_source: str = ""
    skipped: list[str] = field(default_factory=list)
    command: str = "qcfeed"
    thresholds: DiagnosisThresholds = field(default_factory=DiagnosisThresholds)

    @property
    def seconds(self) -> float:
        """Seconds between the two snapshots."""
        times = [datetime.fromisoformat(each.taken_at) for each in (self.before, self.after)]
        return max(0.0, (times[1] - times[0]).total_seconds())

    @property
    def stuck_s(self) -> float:
        """Seconds since the loop last ran, if it is stuck; else 0."""
        stalled = self.after.loop_stall_ms / 1000
        return stalled if stalled >= self.thresholds.stuck_s else 0.0

    def flows(self) -> list[Flow]:
        """Tasks created and ended at each location between the two snapshots."""
        return window.between(self.before.locations, self.after.locations, self.seconds)

    def row(self, location: str) -> Location | None:
        """The location's row in the second snapshot.

        A location can have a row per function; the one with the most live tasks is returned.
        """
        rows = [row for row in self.after.locations if row.location == location]
        return max(rows, key=lambda row: row.live, default=None)

    def ledger_findings(self, rule: str) -> Iterator[Finding]:
        """What one rule of diagnostics/rules.py has found in the service."""
        if self.findings is not None:
            yield from (each for each in self.findings.findings if each.rule == rule)

    def orphaned(self) -> Iterator[tuple[str, int, int]]:
        """Locations with orphans: the number in the first snapshot, and in the second."""
        earlier: dict[str, int] = {}
        for row in self.before.locations:
            earlier[row.location] = earlier.get(row.location, 0) + row.orphaned
        rows = sorted(self.after.locations, key=lambda row: row.location)
        for location, group in groupby(rows, key=lambda row: row.location):
            if count := sum(row.orphaned for row in group):
                yield location, earlier.get(location, 0), count

    def orphans_of(self, location: str) -> list[Orphan]:
        """The location's orphaned tasks that the answer lists; it is limited."""
        listed = self.orphans.orphans if self.orphans is not None else []
        return [each for each in listed if each.location == location and each.serial is not None]
