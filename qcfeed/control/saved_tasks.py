"""The tasks of a file that ``tasks --save`` wrote.

Such a file is limited (model/saved_tasks.py): answers about single tasks cover the saved tasks, while
counts by location cover all tasks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec

from qcfeed.control.handlers.tasks import task_reads
from qcfeed.control.one_task import details, plain
from qcfeed.control.routes import TASKS_FINDINGS, NoQuery, ReadRoute
from qcfeed.control.task_source import Candidate
from qcfeed.diagnostics import profile
from qcfeed.diagnostics.ended_task import TaskOutcome
from qcfeed.diagnostics.filters import Filter, LabelRow, most_tasks_first
from qcfeed.errors import UsageError, not_found
from qcfeed.model.answer import Answer
from qcfeed.model.ended_tasks import TaskFailures, TasksEnded
from qcfeed.model.findings import Findings
from qcfeed.model.saved_tasks import SavedSnapshot, SavedTask
from qcfeed.model.task_details import TaskDetails, TreeTask
from qcfeed.model.task_objects import TasksByObject
from qcfeed.model.tasks import ByLocationQuery, Location, Task, TasksByLocation


def answer(snapshot: SavedSnapshot, path: str, **params: Any) -> Answer:
    """The answer of the service at that time, with its name and that time.

    Raises UsageError for what the file does not contain, and NotFoundError for a task that is not in it.
    """
    source = SavedTasks(snapshot)
    reads = [*task_reads(source), ReadRoute(TASKS_FINDINGS, NoQuery, source.findings)]
    read = {each.path: each for each in reads}[path]
    given = {key: value for key, value in params.items() if value is not None}
    found: Answer = read.handle(msgspec.convert(given, read.query))
    found.pid, found.instance, found.taken_at = snapshot.pid, snapshot.instance, snapshot.taken_at
    return found


class SavedTasks:
    """The TaskSource of a saved file; its handles are the saved tasks."""

    def __init__(self, snapshot: SavedSnapshot) -> None:
        self._snapshot = snapshot
        self._by_serial = {task.serial: task for task in snapshot.tasks}

    def by_location(self) -> TasksByLocation:
        was = self._snapshot
        rows = [msgspec.structs.replace(row) for row in was.locations]
        return TasksByLocation(totals=was.totals, locations=rows, since=was.since)

    def describe(self, rows: list[Location], query: ByLocationQuery) -> None:
        if query.exact and any(row.sampled != row.live for row in rows):
            raise UsageError(
                "the file has what tasks wait on from a sample only", hint="--waits shows it"
            )
        if not (query.waits or query.exact):
            for row in rows:
                row.waits = row.sampled = msgspec.UNSET

    def count(self, which: Filter) -> Mapping[tuple[str, str], int]:
        return Counter((task.location, task.function) for task in self._select(which))

    def by_label(self, key: str, which: Filter) -> list[LabelRow]:
        found: dict[str | None, list[SavedTask]] = {}
        for task in self._select(which):
            found.setdefault(task.labels.get(key), []).append(task)
        rows = [
            LabelRow(
                value,
                live=len(tasks),
                orphaned=sum(task.owner_gone for task in tasks),
                oldest_s=max(task.age_s for task in tasks),
                locations=len({(task.location, task.function) for task in tasks}),
            )
            for value, tasks in found.items()
        ]
        return sorted(rows, key=most_tasks_first)

    def by_object(self, which: Filter, limit: int, *, exact: bool) -> TasksByObject:
        was = self._snapshot.objects_answer
        if isinstance(was, msgspec.UnsetType):
            raise UsageError("the file does not say which objects the tasks wait for")
        if which or (exact and was.sampled < was.live):
            raise UsageError(
                "the file has the objects of all tasks together, and no filter or --exact can be applied",
                hint="`qcfeed tasks --by object --from FILE`",
            )
        return msgspec.structs.replace(was, objects=was.objects[:limit])

    def oldest(self, which: Filter, limit: int, offset: int = 0) -> tuple[int, list[SavedTask]]:
        found = self._select(which)
        total = len(found) if which else self._snapshot.totals.live
        return total, found[offset : offset + limit]

    def find(self, serials: Collection[int]) -> Mapping[int, SavedTask]:
        return {serial: self._by_serial[serial] for serial in serials if serial in self._by_serial}

    def rows(self, handles: list[SavedTask]) -> list[Task]:
        return list(map(plain, handles))

    def branches(self, handles: list[SavedTask]) -> list[TreeTask]:
        return list(map(_branch, handles))

    def details(self, serial: int) -> TaskDetails:
        task = self._by_serial.get(serial)
        if task is None:
            raise not_found(
                "live task", serial, where=" in the file", hint="`qcfeed tasks` lists those in it"
            )
        parent = None if task.parent is None else self._by_serial.get(task.parent)
        answer = details(
            task,
            None if parent is None else plain(parent),
            sum(other.parent == serial for other in self._snapshot.tasks),
        )
        answer.skipped = list(self._skipped(task))
        return answer

    def candidates(self, serials: Collection[int], which: Filter) -> Iterator[Candidate]:
        for task in self.find(serials).values() if serials else self._select(which):
            yield Candidate(task, task.serial, task.location, task.main)

    def profile(self, which: Filter, *, exact: bool) -> profile.Profile:
        """The tasks whose stacks were saved represent all tasks of their locations."""
        seen = profile.Profile()
        by_location: dict[tuple[str, str], list[SavedTask]] = {}
        for task in self._select(which):
            by_location.setdefault((task.location, task.function), []).append(task)
        live = {(row.location, row.function): row.live for row in self._snapshot.locations}
        for key, tasks in by_location.items():
            stacks = [stack for task in tasks if (stack := _stack(task)) is not None]
            stand_for = len(tasks) if which else max(len(tasks), live.get(key, 0))
            seen.add(stacks, stand_for)
        if exact and seen.sampled < seen.total:
            raise UsageError(
                f"the stacks of {seen.sampled:,} of {seen.total:,} tasks were saved",
                hint="leave --exact away: the saved stacks then represent the rest",
            )
        return seen

    def ended(self, which: Filter, outcome: TaskOutcome | None, limit: int) -> TasksEnded:
        if isinstance(self._snapshot.ended_answer, msgspec.UnsetType):
            raise UsageError("the file has no ended tasks")
        kept = [
            task
            for task in self._snapshot.ended_answer.tasks
            if which.matches_location(task.location) and outcome in (None, task.outcome)
        ]
        rows = [row for row in self._snapshot.locations if which.matches_location(row.location)]
        words = list(TaskOutcome) if outcome is None else [outcome]
        total = sum(getattr(row, word) for row in rows for word in words)
        return TasksEnded(total=total, kept=len(kept), tasks=kept[:limit])

    def failures(self, which: Filter, limit: int) -> TaskFailures:
        was = self._snapshot.failures_answer
        if isinstance(was, msgspec.UnsetType):
            raise UsageError("the file has no failures of tasks")
        kept = [failure for failure in was.failures if which.matches_location(failure.location)]
        return TaskFailures(
            kinds=len(kept), dropped_failures=was.dropped_failures, failures=kept[:limit]
        )

    def findings(self, _: NoQuery) -> Findings:
        """The findings, which the file has as an answer."""
        if isinstance(self._snapshot.findings_answer, msgspec.UnsetType):
            raise UsageError("the file has no findings: the program did not look for any")
        return self._snapshot.findings_answer

    def _skipped(self, task: SavedTask) -> Iterator[str]:
        if isinstance(task.stack, msgspec.UnsetType):
            yield "its stack: only those of the oldest tasks of each location were saved"
        if self._snapshot.dropped_tasks:
            yield f"children among the {self._snapshot.dropped_tasks:,} tasks that were not saved"

    def _select(self, which: Filter) -> list[SavedTask]:
        return [
            task
            for task in self._snapshot.tasks
            if which.matches_saved(task.location, task.labels, task.age_s, task.name, task.state)
        ]


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
        tuple(profile.ProfileCall(*call) for call in spawned or [(task.location, task.function)]),
        tuple(profile.ProfileCall(call.location, call.function) for call in task.stack),
        task.kind,
    )
