"""The handlers about orphans: list them, and cancel them.

The service adds what only it knows: orphaned subscriptions.
"""

from __future__ import annotations

import asyncio
import math
import time
from array import array
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

from qcfeed.control import audit
from qcfeed.control.handlers.queries import PAGE, page, task_filter, within
from qcfeed.control.routes import ORPHANS, REAP, ActionRoute, ReadRoute, Route
from qcfeed.diagnostics import orphans, reaper, snapshot, waits
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.long_lists import drained, spare_list
from qcfeed.diagnostics.loop_watch import LoopWatch
from qcfeed.diagnostics.orphans import OrphanTask
from qcfeed.diagnostics.scan import info_of_ref, oldest
from qcfeed.diagnostics.site import Site
from qcfeed.diagnostics.task_info import TaskRecord, TaskRef, to_record
from qcfeed.diagnostics.turns import ReaderTurns
from qcfeed.model.orphans import (
    Orphan,
    Orphans,
    OrphansQuery,
    Reaped,
    ReapedLocation,
    ReapRequest,
    Survivor,
)

BATCH = 5_000
MAX_LOCATIONS = 20
"""Locations that the result of a reap lists."""
MINUTE_S = 60.0
STOPPED_AFTER_S = 15.0
"""Seconds without a new orphan after which a leak is not said to go on."""
AT_ONCE_S = 1.0
"""Tasks created within this time of the first one are a burst, and tell no rate."""
_RATED_AT_ONCE = 1_000
"""Times of creation that are read before the loop may run: 0.1 ms."""
LONGEST_REAP = 300.0


def routes(
    ledger: Ledger,
    watch: LoopWatch,
    *,
    grace: float,
    further_orphans: Callable[[], list[Orphan]] | None,
    remove_further: Callable[[], Awaitable[int]] | None,
) -> list[Route]:
    """The routes ORPHANS and REAP over ``ledger``; for the arguments see tasks.routes."""
    views = _OrphanHandlers(ledger, watch, grace, further_orphans, remove_further)
    return [
        ReadRoute(ORPHANS, OrphansQuery, views.orphans),
        ActionRoute(REAP, "orphans.reap", ReapRequest, views.reap),
    ]


class _OrphanHandlers:
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

    def orphans(self, query: OrphansQuery) -> Orphans:
        """Cost: 0.5 us per live task, 1 us per orphan, and 5 us per listed orphan."""
        page(query.limit)
        self._ledger.check.refresh()
        now = time.monotonic()
        found, further = self._find(now), []
        if which := task_filter(query):
            found = [
                ref
                for some in self._ledger.turns.slices(found)
                for ref in some
                if (known := info_of_ref(ref)) is not None and which.matches(known, now)
            ]
        elif self._further_orphans:
            further = self._further_orphans()
        listed = _spread(found, query.limit) if query.spread else None
        slices = self._ledger.turns.slices(listed or oldest(self._ledger, found, query.limit))
        rows = [_row(orphans.describe(record, now)) for some in slices for record in some] + further
        rows.sort(key=lambda row: -(row.age_s or 0.0))
        return Orphans(
            total=len(found) + len(further),
            untracked=snapshot.untracked(self._ledger),
            orphans=rows[: query.limit],
            incomplete=snapshot.incomplete(self._ledger, now),
        )

    async def reap(self, request: ReapRequest) -> Reaped:
        """Cancel the tasks that are proved to be orphaned; each is proved again just before.

        The search runs in a thread, because tens of thousands of tasks would block the loop.
        """
        within("batch", request.batch, 1, BATCH)
        within("timeout_s", request.timeout_s, 0, LONGEST_REAP)
        with self._watch.measure() as measured:
            with spare_list() as found:
                await asyncio.to_thread(self._find, time.monotonic(), found)
                audit.note(before={"orphaned_tasks": len(found)})
                proven = _Proven(drained(found))
                reaping = await reaper.cancel(
                    iter(proven), batch=request.batch, timeout=request.timeout_s
                )
            removed = await self._remove_further() if self._remove_further else 0
            incomplete, locations = await asyncio.to_thread(self._conclude, proven)
        return Reaped(
            cancelled=reaping.reaped,
            survivors=[
                Survivor(serial=s.record.serial, location=s.record.site.location, state=s.state)
                for s in reaping.survivors[:PAGE]
            ],
            locations=locations,
            failed=reaping.failed,
            already_gone=reaping.already_gone,
            subscriptions=removed,
            max_stall_ms=round(measured.longest * 1000, 3),
            incomplete=incomplete,
        )

    def _conclude(self, proven: _Proven) -> tuple[list[str], list[ReapedLocation]]:
        """Why there may have been more orphans, and where the cancelled ones were created.

        Runs in a thread: it waits for the loop, and reads a time of creation per cancelled task.
        """
        self._ledger.check.refresh()
        incomplete = snapshot.incomplete(self._ledger, time.monotonic())
        return incomplete, proven.locations(self._ledger.turns)

    def _find(self, now: float, found: list[TaskRef] | None = None) -> list[TaskRef]:
        return orphans.refs(self._ledger, now, grace=self._grace, found=found)


class _Proven:
    """The orphans among some tasks, proved one by one just before each is cancelled, and counted by
    location. Cost: 0.4 us each in the loop."""

    def __init__(self, refs: Iterable[TaskRef]) -> None:
        self._refs = refs
        self._created: dict[Site, array[float]] = {}
        self._now = time.monotonic()

    def __iter__(self) -> Iterator[TaskRef]:
        for ref in self._refs:
            known = info_of_ref(ref)
            if known is not None and orphans.is_orphan(known):
                self._created.setdefault(known.site, array("d")).append(known.created_at)
                del known  # the task is to be freed as soon as it has ended
                yield ref

    def locations(self, turns: ReaderTurns) -> list[ReapedLocation]:
        """Where they were created, most first. Cost: 0.1 us per task, in slices that let the loop run."""
        found = [
            ReapedLocation(
                location=site.location,
                cancelled=len(created),
                per_minute=per_minute(created, self._now, turns),
            )
            for site, created in self._created.items()
        ]
        return sorted(found, key=lambda each: -each.cancelled)[:MAX_LOCATIONS]


def per_minute(created: Sequence[float], now: float, turns: ReaderTurns) -> float:
    """How many tasks were created per minute lately; 0 if that has stopped, or if they were all created at once.

    ``created``: by ``time.monotonic()``, as ``now``.
    """
    since, first, last = now - MINUTE_S, math.inf, -math.inf
    for some in turns.slices(created, _RATED_AT_ONCE):
        recent = [each for each in some if each >= since]
        first, last = min([first, *recent]), max([last, *recent])
    if now - last > STOPPED_AFTER_S or last <= first:
        return 0.0
    later = sum(
        sum(each > first + AT_ONCE_S for each in some)
        for some in turns.slices(created, _RATED_AT_ONCE)
    )
    return later * MINUTE_S / (last - first)


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
