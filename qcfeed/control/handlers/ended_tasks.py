"""The handlers about tasks that have ended: the last ones, and failures with their tracebacks."""

from __future__ import annotations

from typing import Any

from qcfeed.control.handlers.queries import outcome_of, page
from qcfeed.control.routes import TASKS_ENDED, TASKS_FAILURES, ReadRoute
from qcfeed.control.task_source import TaskSource
from qcfeed.diagnostics.filters import Filter
from qcfeed.model.ended_tasks import EndedQuery, FailuresQuery, TaskFailures, TasksEnded


def reads(source: TaskSource) -> list[ReadRoute[Any]]:
    """The routes TASKS_ENDED and TASKS_FAILURES over ``source``."""

    def ended(query: EndedQuery) -> TasksEnded:
        """Cost: 0.3 us per live task, to record those that have ended, and 5 us per listed task."""
        return source.ended(Filter(site=query.site), outcome_of(query.outcome), page(query.limit))

    def failures(query: FailuresQuery) -> TaskFailures:
        """Cost: as ``ended``, and 5 us per call in the listed tracebacks."""
        return source.failures(Filter(site=query.site), page(query.limit))

    return [
        ReadRoute(TASKS_ENDED, EndedQuery, ended),
        ReadRoute(TASKS_FAILURES, FailuresQuery, failures),
    ]
