"""Metrics of any asyncio program: its tasks by spawn location, its loop and its memory."""

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
"""Spawn locations that get a label in the order in which they appear."""
LATE_LABELS = 20
"""Further labels, for locations that appear later and have many live tasks."""
LATE_SHARE = 0.01
"""Share of all live tasks from which a later location gets a label."""

BY_LOCATION = {
    m.TASKS_LIVE: "live",
    m.TASKS_SPAWNED: "spawned",
    m.TASKS_FINISHED: "finished",
    m.TASKS_CANCELLED: "cancelled",
    m.TASKS_FAILED: "failed",
    m.TASKS_DESTROYED: "destroyed",
    m.TASKS_ORPHANED: "orphaned",
}
"""The metrics by spawn location, and the attribute of a snapshot row for each."""
_COUNTERS = [metric for metric in BY_LOCATION if metric.kind is m.MetricKind.COUNTER]

Counts = Counter[Metric]


class LocationLabels:
    """Which spawn locations have a label of their own, and the counts of each label.

    A location keeps its label. What was counted before it got the label stays with ``other``, so no
    counter ever falls, and the sum over all labels is always the ledger's total (docs/adr/0016).
    There are at most EARLY_LABELS + LATE_LABELS labels, and ``other``.
    """

    def __init__(self, *, early: int = EARLY_LABELS, late: int = LATE_LABELS) -> None:
        self._early = early
        self._max = early + late
        self._before: dict[str, Counts] = {}
        """For each location with a label: what had been counted before it got the label."""
        self._lock = threading.Lock()

    def sort(self, rows: Iterable[snapshot.LocationCounts]) -> dict[str, Counts]:
        """The counts by label. ``rows``: most live tasks first, as in a snapshot.

        Two functions on one line are two rows but share one label. Cost: 2 us per row.
        """
        by_location: dict[str, Counts] = {}
        for row in rows:
            counts = by_location.setdefault(row.location, Counter())
            counts.update({metric: getattr(row, name) for metric, name in BY_LOCATION.items()})
        # Several scrapes may run at the same time, each in a thread of its own.
        with self._lock:
            self._assign_labels(by_location)
            return self._labelled(by_location)

    def _assign_labels(self, by_location: dict[str, Counts]) -> None:
        live = sum(counts[m.TASKS_LIVE] for counts in by_location.values())
        least = max(1.0, LATE_SHARE * live)
        for location, counts in by_location.items():
            if location in self._before or location == OTHER:
                continue
            if len(self._before) < self._early:
                self._before[location] = Counter()
            elif len(self._before) < self._max and counts[m.TASKS_LIVE] >= least:
                self._before[location] = _counters(counts)

    def _labelled(self, by_location: dict[str, Counts]) -> dict[str, Counts]:
        other: Counts = Counter()
        labelled: dict[str, Counts] = {OTHER: other}
        for location, counts in by_location.items():
            before = self._before.get(location)
            if before is None:
                other.update(counts)
                continue
            labelled[location] = Counter(counts)
            labelled[location].subtract(before)
            other.update(before)
        return labelled


def _counters(counts: Counts) -> Counts:
    return Counter({metric: counts[metric] for metric in _COUNTERS})


class TaskSamples:
    """The ledger's samples. Read them in any thread but the loop's.

    Cost: a snapshot, 0.5 us per live task, in slices that let the loop run.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._locations = LocationLabels()

    def read(self) -> Iterator[Sample]:
        self._ledger.check.refresh()
        taken = snapshot.by_location(self._ledger, time.monotonic())
        for label, counts in self._locations.sort(taken.rows).items():
            for metric in BY_LOCATION:
                yield Sample(metric, counts[metric], (label,))
        yield Sample(m.TASKS_UNTRACKED, taken.totals.untracked)
        yield Sample(m.LEDGER_PROBLEMS, len(taken.totals.incomplete))


def loop_lag(watch: LoopWatch) -> Iterator[Sample]:
    """The histogram of a loop's lag, if it is counted."""
    if watch.lags is not None:
        yield Sample(m.LOOP_LAG, BucketCounts(tuple(watch.lags.counts), watch.lags.total))


def pauses(gc_pauses: GcPauses) -> Iterator[Sample]:
    """The number and duration of garbage collections."""
    for generation in range(GENERATIONS):
        label = (str(generation),)
        yield Sample(m.GC_COLLECTIONS, gc_pauses.collections[generation], label)
        yield Sample(m.GC_PAUSES, gc_pauses.seconds[generation], label)
    yield Sample(m.GC_LONGEST, gc_pauses.longest)


def process() -> Iterator[Sample]:
    """Memory, start time and processor time of this process."""
    yield Sample(m.RESIDENT, memory.resident())
    yield Sample(m.STARTED, memory.started())
    yield Sample(m.CPU, time.process_time())


def memory_limit() -> Iterator[Sample]:
    yield Sample(m.MEMORY_LIMIT, memory.limit().bytes)


class ProgramSamples:
    """The metrics that an attached program adds to its registry. prometheus-client itself has
    ``process_*`` and garbage collections."""

    def __init__(self, ledger: Ledger, watch: LoopWatch) -> None:
        self._tasks = TaskSamples(ledger)
        self._watch = watch

    def read(self) -> Iterator[Sample]:
        yield from memory_limit()
        yield from loop_lag(self._watch)
        yield from self._tasks.read()
