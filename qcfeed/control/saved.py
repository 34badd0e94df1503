"""Answers requests about tasks from a saved snapshot, with the same answers as a service.

A snapshot is limited (saved_tasks.Snapshot): answers about single tasks cover the saved tasks, while
counts by location cover all tasks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from qcfeed.control.handlers.ended_tasks import outcome_of
from qcfeed.control.handlers.one_task import details, plain
from qcfeed.control.handlers.task_cancel import serials, why_spared
from qcfeed.control.handlers.task_details import task_filter
from qcfeed.control.handlers.task_snapshot import told
from qcfeed.control.handlers.tasks import matching
from qcfeed.control.routes import (
    TASKS,
    TASKS_BY_LABEL,
    TASKS_BY_LOCATION,
    TASKS_CANCEL_PLAN,
    TASKS_ENDED,
    TASKS_FAILURES,
    TASKS_FINDINGS,
    TASKS_PROFILE,
    TASKS_SHOW,
    TASKS_TREE,
    NoQuery,
    Read,
)
from qcfeed.diagnostics import awaiters, profile
from qcfeed.diagnostics.ended_task import Outcome
from qcfeed.diagnostics.filters import Filter
from qcfeed.errors import NotFoundError, UsageError
from qcfeed.model.answer import Answer
from qcfeed.model.ended_tasks import EndedQuery, FailuresQuery, TaskFailures, TasksEnded
from qcfeed.model.findings import Findings
from qcfeed.model.saved_tasks import ProfileQuery, SavedSnapshot, SavedTask, TasksProfile
from qcfeed.model.task_details import (
    CancelPlan,
    CancelPlanQuery,
    LabelQuery,
    LabelValue,
    PlannedLocation,
    SerialQuery,
    Spared,
    TaskDetails,
    TasksByLabel,
    TaskTree,
    TreeQuery,
    TreeTask,
)
from qcfeed.model.tasks import ByLocationQuery, Tasks, TasksByLocation, TasksQuery


class Saved:
    """A file that ``tasks --save`` wrote, with the same requests as a service.

    Requests raise UsageError for what the file does not contain, and NotFoundError for a task that is not in
    it.
    """

    def __init__(self, snapshot: SavedSnapshot) -> None:
        self.snapshot = snapshot
        reads: Sequence[Read[Any]] = (
            Read(TASKS, TasksQuery, self.tasks),
            Read(TASKS_BY_LOCATION, ByLocationQuery, self.by_location),
            Read(TASKS_BY_LABEL, LabelQuery, self.by_label),
            Read(TASKS_SHOW, SerialQuery, self.show),
            Read(TASKS_TREE, TreeQuery, self.tree),
            Read(TASKS_FINDINGS, NoQuery, self.findings),
            Read(TASKS_ENDED, EndedQuery, self.ended),
            Read(TASKS_FAILURES, FailuresQuery, self.failures),
            Read(TASKS_PROFILE, ProfileQuery, self.profile),
            Read(TASKS_CANCEL_PLAN, CancelPlanQuery, self.plan),
        )
        self._reads = {read.path: read for read in reads}

    def answer(self, path: str, **params: Any) -> Answer:
        """The answer of the service at that time, with its name and that time."""
        read = self._reads[path]
        given = {key: value for key, value in params.items() if value is not None}
        answer = read.handle(msgspec.convert(given, read.query))
        was = self.snapshot
        answer.pid, answer.instance, answer.taken_at = was.pid, was.instance, was.taken_at
        return answer

    def tasks(self, query: TasksQuery) -> Tasks:
        which = task_filter(query)
        found = self._select(which)
        return Tasks(
            total=len(found) if which else self.snapshot.totals.live,
            totals=self.snapshot.totals,
            tasks=[plain(task) for task in found[query.offset : query.offset + query.limit]],
        )

    def by_location(self, query: ByLocationQuery) -> TasksByLocation:
        was = self.snapshot
        rows = was.locations
        if query.exact and any(row.sampled != row.live for row in rows):
            raise UsageError(
                "the file has what tasks wait on from a sample only", hint="--waits shows it"
            )
        if not (query.waits or query.exact):
            unset = msgspec.UNSET
            rows = [msgspec.structs.replace(row, waits=unset, sampled=unset) for row in rows]
        if which := task_filter(query):
            found = Counter((task.location, task.function) for task in self._select(which))
            rows = matching(rows, found)
        return TasksByLocation(totals=was.totals, locations=rows, since=was.since)

    def by_label(self, query: LabelQuery) -> TasksByLabel:
        found: dict[str | None, list[SavedTask]] = {}
        for task in self._select(task_filter(query)):
            found.setdefault(task.labels.get(query.key), []).append(task)
        values = [_value(value, tasks) for value, tasks in found.items()]
        values.sort(key=lambda row: (-row.live, row.value is None, row.value or ""))
        return TasksByLabel(key=query.key, total=len(values), values=values[: query.limit])

    def show(self, query: SerialQuery) -> TaskDetails:
        task = self._find(query.serial)
        if task is None:
            raise NotFoundError(
                f"no task {query.serial} was saved", hint="`qcfeed tasks --from FILE` lists them"
            )
        parent = self._find(task.parent)
        answer = details(
            task,
            None if parent is None else plain(parent),
            sum(other.parent == task.serial for other in self.snapshot.tasks),
        )
        answer.skipped = list(self._skipped(task))
        return answer

    def tree(self, query: TreeQuery) -> TaskTree:
        which = task_filter(query)
        found = self._select(which)
        shown = found[: query.limit]
        if which:
            shown = self._with_ancestors(shown)
        tasks = [_branch(task) for task in shown]
        waits_for = {(by, task.serial) for task in tasks for by in task.awaited_by_serials}
        return TaskTree(
            total=len(found) if which else self.snapshot.totals.live,
            tasks=tasks,
            cycles=awaiters.cycles(waits_for),
        )

    def findings(self, _: NoQuery) -> Findings:
        if isinstance(self.snapshot.findings_answer, msgspec.UnsetType):
            raise UsageError("the file has no findings: the program did not look for any")
        return self.snapshot.findings_answer

    def ended(self, query: EndedQuery) -> TasksEnded:
        if isinstance(self.snapshot.ended_answer, msgspec.UnsetType):
            raise UsageError("the file has no ended tasks")
        which, outcome = Filter(site=query.site), outcome_of(query.outcome)
        kept = [
            task
            for task in self.snapshot.ended_answer.tasks
            if which.matches_location(task.location) and outcome in (None, task.outcome)
        ]
        rows = [row for row in self.snapshot.locations if which.matches_location(row.location)]
        words = list(Outcome) if outcome is None else [outcome]
        total = sum(getattr(row, word) for row in rows for word in words)
        return TasksEnded(total=total, kept=len(kept), tasks=kept[: query.limit])

    def failures(self, query: FailuresQuery) -> TaskFailures:
        if isinstance(self.snapshot.failures_answer, msgspec.UnsetType):
            raise UsageError("the file has no failures of tasks")
        which, was = Filter(site=query.site), self.snapshot.failures_answer
        kept = [failure for failure in was.failures if which.matches_location(failure.location)]
        return TaskFailures(
            kinds=len(kept), dropped_failures=was.dropped_failures, failures=kept[: query.limit]
        )

    def profile(self, query: ProfileQuery) -> TasksProfile:
        """A profile of the tasks whose stacks were saved; they represent all tasks of their locations."""
        seen = profile.Profile()
        by_location: dict[tuple[str, str], list[SavedTask]] = {}
        which = task_filter(query)
        for task in self._select(which):
            by_location.setdefault((task.location, task.function), []).append(task)
        live = {(row.location, row.function): row.live for row in self.snapshot.locations}
        for key, tasks in by_location.items():
            stacks = [stack for task in tasks if (stack := _stack(task)) is not None]
            stand_for = len(tasks) if which else max(len(tasks), live.get(key, 0))
            seen.add(stacks, stand_for)
        if query.exact and seen.sampled < seen.total:
            raise UsageError(
                f"the stacks of {seen.sampled:,} of {seen.total:,} tasks were saved",
                hint="leave --exact away: the saved stacks then represent the rest",
            )
        return told(seen)

    def plan(self, query: CancelPlanQuery) -> CancelPlan:
        """What cancelling would have done at that time. Nothing can be cancelled in a file."""
        named = serials(query.serials)
        found, gone = self._select(task_filter(query)), list[int]()
        if named:
            found = [task for task in found if task.serial in named]
            gone = sorted(set(named) - {task.serial for task in found})
        spared = [
            Spared(serial=task.serial, location=task.location, why=why)
            for task in found
            if not named and (why := why_spared(task.location, task.main))
        ]
        left_out = {each.serial for each in spared}
        chosen = [task for task in found if task.serial not in left_out]
        counts = Counter(task.location for task in chosen)
        return CancelPlan(
            total=len(chosen),
            up_to=chosen[-1].serial if chosen else 0,
            locations=[PlannedLocation(location=at, count=n) for at, n in counts.most_common()],
            tasks=[plain(task) for task in chosen[: query.limit]],
            spared=spared,
            gone_serials=gone,
        )

    def _skipped(self, task: SavedTask) -> Iterator[str]:
        if isinstance(task.stack, msgspec.UnsetType):
            yield "its stack: only those of the oldest tasks of each location were saved"
        if self.snapshot.dropped_tasks:
            yield f"children among the {self.snapshot.dropped_tasks:,} tasks that were not saved"

    def _select(self, which: Filter) -> list[SavedTask]:
        return [
            task
            for task in self.snapshot.tasks
            if which.matches_saved(task.location, task.labels, task.age_s, task.name, task.state)
        ]

    def _find(self, serial: int | None) -> SavedTask | None:
        return next((task for task in self.snapshot.tasks if task.serial == serial), None)

    def _with_ancestors(self, tasks: Iterable[SavedTask]) -> list[SavedTask]:
        everybody = {task.serial: task for task in self.snapshot.tasks}
        found: dict[int, SavedTask] = {}
        for task in tasks:
            above: SavedTask | None = task
            while above is not None and above.serial not in found:
                found[above.serial] = above
                above = None if above.parent is None else everybody.get(above.parent)
        return sorted(found.values(), key=lambda task: task.serial)


def _value(value: str | None, tasks: Sequence[SavedTask]) -> LabelValue:
    return LabelValue(
        value=value,
        live=len(tasks),
        orphaned=sum(task.owner_gone for task in tasks),
        oldest_s=max(task.age_s for task in tasks),
        location_count=len({(task.location, task.function) for task in tasks}),
    )


def _branch(task: SavedTask) -> TreeTask:
    return TreeTask(
        serial=task.serial,
        parent=task.parent,
        name=task.name,
        coroutine=task.coroutine,
        location=task.location,
        age_s=task.age_s,
        note=task.note,
        awaited_by_serials=[by.serial for by in task.awaited_by if by.serial is not None],
    )


def _stack(task: SavedTask) -> profile.Stack | None:
    if isinstance(task.stack, msgspec.UnsetType):
        return None
    spawned = [(call.location, call.function) for call in task.spawn_stack or ()]
    return profile.Stack(
        tuple(profile.Place(*call) for call in spawned or [(task.location, task.function)]),
        tuple(profile.Place(call.location, call.function) for call in task.stack),
        task.kind,
    )
