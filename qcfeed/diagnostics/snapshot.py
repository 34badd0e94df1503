"""Snapshots of the live tasks, by spawn location or one by one. They only read, from any thread."""

from __future__ import annotations

import weakref
from collections import Counter
from dataclasses import dataclass, field
from operator import attrgetter

from qcfeed.diagnostics import orphans
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.scan import LiveTaskScan, Oldest
from qcfeed.diagnostics.site import AnyTask, Site
from qcfeed.diagnostics.task_info import TaskInfo, TaskRecord, TaskRef
from qcfeed.diagnostics.waits import state

_site = attrgetter("site")
_created_at = attrgetter("created_at")


@dataclass(slots=True)
class Totals:
    """Totals of all spawn locations; spawned = live + finished + cancelled + failed + destroyed, always.

    ``incomplete``: why there may be more tasks than these: see ``Ledger.incomplete``.
    """

    live: int = 0
    spawned: int = 0
    finished: int = 0
    cancelled: int = 0
    failed: int = 0
    destroyed: int = 0
    orphaned: int = 0
    untracked: int = 0
    incomplete: list[str] = field(default_factory=list)


@dataclass(slots=True)
class LocationCounts:
    """One spawn location. ``oldest_s``: age of its oldest live task, in seconds."""

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
        """What is wrong with this location; empty if nothing is."""
        notes = []
        if self.orphaned:
            all_of_them = self.orphaned == self.live
            notes.append("all orphaned" if all_of_them else f"{self.orphaned} orphaned")
        if self.destroyed:
            notes.append(f"{self.destroyed} destroyed pending")
        return ", ".join(notes)


@dataclass(slots=True)
class TaskSnapshot:
    """``rows``: most live tasks first. ``new_untracked``: untracked tasks that were created after the
    ledger was installed; ``new_untracked_sample``: some of them; ``new_untracked_coroutines``: the coroutines
    that these run, the most frequent first."""

    totals: Totals
    rows: list[LocationCounts] = field(default_factory=list)
    new_untracked: int = 0
    new_untracked_coroutines: list[tuple[str, int]] = field(default_factory=list)
    new_untracked_sample: list[TaskRef] = field(default_factory=list)


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


def by_location(ledger: Ledger, now: float) -> TaskSnapshot:
    """Every spawn location with its counters. ``now``: ``time.monotonic()``.

    Cost: 0.35 us per live task, in slices that let the loop run; it never waits for the loop.
    Locations are read one after the other, so tasks may end meanwhile. Each row still balances, and
    the totals are the sums of the rows.
    """
    reading = LiveTaskScan(ledger)
    seen = _ScanCounts(ledger)
    for _, some in reading:
        seen.add(some)
    rows: dict[tuple[str, str], LocationCounts] = {}
    for site in ledger.sites():
        key = (site.location, site.function)
        _add_site(rows.setdefault(key, LocationCounts(*key)), site, seen, now)
    untracked = ledger.untracked(reading)
    ledger.check.count(seen.to_be_found, seen.found, untracked)
    snapshot = TaskSnapshot(Totals(), [row for row in rows.values() if row.spawned])
    snapshot.rows.sort(key=lambda row: (-row.live, -row.spawned, row.location))
    for count in ("live", "spawned", "finished", "cancelled", "failed", "destroyed", "orphaned"):
        setattr(snapshot.totals, count, sum(getattr(row, count) for row in snapshot.rows))
    snapshot.totals.untracked = untracked
    snapshot.new_untracked = max(0, untracked - ledger.earlier())
    sample = ledger.untracked_sample(reading)
    snapshot.new_untracked_coroutines = Counter(map(coroutine, sample)).most_common()
    snapshot.new_untracked_sample = [weakref.ref(task) for task in sample]
    snapshot.totals.incomplete = ledger.incomplete()
    return snapshot


class _ScanCounts:
    """What the counters of a site do not show: the oldest task, the orphans, and the number of live tasks
    that a scan finds, for the ledger's check of itself."""

    def __init__(self, ledger: Ledger) -> None:
        self.orphaned: Counter[Site] = Counter()
        self.oldest: dict[Site, float] = {}
        self.found: Counter[Site] = Counter()
        """Live tasks that the scan found."""
        self.to_be_found: dict[Site, int] = {}
        """Live tasks by the counters after the scan, without those created during it."""
        self._spawned = {site: site.spawned for site in ledger.sites()}

    def add(self, some: list[TaskInfo]) -> None:
        sites = set(map(_site, some))
        if len(sites) == 1:
            site = sites.pop()
            self.found[site] += len(some)
            self._note_oldest(site, min(map(_created_at, some)))
        else:
            for each in some:
                self.found[each.site] += 1
                self._note_oldest(each.site, each.created_at)
        if gone := orphans.contexts_with_closed_owner(some):
            self.orphaned.update(each.site for each in some if each.context in gone)

    def note_counters(self, site: Site, live: int, spawned: int) -> None:
        """Take in the counters of a location, after the scan."""
        self.to_be_found[site] = live - (spawned - self._spawned.get(site, 0))

    def _note_oldest(self, site: Site, created_at: float) -> None:
        if created_at < self.oldest.get(site, float("inf")):
            self.oldest[site] = created_at


def live(ledger: Ledger, now: float, limit: int, offset: int = 0) -> list[LiveTask]:
    """The live tasks, oldest first: ``limit`` of them after skipping ``offset``.

    Cost: 0.3 us per live task, and 5 us per listed task.
    """
    found = Oldest(limit + offset)
    for _, some in LiveTaskScan(ledger):
        found.add(some)
    return listed(ledger, found.records()[offset:], now)


def listed(ledger: Ledger, records: list[TaskRecord], now: float) -> list[LiveTask]:
    """These live tasks, described. Cost: 5 us each."""
    return [_describe(record, now) for some in ledger.turns.slices(records) for record in some]


def untracked(ledger: Ledger) -> int:
    """How many live tasks of the ledger's loop it did not record. Cost: 0.25 us per live task."""
    reading = LiveTaskScan(ledger)
    for _ in reading:
        pass
    return ledger.untracked(reading)


def incomplete(ledger: Ledger, now: float) -> list[str]:
    """``Ledger.incomplete`` with current numbers. From any thread.

    Cost: nothing if all is well, else a snapshot.
    """
    return by_location(ledger, now).totals.incomplete if ledger.incomplete() else []


def _add_site(row: LocationCounts, site: Site, seen: _ScanCounts, now: float) -> None:
    outcomes, live = site.counts()
    for outcome, number in zip(outcomes._fields, outcomes, strict=True):
        setattr(row, outcome, getattr(row, outcome) + number)
    row.live += live
    row.spawned += sum(outcomes) + live
    seen.note_counters(site, live, sum(outcomes) + live)
    # The scan was earlier than these counters, and tasks may have ended since.
    row.orphaned += min(live, seen.orphaned[site])
    created_at = seen.oldest.get(site)
    if created_at is not None and live:
        row.oldest_s = max(0.0, now - created_at, row.oldest_s or 0.0)


def _describe(record: TaskRecord, now: float) -> LiveTask:
    task = record()
    return LiveTask(
        serial=record.serial,
        age_s=max(0.0, now - record.created_at),
        name=name(task),
        coroutine=coroutine(task),
        location=record.site.location,
        state=state(task),
        note="orphaned" if orphans.is_orphan(record) else "",
        parent=record.parent,
        labels=dict(record.labels),
    )


def name(task: AnyTask | None) -> str:
    """The task's name; ``?`` if that raises."""
    try:
        return str(task.get_name()) if task is not None else ""
    except Exception:  # noqa: BLE001
        return "?"


def coroutine(task: AnyTask | None) -> str:
    """The qualified name of the task's coroutine; ``?`` if that raises."""
    try:
        coro = task.get_coro() if task is not None else None
        return str(getattr(coro, "__qualname__", None) or type(coro).__qualname__)
    except Exception:  # noqa: BLE001
        return "?"
