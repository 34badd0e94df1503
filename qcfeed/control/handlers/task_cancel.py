"""The handlers that cancel tasks: first the plan, then exactly what was planned.

A serial is never reused, so an old one matches nothing. Tasks that match a filter are spared if the
program depends on them: the main task and those of the control plane. Named by serial they are cancelled
like any other.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from qcfeed.control import audit
from qcfeed.control.handlers.queries import PAGE, serials_of, task_filter, within
from qcfeed.control.one_task import frames
from qcfeed.control.routes import TASKS_CANCEL, TASKS_CANCEL_PLAN, ActionRoute, ReadRoute
from qcfeed.control.task_source import Candidate, TaskSource
from qcfeed.diagnostics import reaper, stacks
from qcfeed.diagnostics.filters import Filter
from qcfeed.diagnostics.long_lists import drained
from qcfeed.diagnostics.loop_watch import LoopWatch
from qcfeed.diagnostics.site import short_path
from qcfeed.errors import UsageError
from qcfeed.model.task_details import (
    CancelledTasks,
    CancelPlan,
    CancelPlanQuery,
    CancelTasksRequest,
    PlannedLocation,
    SparedTask,
    SurvivorDetails,
)

BATCH = 5_000
LONGEST = 300.0
SERIALS = 10_000
"""Serials in one request."""
STACKS = 20
"""Survivors that are listed with their stack; at most PAGE are listed."""

CONTROL_PLANE = short_path(str(Path(__file__).parents[1])) + "/"


def reads(source: TaskSource) -> list[ReadRoute[Any]]:
    """The route TASKS_CANCEL_PLAN over ``source``: what cancelling would do; in a file, what it would have done."""

    def plan(query: CancelPlanQuery) -> CancelPlan:
        """Cost: that of the filter, 1 us per matching task, and 5 us per listed task."""
        chosen = _choose(source, serials_of(query.serials), task_filter(query))
        first = heapq.nsmallest(min(max(query.limit, 0), PAGE), chosen.serials)
        listed = source.find(first)
        return CancelPlan(
            total=len(chosen.serials),
            up_to=max(chosen.serials, default=0),
            locations=[
                PlannedLocation(location=at, count=n) for at, n in chosen.locations.most_common()
            ],
            tasks=source.rows([listed[serial] for serial in first if serial in listed]),
            spared=chosen.spared[:PAGE],
            gone_serials=chosen.gone,
            vital=chosen.vital[:PAGE],
        )

    return [ReadRoute(TASKS_CANCEL_PLAN, CancelPlanQuery, plan)]


def actions(source: TaskSource, watch: LoopWatch) -> list[ActionRoute[Any]]:
    """The route TASKS_CANCEL over the live tasks."""
    return [
        ActionRoute(
            TASKS_CANCEL, "tasks.cancel", CancelTasksRequest, _Canceller(source, watch).cancel
        )
    ]


class _Choice(msgspec.Struct):
    """The selected tasks at one moment.

    ``gone``: serials without a live task. ``vital``: tasks that were named, although the program depends on them.
    """

    handles: list[Any] = []
    serials: list[int] = []
    spared: list[SparedTask] = []
    vital: list[SparedTask] = []
    gone: list[int] = []
    locations: Counter[str] = msgspec.field(default_factory=Counter)


class _Canceller:
    def __init__(self, source: TaskSource, watch: LoopWatch) -> None:
        self._source = source
        self._watch = watch

    async def cancel(self, request: CancelTasksRequest) -> CancelledTasks:
        """Tasks are selected in a thread: examining many of them would block the loop."""
        _check(request)
        with self._watch.measure() as measured:
            chosen = await asyncio.to_thread(
                _choose, self._source, request.serials, task_filter(request), request.up_to
            )
            audit.note(before={"chosen_tasks": len(chosen.handles)})
            ending = await reaper.cancel(
                drained(chosen.handles), batch=request.batch, timeout=request.timeout_s
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


def _choose(
    source: TaskSource, serials: Sequence[int], which: Filter, up_to: int | None = None
) -> _Choice:
    if bool(serials) == bool(which):
        raise UsageError(
            "name the tasks to cancel: by serial or by a filter, not both",
            hint="`qcfeed tasks` lists them; `--site FILE:LINE` selects all tasks of one location",
        )
    chosen = _Choice()
    for each in source.candidates(serials, which):
        if not serials and up_to is not None and each.serial > up_to:
            continue
        if why := _why_spared(each):
            spared = SparedTask(serial=each.serial, location=each.location, why=why)
            if not serials:
                chosen.spared.append(spared)
                continue
            chosen.vital.append(spared)
        chosen.handles.append(each.handle)
        chosen.serials.append(each.serial)
        chosen.locations[each.location] += 1
    chosen.spared.sort(key=lambda spared: spared.serial)
    chosen.gone = sorted(set(serials).difference(chosen.serials))
    return chosen


def _why_spared(task: Candidate) -> str:
    """Why the program depends on a task; empty if it does not."""
    if task.location.startswith(CONTROL_PLANE):
        return "it is the control plane's"
    return "it is the main task, and the program ends with it" if task.main else ""


def _surviving(survivor: reaper.SurvivingTask, with_stack: bool) -> SurvivorDetails:
    record = survivor.record
    task = record()
    return SurvivorDetails(
        serial=record.serial,
        location=record.site.location,
        state=survivor.state,
        cancelling=0 if task is None else task.cancelling(),
        stack=frames(stacks.task_stack(task)) if with_stack and task is not None else [],
    )


def _check(request: CancelTasksRequest) -> None:
    within("batch", request.batch, 1, BATCH)
    within("timeout_s", request.timeout_s, 0, LONGEST)
    within("number of serials", len(request.serials), 0, SERIALS)
