"""The handlers of any program with a ledger: live tasks, tasks by location, and those of the other modules."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from qcfeed.control.handlers import (
    ended_tasks,
    orphans,
    stacks,
    task_cancel,
    task_details,
    task_snapshot,
)
from qcfeed.control.handlers.grouping import grouped
from qcfeed.control.handlers.queries import page, task_filter, within
from qcfeed.control.live_tasks import LiveTasks
from qcfeed.control.routes import TASKS, TASKS_BY_LOCATION, ReadRoute, Route
from qcfeed.control.task_source import TaskSource
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.loop_watch import LoopWatch
from qcfeed.model.orphans import Orphan
from qcfeed.model.tasks import ByLocationQuery, Location, Tasks, TasksByLocation, TasksQuery


def routes(
    ledger: Ledger,
    watch: LoopWatch,
    *,
    grace: float = 0.0,
    further_orphans: Callable[[], list[Orphan]] | None = None,
    remove_further: Callable[[], Awaitable[int]] | None = None,
) -> list[Route]:
    """All routes about the tasks of ``ledger``.

    ``grace``: seconds after which the tasks of a closed owner count as orphans, for owners that know when
    they closed. ``further_orphans``: lists orphans that are not tasks (``serial`` is None), from any thread.
    ``remove_further``: removes them in the watched loop and returns how many there were.
    """
    source = LiveTasks(ledger)
    return [
        *task_reads(source),
        *task_snapshot.routes(ledger, source),
        *task_cancel.actions(source, watch),
        *orphans.routes(
            ledger,
            watch,
            grace=grace,
            further_orphans=further_orphans,
            remove_further=remove_further,
        ),
        *stacks.routes(ledger, watch),
    ]


def task_reads(source: TaskSource) -> list[ReadRoute[Any]]:
    """The reads that a running program answers, and a saved file too."""
    views = _TaskHandlers(source)
    return [
        ReadRoute(TASKS, TasksQuery, views.tasks),
        ReadRoute(TASKS_BY_LOCATION, ByLocationQuery, views.by_location),
        *task_details.reads(source),
        *task_snapshot.reads(source),
        *task_cancel.reads(source),
        *ended_tasks.reads(source),
    ]


class _TaskHandlers:
    def __init__(self, source: TaskSource) -> None:
        self._source = source

    def tasks(self, query: TasksQuery) -> Tasks:
        """Cost: a snapshot, and 5 us per listed task; a filter takes 0.2 us per task or more."""
        within("offset", query.offset, 0)
        limit, which = page(query.limit), task_filter(query)
        totals = self._source.by_location().totals
        total, found = self._source.oldest(which, limit, query.offset)
        return Tasks(
            total=total if which else totals.live, totals=totals, tasks=self._source.rows(found)
        )

    def by_location(self, query: ByLocationQuery) -> TasksByLocation:
        """Cost: a snapshot, 0.5 us per live task; a filter takes 0.2 us per task or more; waits take 1 to 2 ms from
        the sample, or 2 us per live task.
        """
        which = task_filter(query)
        answer = self._source.by_location()
        if which:
            answer.locations = _matching(answer.locations, self._source.count(which))
        self._source.describe(answer.locations, query)
        answer.locations = grouped(answer.locations, query.by)
        return answer


def _matching(rows: list[Location], counts: Mapping[tuple[str, str], int]) -> list[Location]:
    """The locations with at least one matching task, most first, with their numbers."""
    found = [row for row in rows if counts.get((row.location, row.function))]
    for row in found:
        row.matching = counts[row.location, row.function]
    return sorted(found, key=lambda row: -counts[row.location, row.function])
