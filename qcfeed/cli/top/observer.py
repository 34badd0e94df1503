"""What one look at the service brings, and how it is asked: synchronous, one request at a time.

Cost for the service, each look: one snapshot by location (no task is listed), its status, and what the view
on screen shows, bounded; every few seconds what ``qcfeed diagnose`` asks.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from qcfeed.cli.diagnose.gather import Look, conclude, reading
from qcfeed.cli.top.recent import Row, Trail
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
from qcfeed.metrics import growth
from qcfeed.metrics.growth import Point, Window
from qcfeed.model.answers import Feeds, Memory, Orphans, Process, Status, Tasks, TasksByLocation
from qcfeed.model.diagnosis import Diagnosis
from qcfeed.model.subscribers import Subscribers

LISTED = 200
"""Rows of single tasks, orphans and subscribers that are asked for; the rest is counted."""
JUDGED_EVERY = 5.0
"""Seconds between two verdicts."""
WINDOW = 30.0
"""Seconds that a verdict looks back, as far as there are snapshots."""


Life = tuple[int, str]


class Wanted(NamedTuple):
    """Which view is on screen; ``site``: the location whose tasks it lists."""

    view: str
    site: str = ""


class Judged(NamedTuple):
    """A verdict, and what the service remembers: ``memory`` oldest first, ``worst``: the window in
    which memory reaches its limit first, None where it does in none."""

    diagnosis: Diagnosis
    memory: list[float | None]
    worst: Window | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One look. ``rows`` are of the view that was wanted, ``total`` says how many there are."""

    wanted: Wanted
    held: Status | Process
    totals: list[int]
    per_minute: float | None
    span_s: float
    rows: list[Any]
    total: int
    restarts: int
    stuck_s: float
    stack: list[str]
    took_s: float
    judged: Judged | None = None

    @property
    def status(self) -> Status | None:
        """None for a program that is attached."""
        return self.held if isinstance(self.held, Status) else None

    @property
    def memory(self) -> Memory:
        return self.held.memory


class Away(NamedTuple):
    """The service did not answer: why, and what to do."""

    message: str
    hint: str
    silent: bool
    """It is there, and says nothing; else nobody is there."""


STUCK_S = 1.0
"""A loop that has not turned for so long is stuck."""


@dataclass(slots=True)
class Looker:
    """Looks again and again. ``connect`` finds the service anew, when it went away."""

    connect: Callable[[], ControlClient]
    called: str = "qcfeed"
    clock: Callable[[], float] = time.monotonic
    _client: ControlClient | None = None
    _actor: ControlClient | None = None
    _trail: Trail = field(default_factory=Trail)
    _points: deque[Point] = field(default_factory=deque)
    _judged: Judged | None = None
    _judged_at: float = float("-inf")
    _attached: bool = False
    _closed: bool = False

    def close(self) -> None:
        """From another thread: what is being asked ends at once."""
        self._closed = True
        for asked in (self._client, self._actor):
            if asked is not None:
                asked.abort()

    @property
    def client(self) -> ControlClient:
        """Who is asked. Raises what ``connect`` does."""
        if self._client is None:
            self._client = self.connect()
            if self._closed:
                self._client.abort()
        return self._client

    def actor(self, longer: float) -> ControlClient:
        """A client of the same service, whose requests may take so much ``longer``."""
        asked = self.client
        self._actor = ControlClient(asked.address, timeout=asked.timeout + longer)
        if self._closed:
            self._actor.abort()
        return self._actor

    def life(self) -> Life:
        """Which process answers now, and since when. Raises what ControlClient does."""
        held = self._held()
        return held.pid, held.started_at if isinstance(held, Status) else held.attached_at

    def look(self, wanted: Wanted) -> Seen | Away:
        """One look, and a verdict when it is time for one. It raises nothing that a service can cause."""
        try:
            return self._look(wanted)
        except QcfeedError as error:
            self._client, self._attached = None, False
            self._judged_at = float("-inf")
            return Away(error.message, error.hint or "", isinstance(error, TimedOutError))

    def _look(self, wanted: Wanted) -> Seen:
        began = self.clock()
        snapshot = self.client.get(TASKS_BY_LOCATION, TasksByLocation)
        held = self._held()
        if self._restarted(snapshot):
            self._points.clear()
            self._judged, self._judged_at = None, float("-inf")
        self._remember(held)
        rows, total = self._rows(wanted)
        self._judge()
        stalled = snapshot.loop_stall_ms / 1_000
        return Seen(
            wanted=wanted,
            held=held,
            totals=self._trail.totals,
            per_minute=self._trail.per_minute,
            span_s=self._trail.seconds,
            rows=rows,
            total=total,
            restarts=self._trail.restarts,
            stuck_s=stalled if stalled >= STUCK_S else 0.0,
            stack=snapshot.loop_stack if isinstance(snapshot.loop_stack, list) else [],
            took_s=self.clock() - began,
            judged=self._judged,
        )

    def _restarted(self, snapshot: TasksByLocation) -> bool:
        before = self._trail.restarts
        self._trail.take(snapshot)
        return self._trail.restarts > before

    def _held(self) -> Status | Process:
        if not self._attached:
            try:
                return self.client.get(STATUS, Status)
            except NotFoundError:
                self._attached = True
        return self.client.get(PROCESS, Process)

    def _remember(self, held: Status | Process) -> None:
        now = self.clock()
        self._points.append(reading(now, held if isinstance(held, Status) else None, held))
        while now - self._points[0].at > WINDOW:
            self._points.popleft()

    def _rows(self, wanted: Wanted) -> tuple[list[Any], int]:
        """What the view shows. An attached program has no feeds and no subscribers."""
        if wanted.view == "feeds" and not self._attached:
            feeds = self.client.get(FEEDS, Feeds)
            return list(feeds.feeds), feeds.total
        if wanted.view == "subscribers" and not self._attached:
            readers = self.client.get(SUBSCRIBERS, Subscribers, limit=LISTED)
            return list(readers.subscribers), readers.total
        if wanted.view == "orphans":
            orphans = self.client.get(ORPHANS, Orphans, limit=LISTED)
            return list(orphans.orphans), orphans.total
        if wanted.view == "location":
            tasks = self.client.get(TASKS, Tasks, site=wanted.site, limit=LISTED)
            return list(tasks.tasks), tasks.total
        if wanted.view == "locations":
            rows: list[Row] = self._trail.rows()
            return list(rows), len(rows)
        return [], 0

    def _judge(self) -> None:
        now = self.clock()
        before = self._trail.since(WINDOW)
        if before is None or now - self._judged_at < JUDGED_EVERY:
            return
        seen = conclude(Look(self.client), before, list(self._points), called=self.called)
        limit = float(seen.memory.limit_bytes) if seen.memory is not None else None
        history = seen.history
        windows = growth.windows(history, history[-1].at, limit) if history else []
        self._judged = Judged(
            diagnosis=diagnose(seen),
            memory=[point.memory for point in history],
            worst=growth.reaching_limit(windows, float("inf")) if windows else None,
            seconds=history[-1].at - history[0].at if history else 0.0,
        )
        self._judged_at = self.clock()


def lines_of(error: QcfeedError) -> Iterator[str]:
    """An error as lines: what happened, what to do, and where a stuck loop is stuck."""
    yield error.message
    if error.hint:
        yield f"hint: {error.hint}"
    yield from (f"  {line.rstrip()}" for line in getattr(error, "__notes__", ()))
