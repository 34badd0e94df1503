"""The handlers about details: one task in full, the tree of tasks, and counts by label."""

from __future__ import annotations

import time

import msgspec

from qcfeed.control.handlers.one_task import add_stacks, describe, details
from qcfeed.control.routes import TASKS_BY_LABEL, TASKS_SHOW, TASKS_TREE, Read, Route
from qcfeed.diagnostics import awaiters, filters, orphans, snapshot
from qcfeed.diagnostics.filters import Filter
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.scan import LiveTaskScan, oldest
from qcfeed.diagnostics.task_info import TaskRecord, info_of
from qcfeed.errors import NotFoundError, UsageError
from qcfeed.model.task_details import (
    LabelQuery,
    LabelValue,
    SerialQuery,
    TaskDetails,
    TasksByLabel,
    TaskTree,
    TreeQuery,
    TreeTask,
)
from qcfeed.model.tasks import Task, TaskFilter

PAGE = 10_000
"""The most rows in one answer."""


def routes(ledger: Ledger) -> list[Route]:
    """The routes TASKS_BY_LABEL, TASKS_SHOW and TASKS_TREE over ``ledger``."""
    views = _Views(ledger)
    return [
        Read(TASKS_BY_LABEL, LabelQuery, views.by_label),
        Read(TASKS_SHOW, SerialQuery, views.show),
        Read(TASKS_TREE, TreeQuery, views.tree),
    ]


def task_filter(query: TaskFilter) -> Filter:
    """The filter of a query. Raises UsageError for one that cannot match anything."""
    if query.older_than_s < 0:
        raise UsageError(f"older_than_s is {query.older_than_s:g}", hint="give 0 or more")
    labels: dict[str, str | None] = {}
    for line in query.label.splitlines():
        key, given, value = line.partition("=")
        if not key:
            raise UsageError(
                f"{line!r} is not a label", hint="give KEY=VALUE, or KEY for any value"
            )
        labels[key] = value if given else None
    return Filter(
        site=query.site,
        labels=labels,
        older_than=query.older_than_s,
        name=query.name,
        waiting_on=query.waiting_on,
    )


class _Views:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def by_label(self, query: LabelQuery) -> TasksByLabel:
        """Cost: 0.7 us per live task, and that of the filter."""
        limit = page(query.limit)
        rows = filters.by_label(self._ledger, query.key, task_filter(query), time.monotonic())
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

    def show(self, query: SerialQuery) -> TaskDetails:
        """Raises NotFoundError. Cost: 0.1 us per live task to count the children, and 50 us."""
        record = self._ledger.find(query.serial)
        task = record() if record is not None else None
        if record is None or task is None:
            raise NotFoundError(
                f"there is no live task {query.serial}",
                hint="it has ended or never existed, and serials are not reused; `qcfeed tasks` lists live tasks,"
                " `qcfeed tasks ended` those that ended last",
            )
        now = time.monotonic()
        parent = None if record.parent is None else self._ledger.find(record.parent)
        (row,) = snapshot.listed(self._ledger, [record], now)
        saved = describe(self._ledger, record, row, now)
        add_stacks(saved, record)
        if self._ledger.spawn_stacks and saved.spawn_stack is msgspec.UNSET:
            saved.spawn_stack = []
        return details(
            saved,
            None if parent is None else self._task(parent, now),
            self._children(record.serial),
        )

    def tree(self, query: TreeQuery) -> TaskTree:
        """Cost: 0.3 us per live task, and 10 us per listed task."""
        limit, which = page(query.limit), task_filter(query)
        now = time.monotonic()
        found = which.select(self._ledger, now)
        listed = oldest(self._ledger, found, limit)
        shown = self._with_ancestors(listed) if which else listed
        tasks = [
            _branch(self._ledger, each, now) for some in self._ledger.slices(shown) for each in some
        ]
        waits_for = {(by, task.serial) for task in tasks for by in task.awaited_by_serials}
        return TaskTree(total=len(found), tasks=tasks, cycles=awaiters.cycles(waits_for))

    def _task(self, record: TaskRecord, now: float) -> Task:
        (described,) = snapshot.listed(self._ledger, [record], now)
        return msgspec.convert(described, Task, from_attributes=True)

    def _children(self, serial: int) -> int:
        return sum(
            known.parent == serial for _, some in LiveTaskScan(self._ledger) for known in some
        )

    def _with_ancestors(self, records: list[TaskRecord]) -> list[TaskRecord]:
        """These tasks and their live ancestors, oldest first."""
        found = {record.serial: record for record in records}
        wanted = {record.parent for record in records}
        while missing := wanted - found.keys() - {None}:
            above = self._ledger.find_all({serial for serial in missing if serial is not None})
            found |= above
            wanted = {record.parent for record in above.values()}
        return sorted(found.values(), key=lambda record: record.serial)


def _branch(ledger: Ledger, record: TaskRecord, now: float) -> TreeTask:
    task = record()
    by = [] if task is None else [info_of(each.task, ledger) for each in awaiters.of(task)]
    return TreeTask(
        serial=record.serial,
        parent=record.parent,
        name=snapshot.name(task),
        coroutine=snapshot.coroutine(task),
        location=record.site.location,
        age_s=max(0.0, now - record.created_at),
        note="orphaned" if orphans.is_orphan(record) else "",
        awaited_by_serials=[each.serial for each in by if each is not None],
    )


def page(limit: int) -> int:
    """Check a limit and return it. Raises UsageError if it is too high."""
    if not 0 <= limit <= PAGE:
        raise UsageError(f"limit is {limit}", hint=f"give 0 to {PAGE:,}")
    return limit
