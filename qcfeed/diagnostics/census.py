"""The census: what is alive, by spawn location or one by one. It only reads, from any thread."""

from __future__ import annotations

import asyncio.tasks
import heapq
import itertools
import operator
import weakref
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from qcfeed.diagnostics import orphans
from qcfeed.diagnostics.site import AnyTask, Record, Site, Task, records_of
from qcfeed.diagnostics.spawn import Ledger
from qcfeed.diagnostics.waits import state


@dataclass(slots=True)
class Totals:
    """spawned = live + finished + cancelled + failed + destroyed, always."""

    live: int = 0
    spawned: int = 0
    finished: int = 0
    cancelled: int = 0
    failed: int = 0
    destroyed: int = 0
    orphaned: int = 0
    untracked: int = 0


@dataclass(slots=True)
class Row:
    """One spawn location. ``oldest_s``: age of its oldest live task."""

    location: str
    function: str
    live: int = 0
    spawned: int = 0
    finished: int = 0
    cancelled: int = 0
    failed: int = 0
    destroyed: int = 0
    orphaned: int = 0
    oldest_s: float | None = None

    @property
    def note(self) -> str:
        """What a person should look at first; empty when there is nothing."""
        notes = []
        if self.orphaned:
            all_of_them = self.orphaned == self.live
            notes.append("all orphaned" if all_of_them else f"{self.orphaned} orphaned")
        if self.destroyed:
            notes.append(f"{self.destroyed} destroyed pending")
        return ", ".join(notes)


@dataclass(slots=True)
class Census:
    """Rows by live tasks, most first. ``failure``: why the ledger stopped booking, if it did."""

    totals: Totals
    rows: list[Row] = field(default_factory=list)
    failure: str | None = None


@dataclass(slots=True)
class LiveTask:
    """One live task. ``state``: what it waits on."""

    serial: int
    age_s: float
    name: str
    coroutine: str
    location: str
    state: str
    note: str = ""
    parent: int | None = None
    labels: dict[str, str] = field(default_factory=dict)


def by_location(ledger: Ledger, now: float) -> Census:
    """Every spawn location with its books. ``now`` is ``time.monotonic()``.

    Cost: 0.3-0.5 us a live task, in slices that let the loop run; it never waits for the loop.
    Locations are read one after the other, so a task may end between two of them, but each row
    balances, and the totals are the sums of the rows.
    """
    rows: dict[tuple[str, str], Row] = {}
    for site in ledger.sites():
        key = (site.location, site.function)
        _add_site(rows.setdefault(key, Row(*key)), site, now)
    census = Census(Totals(), [row for row in rows.values() if row.spawned], ledger.failure)
    census.rows.sort(key=lambda row: (-row.live, -row.spawned, row.location))
    for count in ("live", "spawned", "finished", "cancelled", "failed", "destroyed", "orphaned"):
        setattr(census.totals, count, sum(getattr(row, count) for row in census.rows))
    census.totals.untracked = untracked(ledger)
    return census


def live(ledger: Ledger, now: float, limit: int, offset: int = 0) -> list[LiveTask]:
    """The live tasks, oldest first: ``limit`` of them after skipping ``offset``.

    Cost: 0.1 us a live task, and 5 us each that is listed.
    """
    by_site = [site.settle() for site in ledger.sites()]
    oldest_first = heapq.merge(*by_site, key=attrgetter("serial"))
    return listed(ledger, list(itertools.islice(oldest_first, offset, offset + limit)), now)


def listed(ledger: Ledger, records: list[Record], now: float) -> list[LiveTask]:
    """These live tasks, described. Cost: 5 us each."""
    return [_describe(record, now) for some in ledger.slices(records) for record in some]


def untracked(ledger: Ledger) -> int:
    """Live tasks of the ledger's loop that it does not know: made before it, or around it.

    asyncio's own weak set is copied in one step and looked at in slices; ``asyncio.all_tasks()``
    would iterate it while the loop changes it, which raises or takes seconds. Cost: 0.15 us a task.
    """
    everything: Any = getattr(asyncio.tasks, "_scheduled_tasks", None)  # 3.12 and later
    if everything is None:
        everything = getattr(asyncio.tasks, "_all_tasks", ())
    references: list[weakref.ref[AnyTask]] = list(getattr(everything, "data", ()))
    return sum(_untracked(some, ledger) for some in ledger.slices(references))


def _untracked(references: list[weakref.ref[AnyTask]], ledger: Ledger) -> int:
    # Our own kind is passed over by its type alone, unless it may be another ledger's.
    ours = Task if ledger.alone else None
    strangers = [task for task in map(operator.call, references) if type(task) is not ours]
    return sum(_is_untracked(task, ledger) for task in strangers)


def _is_untracked(task: AnyTask | None, ledger: Ledger) -> bool:
    if type(task) is Task:
        record = getattr(task, "record", None)
        if record is None or record.site.ledger is ledger:
            return False  # ours, or being booked at this moment
    if task is None or task.done() or task.get_loop() is not ledger.loop:
        return False
    return not any(record.site.ledger is ledger for record in records_of(task))


def _add_site(row: Row, site: Site, now: float) -> None:
    orphaned = 0
    oldest: Record | None = None
    for records in site.settled():
        orphaned += orphans.count(records)
        oldest = oldest or next(iter(records), None)
    outcomes, live = site.counts()
    for outcome, number in zip(outcomes._fields, outcomes, strict=True):
        setattr(row, outcome, getattr(row, outcome) + number)
    row.live += live
    row.spawned += sum(outcomes) + live
    row.orphaned += min(live, orphaned)
    if oldest is not None:
        age = max(0.0, now - oldest.born)
        row.oldest_s = age if row.oldest_s is None else max(age, row.oldest_s)


def _describe(record: Record, now: float) -> LiveTask:
    task = record()
    return LiveTask(
        serial=record.serial,
        age_s=max(0.0, now - record.born),
        name=name(task),
        coroutine=coroutine(task),
        location=record.site.location,
        state=state(task),
        note="orphaned" if orphans.is_orphan(record) else "",
        parent=record.parent,
        labels=dict(record.labels),
    )


def name(task: AnyTask | None) -> str:
    """The task's name; ``?`` if it will not say."""
    try:
        return str(task.get_name()) if task is not None else ""
    except Exception:  # noqa: BLE001
        return "?"


def coroutine(task: AnyTask | None) -> str:
    """The qualified name of what the task runs; ``?`` if it will not say."""
    try:
        coro = task.get_coro() if task is not None else None
        return str(getattr(coro, "__qualname__", None) or type(coro).__qualname__)
    except Exception:  # noqa: BLE001
        return "?"
