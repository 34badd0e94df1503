"""Requests what ``qcfeed top`` shows, one request after another. Synchronous.

Cost for the service, per refresh: that of observe/tracker.py, and the rows of the list on screen, at most
LIMIT.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

from qcfeed.control.client import ControlClient
from qcfeed.control.routes import FEEDS, ORPHANS, SUBSCRIBERS, TASKS
from qcfeed.errors import QcfeedError, TimedOutError
from qcfeed.model.feeds import Feeds
from qcfeed.model.orphans import Orphans
from qcfeed.model.status import ServiceStatus
from qcfeed.model.subscribers import Subscribers
from qcfeed.model.tasks import Tasks
from qcfeed.observe.collector import Control
from qcfeed.observe.tracker import Tracked, Tracker

LIMIT = 200
"""The number of tasks, orphans or subscribers to request; the rest is counted."""

ProcessId = tuple[int, str]
"""A pid and the time at which the process started: a pid alone may be reused."""


class ListTarget(NamedTuple):
    """The list to request rows for; ``site``: the location whose tasks it lists."""

    view: str
    site: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSnapshot(Tracked):
    """The result of a refresh. ``rows`` are those of ``target``, ``total`` is how many there are.

    ``file``: the bundle that it was read from; None if a service answered.
    """

    target: ListTarget
    rows: list[Any]
    total: int
    took_s: float
    file: Path | None = None


class Away(NamedTuple):
    """The service did not answer: the error and its hint."""

    message: str
    hint: str
    timed_out: bool
    """True if it accepted the request but did not answer; False if it is not there."""


@dataclass(slots=True)
class Observer:
    """Refreshes a snapshot of the service. ``connect`` finds the service, again after it went away."""

    connect: Callable[[], ControlClient]
    called: str = "qcfeed"
    clock: Callable[[], float] = time.monotonic
    _client: ControlClient | None = None
    _actor: ControlClient | None = None
    _tracker: Tracker = field(init=False)
    _closed: bool = False

    def __post_init__(self) -> None:
        self._tracker = Tracker(self.called, self.clock)

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

    @property
    def reads(self) -> Control:
        """Whom to request answers from. Raises what ``connect`` does."""
        return self.client

    @property
    def file(self) -> Path | None:
        """The bundle that is shown in place of a service."""
        return None

    @property
    def taken_at(self) -> str:
        """As of when the bundle is; empty for a service."""
        return ""

    def actor(self, longer: float) -> ControlClient:
        """A client for actions: it waits ``longer`` seconds more for an answer."""
        client = self.client
        self._actor = ControlClient(client.address, timeout=client.timeout + longer)
        if self._closed:
            self._actor.abort()
        return self._actor

    def process_id(self) -> ProcessId:
        """What identifies the process that answers now. Raises what ControlClient does."""
        process = self._tracker.process(self.reads)
        started = process.started_at if isinstance(process, ServiceStatus) else process.attached_at
        return process.pid, started

    def refresh(self, target: ListTarget) -> ServiceSnapshot | Away:
        """Request everything for ``target``; every few seconds also a diagnosis.

        Returns Away instead of raising an error that the service causes.
        """
        try:
            return self._refresh(target)
        except QcfeedError as error:
            self._client = None
            self._tracker.lost()
            return Away(error.message, error.hint or "", isinstance(error, TimedOutError))

    def _refresh(self, target: ListTarget) -> ServiceSnapshot:
        began = self.clock()
        tracked = self._tracked()
        rows, total = self._rows(target)
        return ServiceSnapshot(
            **{each.name: getattr(tracked, each.name) for each in fields(Tracked)},
            target=target,
            rows=rows,
            total=total,
            took_s=self.clock() - began,
            file=self.file,
        )

    def _tracked(self) -> Tracked:
        return self._tracker.refresh(self.client)

    def _rows(self, target: ListTarget) -> tuple[list[Any], int]:
        """The rows of a list, and how many there are. An attached program has no feeds or subscribers."""
        if target.view == "feeds" and not self._tracker.attached:
            feeds = self.reads.get(FEEDS, Feeds)
            return list(feeds.feeds), feeds.total
        if target.view == "subscribers" and not self._tracker.attached:
            subscribers = self.reads.get(SUBSCRIBERS, Subscribers, limit=LIMIT)
            return list(subscribers.subscribers), subscribers.total
        if target.view == "orphans":
            orphans = self.reads.get(ORPHANS, Orphans, limit=LIMIT)
            return list(orphans.orphans), orphans.total
        if target.view == "location":
            tasks = self.reads.get(TASKS, Tasks, site=target.site, limit=LIMIT)
            return list(tasks.tasks), tasks.total
        if target.view == "locations":
            rows = self._tracker.recent.trends()
            return list(rows), len(rows)
        return [], 0


def error_lines(error: QcfeedError) -> Iterator[str]:
    """An error as lines: the message, the hint, and the stack of a stuck loop."""
    yield error.message
    if error.hint:
        yield f"hint: {error.hint}"
    yield from (f"  {line.rstrip()}" for line in getattr(error, "__notes__", ()))
