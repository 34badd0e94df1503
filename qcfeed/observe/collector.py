"""Collects the evidence for a diagnosis: what was seen between two snapshots of a running service."""

from __future__ import annotations

from typing import Protocol, TypeVar

from qcfeed.control.routes import (
    FEEDS,
    HISTORY,
    ORPHANS,
    PROCESS,
    STATUS,
    SUBSCRIBERS,
    TASKS_BY_LOCATION,
    TASKS_FINDINGS,
)
from qcfeed.diagnose.evidence import DiagnosisThresholds, Evidence
from qcfeed.errors import (
    NotFoundError,
    QcfeedError,
    TimedOutError,
    UnreachableError,
    UsageError,
)
from qcfeed.metrics.growth import Point
from qcfeed.metrics.growth_answer import point
from qcfeed.model.answer import Answer
from qcfeed.model.feeds import Feeds
from qcfeed.model.findings import Findings
from qcfeed.model.history import History
from qcfeed.model.orphans import Orphans
from qcfeed.model.status import ProgramStatus, ServiceStatus
from qcfeed.model.subscribers import Subscribers
from qcfeed.model.tasks import TasksByLocation

AnyAnswer = TypeVar("AnyAnswer", bound=Answer)

ORPHANS_LIMIT = 500
"""The number of orphans to request, spread over all ages."""
SLOW_LIMIT = 100
"""The number of slow subscribers to request, the furthest behind first."""


class Control(Protocol):
    """A control plane that can be queried: a ControlClient, a Recorder, or the service's own."""

    def get(self, path: str, answer_type: type[AnyAnswer], **params: object) -> AnyAnswer: ...


def conclude(
    collector: EvidenceCollector,
    before: TasksByLocation,
    samples: list[Point],
    *,
    called: str = "qcfeed",
    thresholds: DiagnosisThresholds | None = None,
) -> Evidence:
    """Take the second snapshot and return the evidence since ``before``. Raises nothing."""
    after = collector.part("tasks", TASKS_BY_LOCATION, TasksByLocation, waits=True, sources=True)
    status, process = collector.status()
    history = collector.part("history", HISTORY, History)
    slow = vanished = None
    limits = thresholds or DiagnosisThresholds()
    if status is not None:
        slow = collector.part("subscribers", SUBSCRIBERS, Subscribers, slow=True, limit=SLOW_LIMIT)
        vanished = collector.part(
            "vanished subscribers",
            SUBSCRIBERS,
            Subscribers,
            unanswered_s=limits.vanished_s,
            limit=SLOW_LIMIT,
        )
    feeds = collector.part("feeds", FEEDS, Feeds) if status is not None else None
    return Evidence(
        before=before,
        after=after or before,
        memory=process.memory if process is not None else None,
        status=status,
        status_before=collector.first_status,
        findings=collector.part("findings of the rules", TASKS_FINDINGS, Findings),
        orphans=collector.part("orphans", ORPHANS, Orphans, limit=ORPHANS_LIMIT, spread=True),
        feeds=feeds.feeds if feeds is not None else [],
        slow=slow.subscribers if slow is not None else [],
        vanished=vanished.subscribers if vanished is not None else [],
        samples=samples,
        history=[point(each) for each in history.points] if history is not None else [],
        history_source="the service",
        skipped=collector.skipped(),
        command=called,
        thresholds=limits,
    )


class EvidenceCollector:
    """Requests one part after another and notes those that fail, with the reason.

    After a timeout or a lost connection it requests nothing more: each part would wait again.
    """

    def __init__(self, control: Control) -> None:
        self._control = control
        self._failed: dict[str, str] = {}
        self._notes: list[str] = []
        self._unreachable: str | None = None
        self._attached = False
        self.first_status: ServiceStatus | None = None

    def part(
        self, name: str, path: str, kind: type[AnyAnswer], **params: object
    ) -> AnyAnswer | None:
        """The answer, or None if the request fails; ``name`` is how ``skipped`` lists it."""
        if self._unreachable is not None:
            self._failed[name] = self._unreachable
            return None
        try:
            answer = self._control.get(path, kind, **params)
        except QcfeedError as error:
            if path == PROCESS and type(error) is UsageError:
                raise  # another instance has to be named: nothing of this one can be judged
            self._failed[name] = error.message
            if isinstance(error, TimedOutError | UnreachableError):
                self._unreachable = error.message
            return None
        if isinstance(answer, Findings):
            self._notes += answer.skipped
        return answer

    def status(self) -> tuple[ServiceStatus | None, ServiceStatus | ProgramStatus | None]:
        """The status of a service twice; for an attached program None and its process."""
        if not self._attached:
            try:
                status = (
                    self._control.get(STATUS, ServiceStatus) if self._unreachable is None else None
                )
            except NotFoundError:
                self._attached = True
            except QcfeedError as error:
                self._failed["status"] = self._unreachable = error.message
                return None, None
            else:
                self.first_status = self.first_status or status
                return status, status
        return None, self.part("the process", PROCESS, ProgramStatus)

    def skipped(self) -> list[str]:
        """The parts that failed, each with the reason, and what the rules could not check."""
        return [*(f"{name}: {reason}" for name, reason in self._failed.items()), *self._notes]


def sample(
    now: float, status: ServiceStatus | None, process: ServiceStatus | ProgramStatus
) -> Point:
    """A status, received at ``now``, as a point for metrics/growth.py."""
    orphans = process.totals.orphaned + (status.orphaned_subscriptions if status is not None else 0)
    return Point(
        now,
        memory=process.memory.resident_bytes,
        live=process.totals.live,
        subscriptions=None if status is None else status.subscriptions,
        orphans=orphans,
        spawned=process.totals.spawned,
    )
