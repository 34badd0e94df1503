"""What any asyncio program shows of itself: its tasks by spawn location, its loop, its memory."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator

from qcfeed.diagnostics import snapshot
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.loop_watch import LoopWatch
from qcfeed.diagnostics.pauses import GENERATIONS, GcPauses
from qcfeed.metrics import memory
from qcfeed.metrics.catalog import metrics as m
from qcfeed.metrics.catalog.metrics import Metric
from qcfeed.metrics.collectors import BucketCounts, Sample

OTHER = "other"
EARLY_LABELS = 80
"""Spawn locations that get a label as they come."""
LATE_LABELS = 20
"""Further labels, for locations that come later and matter."""
LATE_SHARE = 0.01
"""Share of all live tasks from which a late location matters."""

BY_LOCATION = {
    m.TASKS_LIVE: "live",
    m.TASKS_SPAWNED: "spawned",
    m.TASKS_FINISHED: "finished",
    m.TASKS_CANCELLED: "cancelled",
    m.TASKS_FAILED: "failed",
    m.TASKS_DESTROYED: "destroyed",
    m.TASKS_ORPHANED: "orphaned",
}
"""The metrics that go by location, and where a snapshot row has each."""
_COUNTERS = [metric for metric in BY_LOCATION if metric.kind is m.Kind.COUNTER]

Counts = Counter[Metric]


class Locations:
    """Which spawn locations have a label, and what was counted for each.

    A label once given is kept, and what a location had counted before it got one stays with
    ``other``: so no counter ever falls, and the sum over all labels is the ledger's, always
    (docs/adr/0016). Bounded: COMERS + LATE labels and ``other``.
    """

    def __init__(self, *, comers: int = EARLY_LABELS, late: int = LATE_LABELS) -> None:
        self._comers = comers
        self._most = comers + late
        self._before: dict[str, Counts] = {}
        """What each location that has a label had counted until it got it."""
        self._lock = threading.Lock()

    def sort(self, rows: Iterable[snapshot.Row]) -> dict[str, Counts]:
        """The books by label, of rows by live tasks, most first, as a snapshot has them.

        Two functions on one line are two rows, but one label. Cost: 2 us a row.
        """
        books: dict[str, Counts] = {}
        for row in rows:
            counts = books.setdefault(row.location, Counter())
            counts.update({metric: getattr(row, name) for metric, name in BY_LOCATION.items()})
        with self._lock:
            self._give(books)
            return self._labelled(books)

    def _give(self, books: dict[str, Counts]) -> None:
        least = max(1.0, LATE_SHARE * sum(counts[m.TASKS_LIVE] for counts in books.values()))
        for location, counts in books.items():
            if location in self._before or location == OTHER:
                continue
            if len(self._before) < self._comers:
                self._before[location] = Counter()
            elif len(self._before) < self._most and counts[m.TASKS_LIVE] >= least:
                self._before[location] = _counted(counts)

    def _labelled(self, books: dict[str, Counts]) -> dict[str, Counts]:
        other: Counts = Counter()
        labelled: dict[str, Counts] = {OTHER: other}
        for location, counts in books.items():
            before = self._before.get(location)
            if before is None:
                other.update(counts)
                continue
            labelled[location] = Counter(counts)
            labelled[location].subtract(before)
            other.update(before)
        return labelled


def _counted(counts: Counts) -> Counts:
    return Counter({metric: counts[metric] for metric in _COUNTERS})


class TaskSamples:
    """The ledger's samples. From any thread but the loop's. Cost: a snapshot, 0.5 us a live task, in
    slices that let the loop run."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._locations = Locations()

    def read(self) -> Iterator[Sample]:
        self._ledger.check.refresh()
        taken = snapshot.by_location(self._ledger, time.monotonic())
        for label, counts in self._locations.sort(taken.rows).items():
            for metric in BY_LOCATION:
                yield Sample(metric, counts[metric], (label,))
        yield Sample(m.TASKS_UNTRACKED, taken.totals.untracked)
        yield Sample(m.LEDGER_PROBLEMS, len(taken.totals.incomplete))


def loop_lag(watch: LoopWatch) -> Iterator[Sample]:
    """How late a loop's beats were, where they are counted."""
    if watch.lags is not None:
        yield Sample(m.LOOP_LAG, BucketCounts(tuple(watch.lags.counts), watch.lags.total))


def pauses(heard: GcPauses) -> Iterator[Sample]:
    """What collecting garbage took."""
    for generation in range(GENERATIONS):
        label = (str(generation),)
        yield Sample(m.GC_COLLECTIONS, heard.collections[generation], label)
        yield Sample(m.GC_PAUSES, heard.seconds[generation], label)
    yield Sample(m.GC_LONGEST, heard.longest)


def process() -> Iterator[Sample]:
    """Memory and time of this process."""
    yield Sample(m.RESIDENT, memory.resident())
    yield Sample(m.STARTED, memory.started())
    yield Sample(m.CPU, time.process_time())


def memory_limit() -> Iterator[Sample]:
    yield Sample(m.MEMORY_LIMIT, memory.limit().bytes)


class ProgramSamples:
    """What ``attach`` gives a program's own registry: all but what prometheus-client has by itself
    (``process_*``, collections of garbage)."""

    def __init__(self, ledger: Ledger, watch: LoopWatch) -> None:
        self._tasks = TaskSamples(ledger)
        self._watch = watch

    def read(self) -> Iterator[Sample]:
        yield from memory_limit()
        yield from loop_lag(self._watch)
        yield from self._tasks.read()
