"""The handlers of any program with a ledger: live tasks, tasks by location, orphans, and reaping them.

The service adds what only it knows, such as orphaned subscriptions.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from qcfeed.control import audit
from qcfeed.control.handlers import ended_tasks, stacks, task_cancel, task_details, task_snapshot
from qcfeed.control.handlers.task_details import task_filter
from qcfeed.control.routes import (
    ORPHANS,
    REAP,
    TASKS,
    TASKS_BY_LOCATION,
    Action,
    Read,
    Route,
)
from qcfeed.diagnostics import orphans, reaper, snapshot, source_lines, waits
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.long_lists import drained, spare_list
from qcfeed.diagnostics.loop_watch import LoopWatch
from qcfeed.diagnostics.orphans import OrphanTask
from qcfeed.diagnostics.scan import info_of_ref, oldest
from qcfeed.diagnostics.task_info import TaskRecord, TaskRef, to_record
from qcfeed.errors import UsageError
from qcfeed.model.orphans import Orphan, Orphans, OrphansQuery, Reaped, ReapRequest, Survivor
from qcfeed.model.tasks import (
    ByLocationQuery,
    Location,
    Task,
    Tasks,
    TasksByLocation,
    TasksQuery,
    TaskTotals,
    WaitCount,
)

PAGE = 10_000
"""The most rows in one answer: encoding more at once would hold the GIL and so stall the watched loop."""

SOURCES = 500
"""Locations whose source line is read. A file is read once, and checked for changes."""

BATCH = 5_000
LONGEST_REAP = 300.0


def routes(
    ledger: Ledger,
    watch: LoopWatch,
    *,
    grace: float = 0.0,
    further_orphans: Callable[[], list[Orphan]] | None = None,
    remove_further: Callable[[], Awaitable[int]] | None = None,
) -> list[Route]:
    """The routes TASKS, TASKS_BY_LOCATION, ORPHANS and REAP over ``ledger``, and those of the other modules.

    ``grace``: seconds after which the tasks of a closed owner count as orphans, for owners that know when
    they closed. ``further_orphans``: lists orphans that are not tasks (``serial`` is None), from any thread.
    ``remove_further``: removes them in the watched loop and returns how many there were.
    """
    views = _Views(ledger, watch, grace, further_orphans, remove_further)
    return [
        Read(TASKS, TasksQuery, views.tasks),
        Read(TASKS_BY_LOCATION, ByLocationQuery, views.by_location),
        Read(ORPHANS, OrphansQuery, views.orphans),
        Action(REAP, "orphans.reap", ReapRequest, views.reap),
        *task_details.routes(ledger),
        *task_snapshot.routes(ledger, views.by_location),
        *task_cancel.routes(ledger, watch),
        *ended_tasks.routes(ledger),
        *stacks.routes(ledger, watch),
    ]


class _Views:
    def __init__(
        self,
        ledger: Ledger,
        watch: LoopWatch,
        grace: float,
        further_orphans: Callable[[], list[Orphan]] | None,
        remove_further: Callable[[], Awaitable[int]] | None,
    ) -> None:
        self._ledger = ledger
        self._watch = watch
        self._grace = grace
        self._further_orphans = further_orphans
        self._remove_further = remove_further
        self._since = audit.timestamp()

    def tasks(self, query: TasksQuery) -> Tasks:
        """Cost: a snapshot, and 5 us per listed task; a filter takes 0.2 us per task or more."""
        _within("limit", query.limit, 0, PAGE)
        _within("offset", query.offset, 0, None)
        self._ledger.check.refresh()
        now = time.monotonic()
        totals = _totals(snapshot.by_location(self._ledger, now))
        if which := task_filter(query):
            matching = which.select(self._ledger, now)
            page = oldest(self._ledger, matching, query.limit, query.offset)
            total, found = len(matching), snapshot.listed(self._ledger, page, now)
        else:
            total = totals.live
            found = snapshot.live(self._ledger, now, query.limit, query.offset)
        rows = msgspec.convert(found, list[Task], from_attributes=True)
        return Tasks(total=total, totals=totals, tasks=rows)

    def by_location(self, query: ByLocationQuery) -> TasksByLocation:
        """Cost: a snapshot, 0.5 us per live task; a filter takes 0.2 us per task or more; waits take 1 to 2 ms from
        the sample, or 2 us per live task.
        """
        self._ledger.check.refresh()
        now = time.monotonic()
        taken = snapshot.by_location(self._ledger, now)
        rows = msgspec.convert(taken.rows, list[Location], from_attributes=True)
        if which := task_filter(query):
            rows = matching(rows, which.count(self._ledger, now))
        if query.waits or query.exact:
            _add_waits(rows, waits.by_location(self._ledger, exact=query.exact))
        if query.sources:
            _add_sources(rows)
        return TasksByLocation(totals=_totals(taken), locations=rows, since=self._since)

    def orphans(self, query: OrphansQuery) -> Orphans:
        """Cost: 0.2 us per live task, 1 us per orphan, and 5 us per listed orphan."""
        _within("limit", query.limit, 0, PAGE)
        self._ledger.check.refresh()
        now = time.monotonic()
        found, further = self._find(now), []
        if which := task_filter(query):
            found = [
                ref
                for some in self._ledger.slices(found)
                for ref in some
                if (known := info_of_ref(ref)) is not None and which.matches(known, now)
            ]
        elif self._further_orphans:
            further = self._further_orphans()
        listed = _spread(found, query.limit) if query.spread else None
        slices = self._ledger.slices(listed or oldest(self._ledger, found, query.limit))
        rows = [_row(orphans.describe(record, now)) for some in slices for record in some] + further
        rows.sort(key=lambda row: -row.age_s)
        return Orphans(
            total=len(found) + len(further),
            orphans=rows[: query.limit],
            incomplete=snapshot.incomplete(self._ledger, now),
        )

    async def reap(self, request: ReapRequest) -> Reaped:
        """Cancel the tasks that are proved to be orphaned; each is proved again just before.

        The search runs in a thread, because tens of thousands of tasks would block the loop.
        """
        _within("batch", request.batch, 1, BATCH)
        _within("timeout_s", request.timeout_s, 0, LONGEST_REAP)
        with self._watch.measure() as measured:
            with spare_list() as found:
                await asyncio.to_thread(self._find, time.monotonic(), found)
                audit.note(before={"orphaned_tasks": len(found)})
                proven = (
                    ref
                    for ref in drained(found)
                    if (known := info_of_ref(ref)) and orphans.is_orphan(known)
                )
                reaping = await reaper.cancel(
                    proven, batch=request.batch, timeout=request.timeout_s
                )
            removed = await self._remove_further() if self._remove_further else 0
            incomplete = await asyncio.to_thread(self._incomplete)
        return Reaped(
            cancelled=reaping.reaped,
            survivors=[
                Survivor(serial=s.record.serial, location=s.record.site.location, state=s.state)
                for s in reaping.survivors[:PAGE]
            ],
            failed=reaping.failed,
            already_gone=reaping.already_gone,
            subscriptions=removed,
            max_stall_ms=round(measured.longest * 1000, 3),
            incomplete=incomplete,
        )

    def _incomplete(self) -> list[str]:
        """Why there may have been more orphans. Runs in a thread, since it waits for the loop."""
        self._ledger.check.refresh()
        return snapshot.incomplete(self._ledger, time.monotonic())

    def _find(self, now: float, found: list[TaskRef] | None = None) -> list[TaskRef]:
        return orphans.refs(self._ledger, now, grace=self._grace, found=found)


def matching(rows: list[Location], counts: Mapping[tuple[str, str], int]) -> list[Location]:
    """The locations with at least one matching task, most first, with their numbers."""
    found = [row for row in rows if counts.get((row.location, row.function))]
    for row in found:
        row.matching = counts[row.location, row.function]
    return sorted(found, key=lambda row: -counts[row.location, row.function])


def _add_waits(rows: list[Location], found: dict[tuple[str, str], waits.Waits]) -> None:
    for row in rows:
        told = found.get((row.location, row.function), waits.Waits([], 0))
        row.waits = [WaitCount(state=state, count=tasks) for state, tasks in told.counts]
        row.sampled = told.sampled


def _add_sources(rows: list[Location]) -> None:
    found = source_lines.source_lines(row.location for row in rows[:SOURCES])
    for row in rows:
        row.source = found.get(row.location, "")


def _totals(taken: snapshot.TaskSnapshot) -> TaskTotals:
    return msgspec.convert(taken.totals, TaskTotals, from_attributes=True)


def _spread(refs: list[TaskRef], limit: int) -> list[TaskRecord]:
    """Some of the tasks, evenly from oldest to newest, to represent the others."""
    step = 1 + len(refs) // max(1, limit)
    found = (info_of_ref(ref) for ref in refs[::step][:limit])
    return [to_record(known) for known in found if known is not None]


def _row(orphan: OrphanTask) -> Orphan:
    symbol = getattr(orphan.owner, "symbol", None)
    sleep = waits.sleep(orphan.record())
    return Orphan(
        serial=orphan.serial,
        symbol=symbol if isinstance(symbol, str) else None,
        location=orphan.location,
        age_s=orphan.age_s,
        reason=orphan.evidence,
        owner=orphans.owner_name(orphan.owner),
        owner_gone_s=orphan.gone_s,
        sleeping_s=None if sleep is None else sleep.whole_s - sleep.left_s,
    )


def _within(name: str, value: float, least: float, most: float | None) -> None:
    if value < least or (most is not None and value > most):
        allowed = f"{least:g} or more" if most is None else f"{least:g} to {most:g}"
        raise UsageError(f"{name} is {value:g}", hint=f"give {allowed}")
