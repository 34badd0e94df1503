"""Requests what ``qcfeed top`` shows, one request after another. Synchronous.

Cost for the service, per refresh: one snapshot by location (no task is listed), its status, and the rows
of the list on screen, at most LIMIT; every few seconds also the requests of ``qcfeed diagnose``.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from qcfeed.cli.diagnose.gather import Collector, conclude, sample
from qcfeed.cli.top.recent import RecentSnapshots
from qcfeed.control.client import ControlClient
from qcfeed.control.routes import (
    FEEDS,
    ORPHANS,
    PROCESS,
    STATUS,
    SUBSCRIBERS,
    TASKS,
    TASKS_BY_LOCATION,
)
from qcfeed.diagnose.verdict import diagnose
from qcfeed.errors import NotFoundError, QcfeedError, TimedOutError
from qcfeed.metrics import growth, urgency
from qcfeed.metrics.growth import GrowthWindow, Point
from qcfeed.model.diagnosis import Diagnosis
from qcfeed.model.feeds import Feeds
from qcfeed.model.orphans import Orphans
from qcfeed.model.status import Memory, Process, Status
from qcfeed.model.subscribers import Subscribers
from qcfeed.model.tasks import Tasks, TasksByLocation

LIMIT = 200
"""The number of tasks, orphans or subscribers to request; the rest is counted."""
DIAGNOSIS_INTERVAL = 5.0
"""Seconds between two diagnoses."""
WINDOW = 30.0
"""Seconds that a diagnosis looks back, if there are snapshots for it."""


ProcessId = tuple[int, str]
"""A pid and the time at which the process started: a pid alone may be reused."""


class Target(NamedTuple):
    """The list to request rows for; ``site``: the location whose tasks it lists."""

    view: str
    site: str = ""


class Health(NamedTuple):
    """A diagnosis, and the history of the service's memory.

    ``memory``: samples, the oldest first, over ``seconds``; ``worst``: the window by which memory
    reaches its limit first, None if it does by none.
    """

    diagnosis: Diagnosis
    memory: list[float | None]
    worst: GrowthWindow | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSnapshot:
    """The result of a refresh. ``rows`` are those of ``target``, ``total`` is how many there are."""

    target: Target
    process: Status | Process
    totals: list[int]
    per_minute: float | None
    span_s: float
    rows: list[Any]
    total: int
    restarts: int
    stuck_s: float
    stack: list[str]
    took_s: float
    health: Health | None = None

    @property
    def status(self) -> Status | None:
        """The status of a service; None for an attached program."""
        return self.process if isinstance(self.process, Status) else None

    @property
    def memory(self) -> Memory:
        return self.process.memory


class Away(NamedTuple):
    """The service did not answer: the error and its hint."""

    message: str
    hint: str
    timed_out: bool
    """True if it accepted the request but did not answer; False if it is not there."""


STUCK_S = 1.0
"""Seconds without an iteration after which the event loop counts as stuck."""


@dataclass(slots=True)
class Observer:
    """Refreshes a snapshot of the service. ``connect`` finds the service, again after it went away."""

    connect: Callable[[], ControlClient]
    called: str = "qcfeed"
    clock: Callable[[], float] = time.monotonic
    _client: ControlClient | None = None
    _actor: ControlClient | None = None
    _recent: RecentSnapshots = field(default_factory=RecentSnapshots)
    _points: deque[Point] = field(default_factory=deque)
    _health: Health | None = None
    _diagnosed_at: float = float("-inf")
    _attached: bool = False
    _closed: bool = False

    def close(self) -> None:
        """Abort the current request; called from another thread."""
        self._closed = True
        for each in (self._client, self._actor):
            if each is not None:
                each.abort()

    @property
    def client(self) -> ControlClient:
        """The client for reads. Raises what ``connect`` does."""
        if self._client is None:
            self._client = self.connect()
            if self._closed:
                self._client.abort()
        return self._client

    def actor(self, longer: float) -> ControlClient:
        """A client for actions: it waits ``longer`` seconds more for an answer."""
        client = self.client
        self._actor = ControlClient(client.address, timeout=client.timeout + longer)
        if self._closed:
            self._actor.abort()
        return self._actor

    def process_id(self) -> ProcessId:
        """What identifies the process that answers now. Raises what ControlClient does."""
        process = self._process()
        started = process.started_at if isinstance(process, Status) else process.attached_at
        return process.pid, started

    def refresh(self, target: Target) -> ServiceSnapshot | Away:
        """Request everything for ``target``; every DIAGNOSIS_INTERVAL also a diagnosis.

        Returns Away instead of raising an error that the service causes.
        """
        try:
            return self._refresh(target)
        except QcfeedError as error:
            self._client, self._attached = None, False
            self._diagnosed_at = float("-inf")
            return Away(error.message, error.hint or "", isinstance(error, TimedOutError))

    def _refresh(self, target: Target) -> ServiceSnapshot:
        began = self.clock()
        by_location = self.client.get(TASKS_BY_LOCATION, TasksByLocation)
        process = self._process()
        if self._restarted(by_location):
            self._points.clear()
            self._health, self._diagnosed_at = None, float("-inf")
        self._add_point(process)
        rows, total = self._rows(target)
        self._diagnose()
        stall = by_location.loop_stall_ms / 1_000
        return ServiceSnapshot(
            target=target,
            process=process,
            totals=self._recent.totals,
            per_minute=self._recent.per_minute,
            span_s=self._recent.seconds,
            rows=rows,
            total=total,
            restarts=self._recent.restarts,
            stuck_s=stall if stall >= STUCK_S else 0.0,
            stack=by_location.loop_stack if isinstance(by_location.loop_stack, list) else [],
            took_s=self.clock() - began,
            health=self._health,
        )

    def _restarted(self, by_location: TasksByLocation) -> bool:
        before = self._recent.restarts
        self._recent.add(by_location)
        return self._recent.restarts > before

    def _process(self) -> Status | Process:
        if not self._attached:
            try:
                return self.client.get(STATUS, Status)
            except NotFoundError:
                self._attached = True
        return self.client.get(PROCESS, Process)

    def _add_point(self, process: Status | Process) -> None:
        now = self.clock()
        self._points.append(sample(now, process if isinstance(process, Status) else None, process))
        while now - self._points[0].at > WINDOW:
            self._points.popleft()

    def _rows(self, target: Target) -> tuple[list[Any], int]:
        """The rows of a list, and how many there are. An attached program has no feeds or subscribers."""
        if target.view == "feeds" and not self._attached:
            feeds = self.client.get(FEEDS, Feeds)
            return list(feeds.feeds), feeds.total
        if target.view == "subscribers" and not self._attached:
            subscribers = self.client.get(SUBSCRIBERS, Subscribers, limit=LIMIT)
            return list(subscribers.subscribers), subscribers.total
        if target.view == "orphans":
            orphans = self.client.get(ORPHANS, Orphans, limit=LIMIT)
            return list(orphans.orphans), orphans.total
        if target.view == "location":
            tasks = self.client.get(TASKS, Tasks, site=target.site, limit=LIMIT)
            return list(tasks.tasks), tasks.total
        if target.view == "locations":
            rows = self._recent.trends()
            return list(rows), len(rows)
        return [], 0

    def _diagnose(self) -> None:
        now = self.clock()
        before = self._recent.since(WINDOW)
        if before is None or now - self._diagnosed_at < DIAGNOSIS_INTERVAL:
            return
        evidence = conclude(Collector(self.client), before, list(self._points), called=self.called)
        limit = float(evidence.memory.limit_bytes) if evidence.memory is not None else None
        history = evidence.history
        windows = growth.windows(history, history[-1].at, limit) if history else []
        self._health = Health(
            diagnosis=diagnose(evidence),
            memory=[point.memory for point in history],
            worst=urgency.reaching_limit(windows, float("inf")) if windows else None,
            seconds=history[-1].at - history[0].at if history else 0.0,
        )
        self._diagnosed_at = self.clock()


def error_lines(error: QcfeedError) -> Iterator[str]:
    """An error as lines: the message, the hint, and the stack of a stuck loop."""
    yield error.message
    if error.hint:
        yield f"hint: {error.hint}"
    yield from (f"  {line.rstrip()}" for line in getattr(error, "__notes__", ()))
