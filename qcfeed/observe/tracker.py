"""Keeps track of a service: refreshed every few seconds, it knows what grows and what is wrong. Synchronous.

Cost for the service, per refresh: one snapshot by location (no task is listed) and its status; every
DIAGNOSIS_INTERVAL also the requests of ``qcfeed diagnose``.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from qcfeed.control.routes import PROCESS, STATUS, TASKS_BY_LOCATION
from qcfeed.diagnose.verdict import diagnose
from qcfeed.errors import NotFoundError
from qcfeed.metrics import growth, urgency
from qcfeed.metrics.growth import GrowthWindow, Point
from qcfeed.model.diagnosis import Diagnosis
from qcfeed.model.status import Memory, ProgramStatus, ServiceStatus
from qcfeed.model.tasks import TasksByLocation
from qcfeed.observe.collector import Control, EvidenceCollector, conclude, sample
from qcfeed.observe.recent import RecentSnapshots

DIAGNOSIS_INTERVAL = 5.0
"""Seconds between two diagnoses."""
WINDOW = 30.0
"""Seconds that a diagnosis looks back, if there are snapshots for it."""
STUCK_S = 1.0
"""Seconds without an iteration after which the event loop counts as stuck."""


class ServiceHealth(NamedTuple):
    """A diagnosis, and the history of the service.

    ``history``: samples, the oldest first; ``worst``: the window by which memory reaches its limit first, None
    if it does by none.
    """

    diagnosis: Diagnosis
    history: list[Point]
    worst: GrowthWindow | None

    @property
    def memory(self) -> list[float | None]:
        return [point.memory for point in self.history]

    @property
    def seconds(self) -> float:
        """How far the history goes back."""
        return self.history[-1].at - self.history[0].at if self.history else 0.0


def health(diagnosis: Diagnosis, history: list[Point], limit: float | None) -> ServiceHealth:
    """The diagnosis with the history, and what follows for the time to the memory limit (bytes)."""
    windows = growth.windows(history, history[-1].at, limit) if history else []
    worst = urgency.reaching_limit(windows, float("inf")) if windows else None
    return ServiceHealth(diagnosis=diagnosis, history=history, worst=worst)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """The result of a refresh.

    ``totals``: live tasks in each snapshot of the last ``span_s`` seconds, and their net growth ``per_minute``.
    ``stuck_s``: how long the event loop has been stuck, and ``stack`` where; 0 if it runs.
    """

    process: ServiceStatus | ProgramStatus
    totals: list[int]
    per_minute: float | None
    span_s: float
    restarts: int
    stuck_s: float
    stack: list[str]
    health: ServiceHealth | None = None

    @property
    def status(self) -> ServiceStatus | None:
        """The status of a service; None for an attached program."""
        return self.process if isinstance(self.process, ServiceStatus) else None

    @property
    def memory(self) -> Memory:
        return self.process.memory


@dataclass(slots=True)
class Tracker:
    """What is known of one service. ``called``: how commands to type begin."""

    called: str = "qcfeed"
    clock: Callable[[], float] = time.monotonic
    recent: RecentSnapshots = field(default_factory=RecentSnapshots)
    attached: bool = False
    """Whether it is a program that uses ``attach()``, which has no status."""
    _points: deque[Point] = field(default_factory=deque)
    _health: ServiceHealth | None = None
    _diagnosed_at: float = float("-inf")

    def lost(self) -> None:
        """The service did not answer: the next refresh finds out anew what it is, and diagnoses at once."""
        self.attached = False
        self._diagnosed_at = float("-inf")

    def refresh(self, control: Control) -> Tracked:
        """Request everything; every DIAGNOSIS_INTERVAL also a diagnosis. Raises what ``control`` does."""
        by_location = control.get(TASKS_BY_LOCATION, TasksByLocation)
        process = self.process(control)
        if self._restarted(by_location):
            self._points.clear()
            self._health, self._diagnosed_at = None, float("-inf")
        self._add_point(process)
        self._diagnose(control)
        stall = by_location.loop_stall_ms / 1_000
        return Tracked(
            process=process,
            totals=self.recent.totals,
            per_minute=self.recent.per_minute,
            span_s=self.recent.seconds,
            restarts=self.recent.restarts,
            stuck_s=stall if stall >= STUCK_S else 0.0,
            stack=by_location.loop_stack if isinstance(by_location.loop_stack, list) else [],
            health=self._health,
        )

    def process(self, control: Control) -> ServiceStatus | ProgramStatus:
        """The status of a service, or of an attached program."""
        if not self.attached:
            try:
                return control.get(STATUS, ServiceStatus)
            except NotFoundError:
                self.attached = True
        return control.get(PROCESS, ProgramStatus)

    def _restarted(self, by_location: TasksByLocation) -> bool:
        before = self.recent.restarts
        self.recent.add(by_location)
        return self.recent.restarts > before

    def _add_point(self, process: ServiceStatus | ProgramStatus) -> None:
        now = self.clock()
        self._points.append(
            sample(now, process if isinstance(process, ServiceStatus) else None, process)
        )
        while now - self._points[0].at > WINDOW:
            self._points.popleft()

    def _diagnose(self, control: Control) -> None:
        now = self.clock()
        before = self.recent.since(WINDOW)
        if before is None or now - self._diagnosed_at < DIAGNOSIS_INTERVAL:
            return
        evidence = conclude(
            EvidenceCollector(control), before, list(self._points), called=self.called
        )
        limit = float(evidence.memory.limit_bytes) if evidence.memory is not None else None
        self._health = health(diagnose(evidence), evidence.history, limit)
        self._diagnosed_at = self.clock()
