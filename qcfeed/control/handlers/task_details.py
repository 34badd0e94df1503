"""The handlers about details: one task in full, the tree of tasks, and counts by label or by object."""

from __future__ import annotations

from typing import Any

from qcfeed.control.handlers.queries import page, task_filter
from qcfeed.control.routes import TASKS_BY_LABEL, TASKS_BY_OBJECT, TASKS_SHOW, TASKS_TREE, ReadRoute
from qcfeed.control.task_source import TaskSource
from qcfeed.diagnostics import awaiters
from qcfeed.model.task_details import (
    LabelQuery,
    LabelValue,
    SerialQuery,
    TaskDetails,
    TasksByLabel,
    TaskTree,
    TreeQuery,
)
from qcfeed.model.task_objects import ObjectQuery, TasksByObject


def reads(source: TaskSource) -> list[ReadRoute[Any]]:
    """The routes TASKS_BY_LABEL, TASKS_BY_OBJECT, TASKS_SHOW and TASKS_TREE over ``source``."""
    views = _TaskDetailHandlers(source)
    return [
        ReadRoute(TASKS_BY_LABEL, LabelQuery, views.by_label),
        ReadRoute(TASKS_BY_OBJECT, ObjectQuery, views.by_object),
        ReadRoute(TASKS_SHOW, SerialQuery, views.show),
        ReadRoute(TASKS_TREE, TreeQuery, views.tree),
    ]


class _TaskDetailHandlers:
    def __init__(self, source: TaskSource) -> None:
        self._source = source

    def by_label(self, query: LabelQuery) -> TasksByLabel:
        """Cost: 0.7 us per live task, and that of the filter."""
        limit = page(query.limit)
        rows = self._source.by_label(query.key, task_filter(query))
        values = [
            LabelValue(
                value=row.value,
                live=row.live,
                orphaned=row.orphaned,
                oldest_s=row.oldest_s,
                location_count=row.locations,
            )
            for row in rows[:limit]
        ]
        return TasksByLabel(key=query.key, total=len(rows), values=values)

    def by_object(self, query: ObjectQuery) -> TasksByObject:
        """Cost: 0.3 us per live task, 40 ms for the sample or 8 us per live task, and 300 us per row; if a lock is
        waited for, 1.5 us more per live task.
        """
        return self._source.by_object(task_filter(query), page(query.limit), exact=query.exact)

    def show(self, query: SerialQuery) -> TaskDetails:
        """Raises NotFoundError. Cost: 0.1 us per live task to count the children, and 50 us."""
        return self._source.details(query.serial)

    def tree(self, query: TreeQuery) -> TaskTree:
        """Cost: 0.3 us per live task, and 10 us per listed task."""
        limit, which = page(query.limit), task_filter(query)
        total, listed = self._source.oldest(which, limit)
        tasks = self._source.branches(self._with_ancestors(listed) if which else listed)
        waits_for = {(by, task.serial) for task in tasks for by in task.awaited_by_serials}
        return TaskTree(total=total, tasks=tasks, cycles=awaiters.cycles(waits_for))

    def _with_ancestors(self, handles: list[Any]) -> list[Any]:
        """These tasks and their live ancestors, oldest first."""
        found = {task.serial: task for task in handles}
        wanted = {task.parent for task in handles}
        while missing := wanted - found.keys() - {None}:
            above = self._source.find(missing)
            found |= above
            wanted = {task.parent for task in above.values()}
        return sorted(found.values(), key=lambda task: task.serial)
