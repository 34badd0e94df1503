"""Requests what ``qcfeed --cluster top`` shows, of all instances. Synchronous.

Cost for each instance, per refresh: its status, its feeds, and its side of the cluster.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from qcfeed.cli.cluster.looks import Silence
from qcfeed.cli.cluster.members import Answers, Members
from qcfeed.cli.cluster.orphans import Look, look
from qcfeed.cli.cluster.views import StatusRow
from qcfeed.cli.top.observer import Away
from qcfeed.control.routes import STATUS
from qcfeed.diagnose import cluster, cluster_orphans
from qcfeed.diagnose.cluster import MemberView
from qcfeed.errors import QcfeedError, TimedOutError
from qcfeed.model.cluster_answers import ClusterFinding, ClusterOrphan, Unanswered
from qcfeed.model.status import ServiceStatus

COMPARED_S = 3.0
"""Seconds between two looks that are compared: longer than a gateway and a feeder need to agree."""
NO_ANSWER = "no answer"


class InstanceRow(NamedTuple):
    """One instance on the screen."""

    member: str
    status: ServiceStatus | None
    quotes_per_s: float | None
    orphans: int
    """Between the instances, as far as they are in this one, and within it."""

    @property
    def of_status(self) -> StatusRow:
        return StatusRow(self.member, self.status)


class ClusterSnapshot(NamedTuple):
    """The result of a refresh."""

    rows: list[InstanceRow]
    orphans: list[ClusterOrphan]
    findings: list[ClusterFinding]
    silent: list[Unanswered]
    compared: bool
    """Whether two looks have been compared: before, nothing can be called an orphan or sound."""
    took_s: float


class _TimedLook(NamedTuple):
    at: float
    statuses: list[MemberView]
    look: Look


class ClusterObserver:
    """Refreshes a snapshot of all instances. ``connect`` finds them."""

    def __init__(
        self, connect: Callable[[], Members], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._connect = connect
        self._clock = clock
        self._members: Members | None = None
        self._looks: list[_TimedLook] = []

    def refresh(self) -> ClusterSnapshot | Away:
        """Ask all instances. Returns Away instead of raising an error that they cause."""
        try:
            return self._refresh()
        except QcfeedError as error:
            self._members = None
            self._looks.clear()
            return Away(error.message, error.hint or "", isinstance(error, TimedOutError))

    def _refresh(self) -> ClusterSnapshot:
        began, silence = self._clock(), Silence()
        everyone = self._members = self._members or self._connect()
        statuses = Answers(everyone.ask(STATUS, {}), ServiceStatus)
        silence.note(statuses)
        views = [MemberView(each.member, each.answer) for each in statuses.good]
        now = _TimedLook(began, views, look(everyone, silence))
        before = self._before(now)
        self._looks.append(now)
        compared = before is not None and before is not now
        orphans, findings = self._compared(before, now) if before else ([], [])
        return ClusterSnapshot(
            rows=_rows(now, orphans, silence),
            orphans=orphans,
            findings=findings,
            silent=silence.rows,
            compared=compared,
            took_s=self._clock() - began,
        )

    def _before(self, now: _TimedLook) -> _TimedLook | None:
        """The newest look that is old enough to be compared with this one."""
        old = [each for each in self._looks if now.at - each.at >= COMPARED_S]
        if old:
            self._looks = self._looks[self._looks.index(old[-1]) :]
        return old[-1] if old else None

    def _compared(
        self, before: _TimedLook, now: _TimedLook
    ) -> tuple[list[ClusterOrphan], list[ClusterFinding]]:
        orphans = cluster_orphans.agreed(before.look.orphans, now.look.orphans)
        return orphans, cluster.findings(before.statuses, now.statuses)


def _rows(now: _TimedLook, orphans: list[ClusterOrphan], silence: Silence) -> list[InstanceRow]:
    rates = {
        each.member: sum(feed.quotes_per_s for feed in each.answer.feeds)
        for each in now.look.feeds.good
    }
    rows = [
        InstanceRow(
            each.name,
            each.status,
            rates.get(each.name),
            each.status.orphaned_tasks
            + each.status.orphaned_subscriptions
            + sum(orphan.member == each.name for orphan in orphans),
        )
        for each in now.statuses
    ]
    answered = {row.member for row in rows}
    silent = [each.member for each in silence.rows if each.member not in answered]
    return [*rows, *(InstanceRow(member, None, None, 0) for member in silent)]
