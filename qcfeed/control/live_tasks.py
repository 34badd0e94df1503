"""The tasks of the running program, read from its ledger, from any thread."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping

import msgspec

from qcfeed import rfc3339
from qcfeed.control.one_task import add_cancels, add_stacks, describe, details, frames
from qcfeed.control.task_source import Candidate
from qcfeed.diagnostics import (
    awaiters,
    by_object,
    calls,
    failures,
    filters,
    orphans,
    profile,
    snapshot,
    source_lines,
    task_groups,
    waits,
)
from qcfeed.diagnostics.ended_task import EndedTaskInfo, TaskOutcome
from qcfeed.diagnostics.filters import Filter, LabelRow
from qcfeed.diagnostics.ledger import Ledger, last_serial
from qcfeed.diagnostics.object_holders import Holder
from qcfeed.diagnostics.object_rows import ObjectRow
from qcfeed.diagnostics.scan import LiveTaskScan, Oldest, info_of_ref, oldest
from qcfeed.diagnostics.site import Site
from qcfeed.diagnostics.task_info import TaskRecord, TaskRef, info_of, task_of
from qcfeed.errors import NotFoundError, not_found
from qcfeed.model.ended_tasks import (
    EndedTask,
    RaisedException,
    TaskFailure,
    TaskFailures,
    TasksEnded,
)
from qcfeed.model.task_details import TaskDetails, TreeTask
from qcfeed.model.task_objects import ObjectHolder, TasksByObject, WaitedObject
from qcfeed.model.tasks import (
    ByLocationQuery,
    GroupedTasks,
    Location,
    Task,
    TasksByLocation,
    TaskTotals,
    WaitCount,
)

SOURCES = 500
"""Locations whose source line is read. A file is read once, and checked for changes."""


class LiveTasks:
    """The TaskSource of a program with a ledger; its handles are records of tasks."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._since = rfc3339.now()

    def by_location(self) -> TasksByLocation:
        self._ledger.check.refresh()
        taken = snapshot.by_location(self._ledger, time.monotonic())
        return TasksByLocation(
            totals=msgspec.convert(taken.totals, TaskTotals, from_attributes=True),
            locations=msgspec.convert(taken.rows, list[Location], from_attributes=True),
            since=self._since,
            earlier=msgspec.convert(
                task_groups.earlier(self._ledger), list[GroupedTasks], from_attributes=True
            ),
        )

    def describe(self, rows: list[Location], query: ByLocationQuery) -> None:
        if query.waits or query.exact:
            _add_waits(rows, waits.by_location(self._ledger, exact=query.exact))
        if query.sources:
            _add_sources(rows)

    def count(self, which: Filter) -> Mapping[tuple[str, str], int]:
        return which.count(self._ledger, time.monotonic())

    def by_label(self, key: str, which: Filter) -> list[LabelRow]:
        return filters.by_label(self._ledger, key, which, time.monotonic())

    def by_object(self, which: Filter, limit: int, *, exact: bool) -> TasksByObject:
        now = time.monotonic()
        found = by_object.by_object(
            self._ledger, which, now, limit=min(limit, by_object.MAX_ROWS), exact=exact
        )
        return TasksByObject(
            total=found.total,
            live=found.live,
            sampled=found.sampled,
            searched=found.searched,
            searchable=found.searchable,
            untracked=found.untracked,
            objects=list(map(_waited_object, found.rows)),
            since=self._since,
        )

    def oldest(self, which: Filter, limit: int, offset: int = 0) -> tuple[int, list[TaskRecord]]:
        if which:
            refs = which.select(self._ledger, time.monotonic())
            return len(refs), oldest(self._ledger, refs, limit, offset)
        scan, found = LiveTaskScan(self._ledger), Oldest(limit + offset)
        for _, some in scan:
            found.add(some)
        return scan.live, found.records()[offset:]

    def find(self, serials: Collection[int]) -> Mapping[int, TaskRecord]:
        return self._ledger.find_all(serials)

    def rows(self, handles: list[TaskRecord]) -> list[Task]:
        listed = snapshot.listed(self._ledger, handles, time.monotonic())
        return msgspec.convert(listed, list[Task], from_attributes=True)

    def branches(self, handles: list[TaskRecord]) -> list[TreeTask]:
        now = time.monotonic()
        return [
            _branch(self._ledger, record, now)
            for some in self._ledger.turns.slices(handles)
            for record in some
        ]

    def details(self, serial: int) -> TaskDetails:
        record = self._ledger.find(serial)
        if record is None or record() is None:
            raise _no_task(serial)
        now = time.monotonic()
        (row,) = snapshot.listed(self._ledger, [record], now)
        saved = describe(self._ledger, record, row, now)
        add_stacks(saved, record)
        if self._ledger.spawn_stacks and saved.spawn_stack is msgspec.UNSET:
            saved.spawn_stack = []
        parent = None if record.parent is None else self._ledger.find(record.parent)
        return details(
            saved,
            None if parent is None else self.rows([parent])[0],
            self._children(serial),
        )

    def candidates(self, serials: Collection[int], which: Filter) -> Iterator[Candidate]:
        if serials:
            refs: list[TaskRef] = [*self._ledger.find_all(serials).values()]
        else:
            refs = which.select(self._ledger, time.monotonic())
        for some in self._ledger.turns.slices(refs):
            yield from filter(None, map(_candidate, some))

    def profile(self, which: Filter, *, exact: bool) -> profile.Profile:
        return profile.take(self._ledger, which, time.monotonic(), exact=exact)

    def ended(self, which: Filter, outcome: TaskOutcome | None, limit: int) -> TasksEnded:
        self._ledger.settle()
        now = time.monotonic()
        kept: list[tuple[Site, EndedTaskInfo]] = []
        total = 0
        for site in self._sites(which):
            counts = site.counts()[0]._asdict()
            total += sum(counts.values()) if outcome is None else counts[outcome]
            gone = site.recently_ended()
            kept += [(site, each) for each in gone if outcome in (None, each.outcome)]
        kept.sort(key=lambda pair: -pair[1].ended_at)
        rows = [
            _ended(*pair, now) for some in self._ledger.turns.slices(kept[:limit]) for pair in some
        ]
        return TasksEnded(total=total, kept=len(kept), tasks=rows)

    def failures(self, which: Filter, limit: int) -> TaskFailures:
        self._ledger.settle()
        now = time.monotonic()
        sites = set(self._sites(which))
        groups = [each for each in self._ledger.failures.groups() if each.site in sites]
        return TaskFailures(
            kinds=len(groups),
            dropped_failures=self._ledger.failures.dropped,
            failures=[_failure(group, now) for group in groups[:limit]],
        )

    def _sites(self, which: Filter) -> list[Site]:
        return [each for each in self._ledger.sites() if which.matches_site(each)]

    def _children(self, serial: int) -> int:
        return sum(
            known.parent == serial for _, some in LiveTaskScan(self._ledger) for known in some
        )


def _candidate(ref: TaskRef) -> Candidate | None:
    known = info_of_ref(ref)
    if known is None:
        return None
    task = task_of(known)
    main = task is not None and awaiters.is_main(task)
    return Candidate(ref, known.serial, known.site.location, main)


def _add_waits(rows: list[Location], found: dict[tuple[str, str], waits.Waits]) -> None:
    for row in rows:
        seen = found.get((row.location, row.function), waits.Waits([], 0))
        row.waits = [WaitCount(state=state, count=tasks) for state, tasks in seen.counts]
        row.sampled = seen.sampled


def _add_sources(rows: list[Location]) -> None:
    found = source_lines.source_lines(row.location for row in rows[:SOURCES])
    for row in rows:
        row.source = found.get(row.location, "")


def _waited_object(row: ObjectRow) -> WaitedObject:
    waited = row.object
    return WaitedObject(
        kind=waited.kind,
        label=waited.label,
        object_number=waited.number,
        name=waited.name,
        state=waited.state,
        task_count=row.tasks,
        object_count=row.objects,
        waiters=row.waiters,
        at=waited.at,
        spawn_locations=row.locations,
        holder=row.holder,
        holders=list(map(_holder, waited.holders)),
        holder_count=waited.holder_count,
        path=list(map(_holder, row.path.holders)),
        deadlock=row.path.deadlock,
    )


def _holder(holder: Holder) -> ObjectHolder:
    return ObjectHolder(
        how=holder.how,
        label=holder.label,
        serial=holder.serial,
        name=holder.name,
        coroutine=holder.coroutine,
        location=holder.location,
        state=holder.waits,
        waits_for=holder.waits_for,
    )


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


def _ended(site: Site, task: EndedTaskInfo, now: float) -> EndedTask:
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


def _failure(group: failures.FailureGroup, now: float) -> TaskFailure:
    return TaskFailure(
        location=group.site.location,
        function=group.site.function,
        count=group.count,
        first_s=max(0.0, now - group.first),
        last_s=max(0.0, now - group.last),
        last_serial=group.serial,
        raised=[
            RaisedException(
                error=each.error,
                stack=frames(calls.of_lines(each.calls)),
                dropped_frames=each.dropped_frames,
            )
            for each in group.raised
        ],
    )


def _no_task(serial: int) -> NotFoundError:
    """Says whether the task has ended, or no task has had that number."""
    if serial > (last := last_serial()):
        fate = f"no task has had this number: the last one is {last}"
    else:
        fate = "it has ended, and serials are not reused: `qcfeed tasks ended` lists the latest"
    return not_found("live task", serial, hint=f"{fate}; `qcfeed tasks` lists live tasks")
