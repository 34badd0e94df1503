"""The handlers of ``qcfeed memory``: what the memory is made of, and a trace of allocations."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

from qcfeed.control.routes import MEMORY, MEMORY_TRACE, ActionRoute, NoQuery, ReadRoute, Route
from qcfeed.diagnostics import allocations, memory_report, snapshot
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.memory_report import MemoryReport, Stores
from qcfeed.diagnostics.site import short_path
from qcfeed.diagnostics.source_lines import source_lines
from qcfeed.diagnostics.task_memory import UNTRACKED
from qcfeed.errors import NeedsConfirmationError, UsageError
from qcfeed.formats import plural, size
from qcfeed.metrics import memory
from qcfeed.model.memory import (
    AllocatingLine,
    LargeObject,
    MemoryKind,
    MemoryPart,
    MemoryTrace,
    MemoryUse,
    TraceRequest,
)
from qcfeed.model.status import Memory

MAX_TRACE = 120.0
"""The longest trace, in seconds."""
MAX_LINES = 1_000
LOCATIONS = 50
"""Locations with a row of their own, those whose tasks hold most; the others share one."""


def routes(ledger: Ledger, stores: Stores | None = None) -> list[Route]:
    """The routes MEMORY and MEMORY_TRACE. ``stores``: where the program keeps data, from any thread."""
    handlers = _Handlers(ledger, stores)
    return [
        ReadRoute(MEMORY, NoQuery, handlers.look),
        ActionRoute(MEMORY_TRACE, "memory trace", TraceRequest, handlers.trace),
    ]


class _Handlers:
    def __init__(self, ledger: Ledger, stores: Stores | None) -> None:
        self._ledger = ledger
        self._stores = stores
        self._one = threading.Lock()

    def look(self, _: NoQuery) -> MemoryUse:
        """Cost: that of memory_report.take, at most three seconds in slices; one look at a time."""
        with self._one:
            report = memory_report.take(self._ledger, self._stores)
        parts = list(_parts(report))
        return MemoryUse(
            memory=_memory(),
            explained_bytes=sum(part.bytes for part in parts),
            live_tasks=sum(row.live for row in report.tasks),
            parts=parts,
            largest=[
                LargeObject(
                    reached_by=each.path, type=each.type, items=each.items, bytes=int(each.bytes)
                )
                for each in report.largest
            ],
            unseen=list(_unseen(report, snapshot.untracked(self._ledger))),
            complete=report.complete,
        )

    async def trace(self, request: TraceRequest) -> MemoryTrace:
        """Trace in a thread of its own, which ends it in time, whatever this loop does meanwhile."""
        if not 0.1 <= request.seconds <= MAX_TRACE:
            raise UsageError(
                f"a trace cannot last {request.seconds:g} s", hint=f"give 0.1 to {MAX_TRACE:g} s"
            )
        if not 1 <= request.frames <= allocations.MAX_FRAMES:
            raise UsageError(
                f"{request.frames} frames of an allocation", hint=f"1 to {allocations.MAX_FRAMES}"
            )
        before, stop = memory.resident(), threading.Event()
        try:
            found = await _in_thread(request, stop)
        except allocations.TraceRefusedError as error:
            raise NeedsConfirmationError(
                f"the trace was not started: {error}", hint="try again when it has ended"
            ) from error
        finally:
            stop.set()
        listed = found.lines[: max(1, min(request.limit, MAX_LINES))]
        places = [f"{short_path(row.file)}:{row.line}" for row in listed]
        sources = source_lines(places)
        return MemoryTrace(
            seconds=found.seconds,
            total_bytes=found.total,
            grown_bytes=memory.resident() - before,
            lines=[
                AllocatingLine(
                    location=place,
                    source=sources.get(place, ""),
                    blocks=row.blocks,
                    bytes=row.bytes,
                )
                for place, row in zip(places, listed, strict=True)
            ],
            other_bytes=found.total - sum(row.bytes for row in listed),
            overhead_bytes=found.overhead,
            stopped_early=found.stopped_early,
        )


async def _in_thread(request: TraceRequest, stop: threading.Event) -> allocations.Trace:
    """The trace, in a thread of its own: the program's thread pool may be full."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[allocations.Trace] = loop.create_future()

    def report(found: allocations.Trace | Exception) -> None:
        if ended.done():
            return
        if isinstance(found, Exception):
            ended.set_exception(found)
        else:
            ended.set_result(found)

    def run() -> None:
        found: allocations.Trace | Exception
        try:
            found = allocations.trace(request.seconds, stop, frames=request.frames)
        except Exception as error:  # noqa: BLE001 - the caller gets it
            found = error
        try:
            loop.call_soon_threadsafe(report, found)
        except RuntimeError:  # the loop has been closed meanwhile
            return

    threading.Thread(target=run, name="qcfeed memory trace", daemon=True).start()
    return await ended


def _memory() -> Memory:
    limit = memory.limit()
    return Memory(
        resident_bytes=memory.resident(), limit_bytes=limit.bytes, limit_source=limit.source
    )


def _parts(report: MemoryReport) -> Iterator[MemoryPart]:
    for row in report.tasks[:LOCATIONS]:
        yield MemoryPart(
            kind=MemoryKind.TASKS,
            name=row.location,
            function=row.function,
            count=row.live,
            sampled=row.sampled,
            bytes=int(row.bytes),
            note=f"up to {size(row.most)}" if row.most > 2 * row.each else "",
        )
    if others := report.tasks[LOCATIONS:]:
        yield MemoryPart(
            kind=MemoryKind.TASKS,
            name="other locations",
            count=sum(row.live for row in others),
            bytes=int(sum(row.bytes for row in others)),
        )
    for store in report.stores:
        yield MemoryPart(
            kind=MemoryKind.STORE,
            name=store.name,
            count=store.items,
            bytes=int(store.bytes),
            note=store.note,
        )
    for name, found in report.types:
        yield MemoryPart(kind=MemoryKind.TYPE, name=name, bytes=int(found))
    if report.other_types:
        yield MemoryPart(kind=MemoryKind.TYPE, name="other types", bytes=int(report.other_types))
    yield MemoryPart(
        kind=MemoryKind.FILES,
        name="program and libraries",
        bytes=max(0, memory.shared() - int(dict(report.types).get("mmap.mmap", 0))),
    )


def _unseen(report: MemoryReport, untracked: int) -> Iterator[str]:
    """What the report does not count. ``untracked``: live tasks that the ledger did not record."""
    yield "memory that libraries written in C keep for themselves, and the stacks of threads"
    yield "memory that was freed and that the allocator has not returned to the system"
    yield "what only variables of running threads refer to"
    measured = sum(row.live for row in report.tasks if row.location == UNTRACKED)
    if (left := untracked - measured) > 0:
        yield f"what is held by {plural(left, 'task')} whose creation the ledger did not see"
    if not report.complete:
        yield f"what lies beyond the {report.visited:,} objects that were visited"
