"""The handlers about tasks that have ended: the last ones, and failures with their tracebacks."""

from __future__ import annotations

import time

from qcfeed.control.handlers.one_task import add_cancels, frames
from qcfeed.control.handlers.task_details import page
from qcfeed.control.routes import TASKS_ENDED, TASKS_FAILURES, Read, Route
from qcfeed.diagnostics import calls, failures
from qcfeed.diagnostics.ended_task import EndedTaskInfo, Outcome
from qcfeed.diagnostics.filters import Filter
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.site import Site
from qcfeed.errors import UsageError
from qcfeed.model.ended_tasks import (
    EndedQuery,
    EndedTask,
    Failure,
    FailuresQuery,
    Raised,
    TaskFailures,
    TasksEnded,
)


def routes(ledger: Ledger) -> list[Route]:
    """The routes TASKS_ENDED and TASKS_FAILURES over ``ledger``."""
    views = _Views(ledger)
    return [
        Read(TASKS_ENDED, EndedQuery, views.ended),
        Read(TASKS_FAILURES, FailuresQuery, views.failures),
    ]


class _Views:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def ended(self, query: EndedQuery) -> TasksEnded:
        """Cost: 0.3 us per live task, to record those that have ended, and 5 us per listed task."""
        limit, outcome = page(query.limit), outcome_of(query.outcome)
        self._ledger.settle()
        now = time.monotonic()
        kept: list[tuple[Site, EndedTaskInfo]] = []
        total = 0
        for site in self._sites(query.site):
            counts = site.counts()[0]._asdict()
            total += sum(counts.values()) if outcome is None else counts[outcome]
            gone = site.recently_ended()
            kept += [(site, each) for each in gone if outcome in (None, each.outcome)]
        kept.sort(key=lambda pair: -pair[1].ended_at)
        rows = [_row(*pair, now) for some in self._ledger.slices(kept[:limit]) for pair in some]
        return TasksEnded(total=total, kept=len(kept), tasks=rows)

    def failures(self, query: FailuresQuery) -> TaskFailures:
        """Cost: as ``ended``, and 5 us per call in the listed tracebacks."""
        limit = page(query.limit)
        self._ledger.settle()
        now = time.monotonic()
        sites = set(self._sites(query.site))
        groups = [each for each in self._ledger.failures.groups() if each.site in sites]
        return TaskFailures(
            kinds=len(groups),
            dropped_failures=self._ledger.failures.dropped,
            failures=[_failure(group, now) for group in groups[:limit]],
        )

    def _sites(self, site: str) -> list[Site]:
        which = Filter(site=site)
        return [each for each in self._ledger.sites() if which.matches_site(each)]


def outcome_of(word: str) -> Outcome | None:
    """The outcome of that name; None for an empty name, which means all. Raises UsageError."""
    try:
        return Outcome(word) if word else None
    except ValueError as error:
        raise UsageError(
            f"{word!r} is not an outcome of a task", hint=f"give {', '.join(Outcome)}"
        ) from error


def _row(site: Site, task: EndedTaskInfo, now: float) -> EndedTask:
    row = EndedTask(
        serial=task.serial,
        name=task.name,
        location=site.location,
        outcome=str(task.outcome),
        lifetime_s=task.ended_at - task.created_at,
        ended_ago_s=max(0.0, now - task.ended_at),
        labels=dict(task.labels),
    )
    add_cancels(row, task)
    return row


def _failure(group: failures.FailureGroup, now: float) -> Failure:
    return Failure(
        location=group.site.location,
        function=group.site.function,
        count=group.count,
        first_s=max(0.0, now - group.first),
        last_s=max(0.0, now - group.last),
        last_serial=group.serial,
        raised=[
            Raised(
                error=each.error,
                stack=frames(calls.of_lines(each.calls)),
                dropped_frames=each.dropped_frames,
            )
            for each in group.raised
        ],
    )
