"""The handlers that cancel tasks: first the plan, then exactly what was planned.

A serial is never reused, so an old one matches nothing. Tasks that match a filter are spared if the
program depends on them: the main task and those of the control plane. Named by serial they are cancelled
like any other.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from qcfeed.control import audit
from qcfeed.control.handlers.one_task import frames
from qcfeed.control.handlers.task_details import PAGE, task_filter
from qcfeed.control.routes import TASKS_CANCEL, TASKS_CANCEL_PLAN, Action, Read, Route
from qcfeed.diagnostics import awaiters, reaper, snapshot, stacks
from qcfeed.diagnostics.filters import Filter
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.long_lists import drained
from qcfeed.diagnostics.loop_watch import LoopWatch
from qcfeed.diagnostics.scan import info_of_ref, oldest
from qcfeed.diagnostics.site import short_path
from qcfeed.diagnostics.task_info import TaskInfo, TaskRef, task_of
from qcfeed.errors import UsageError
from qcfeed.model.task_details import (
    CancelledTasks,
    CancelPlan,
    CancelPlanQuery,
    CancelTasksRequest,
    PlannedLocation,
    Spared,
    SurvivorDetails,
)
from qcfeed.model.tasks import Task

BATCH = 5_000
LONGEST = 300.0
SERIALS = 10_000
"""Serials in one request."""
STACKS = 20
"""Survivors that are listed with their stack; at most PAGE are listed."""

_OURS = short_path(str(Path(__file__).parents[1])) + "/"


def routes(ledger: Ledger, watch: LoopWatch) -> list[Route]:
    """The routes TASKS_CANCEL_PLAN and TASKS_CANCEL over ``ledger``."""
    views = _Views(ledger, watch)
    return [
        Read(TASKS_CANCEL_PLAN, CancelPlanQuery, views.plan),
        Action(TASKS_CANCEL, "tasks.cancel", CancelTasksRequest, views.cancel),
    ]


class _Choice(msgspec.Struct):
    """The selected tasks at one moment. ``up_to``: the highest serial among them."""

    refs: list[TaskRef] = []
    spared: list[Spared] = []
    gone: list[int] = []
    locations: Counter[str] = msgspec.field(default_factory=Counter)
    up_to: int = 0

    def add(self, ref: TaskRef, known: TaskInfo) -> None:
        self.refs.append(ref)
        self.locations[known.site.location] += 1
        self.up_to = max(self.up_to, known.serial)


class _Views:
    def __init__(self, ledger: Ledger, watch: LoopWatch) -> None:
        self._ledger = ledger
        self._watch = watch

    def plan(self, query: CancelPlanQuery) -> CancelPlan:
        """Cost: that of the filter, 1 us per matching task, and 5 us per listed task."""
        chosen = self._choose(serials(query.serials), task_filter(query))
        page = oldest(self._ledger, chosen.refs, min(max(query.limit, 0), PAGE))
        listed = snapshot.listed(self._ledger, page, time.monotonic())
        return CancelPlan(
            total=len(chosen.refs),
            up_to=chosen.up_to,
            locations=[
                PlannedLocation(location=at, count=n) for at, n in chosen.locations.most_common()
            ],
            tasks=msgspec.convert(listed, list[Task], from_attributes=True),
            spared=chosen.spared[:PAGE],
            gone_serials=chosen.gone,
        )

    async def cancel(self, request: CancelTasksRequest) -> CancelledTasks:
        """Tasks are selected in a thread: examining many of them would block the loop."""
        _check(request)
        with self._watch.measure() as measured:
            chosen = await asyncio.to_thread(
                self._choose, request.serials, task_filter(request), request.up_to
            )
            audit.note(before={"chosen_tasks": len(chosen.refs)})
            ending = await reaper.cancel(
                drained(chosen.refs), batch=request.batch, timeout=request.timeout_s
            )
        return CancelledTasks(
            cancelled=ending.reaped,
            failed=ending.failed,
            already_gone=ending.already_gone + len(chosen.gone),
            survived=len(ending.survivors),
            survivors=[_surviving(s, n < STACKS) for n, s in enumerate(ending.survivors[:PAGE])],
            spared=chosen.spared[:PAGE],
            max_stall_ms=round(measured.longest * 1000, 3),
        )

    def _choose(self, named: Sequence[int], which: Filter, up_to: int | None = None) -> _Choice:
        if bool(named) == bool(which):
            raise UsageError(
                "name the tasks to cancel: by serial or by a filter, not both",
                hint="`qcfeed tasks` lists them; `--site FILE:LINE` selects all tasks of one location",
            )
        if named:
            return self._named(named)
        chosen = _Choice()
        for some in self._ledger.slices(which.select(self._ledger, time.monotonic())):
            for ref in some:
                known = info_of_ref(ref)
                if known is None or (up_to is not None and known.serial > up_to):
                    continue
                if why := _needed(known):
                    spared = Spared(serial=known.serial, location=known.site.location, why=why)
                    chosen.spared.append(spared)
                else:
                    chosen.add(ref, known)
        chosen.spared.sort(key=lambda spared: spared.serial)
        return chosen

    def _named(self, named: Sequence[int]) -> _Choice:
        found = self._ledger.find_all(named)
        chosen = _Choice(gone=sorted(set(named) - found.keys()))
        for _, record in sorted(found.items()):
            chosen.add(record, record)
        return chosen


def why_spared(location: str, is_main: bool) -> str:
    """Why the program depends on a task; empty if it does not."""
    if location.startswith(_OURS):
        return "it is the control plane's"
    return "the loop runs for it" if is_main else ""


def _needed(known: TaskInfo) -> str:
    task = task_of(known)
    return why_spared(known.site.location, task is not None and awaiters.is_main(task))


def _surviving(survivor: reaper.Survivor, with_stack: bool) -> SurvivorDetails:
    record = survivor.record
    task = record()
    return SurvivorDetails(
        serial=record.serial,
        location=record.site.location,
        state=survivor.state,
        cancelling=0 if task is None else task.cancelling(),
        stack=frames(stacks.task_stack(task)) if with_stack and task is not None else [],
    )


def serials(text: str) -> list[int]:
    """The serials of a CancelPlanQuery. Raises UsageError for anything that is not a number."""
    try:
        return [int(each) for each in text.split(",") if each]
    except ValueError as error:
        raise UsageError(
            f"{text!r} are not serial numbers", hint="`qcfeed tasks -o name` prints them"
        ) from error


def _check(request: CancelTasksRequest) -> None:
    for name, value, least, most in (
        ("batch", request.batch, 1, BATCH),
        ("timeout_s", request.timeout_s, 0, LONGEST),
        ("number of serials", len(request.serials), 0, SERIALS),
    ):
        if not least <= value <= most:
            raise UsageError(f"{name} is {value:g}", hint=f"give {least:g} to {most:g}")
