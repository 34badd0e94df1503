"""Gathers what the rules need (rules.py) while the program runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

from qcfeed.diagnostics import demand, orphans, snapshot
from qcfeed.diagnostics.abandoned import IS_RELIABLE, AbandonedTasks
from qcfeed.diagnostics.growth_rules import MIN_GROWTH
from qcfeed.diagnostics.history import MAX_SNAPSHOTS, LocationSeries, SnapshotHistory
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.loop_watch import LoopWatch
from qcfeed.diagnostics.observations import Observations, SuspectTasks, UntrackedTasks
from qcfeed.diagnostics.rules import ABANDONED_AFTER_S, PROVED_AFTER_S
from qcfeed.diagnostics.scan import LiveTaskScan, Oldest, info_of_ref, oldest
from qcfeed.diagnostics.snapshot import TaskSnapshot
from qcfeed.diagnostics.survivors import LOOK_EVERY_S, SurvivorWatch
from qcfeed.diagnostics.task_info import TaskInfo, TaskRecord, TaskRef, task_of
from qcfeed.diagnostics.unretrieved import UnretrievedListener
from qcfeed.diagnostics.waits import state
from qcfeed.diagnostics.watchdog import Watchdog

log = logging.getLogger("qcfeed.diagnostics")

SAMPLE_EVERY_S = 10.0
"""Seconds between two snapshots."""
MAX_SHARE = 0.02
"""Share of the time for which the sampling thread may work: with a million tasks it samples less often."""
MAX_SUSPECTS = 1_000
"""Suspect tasks that are followed from one snapshot to the next: the oldest."""
_MAX_SERIALS = 5
_MAX_GROWN = 20
"""Growing locations that are examined for an explanation: those that have grown most."""


class DiagnosticsSampler:
    """Takes snapshots in a thread of its own, and runs the watchdog and the listener for exceptions.

    Cost: a snapshot every 10 s (0.8 us per live task, in slices), a look every 2 s (0.7 us per live
    task), and the cost of ``Watchdog``; with so many tasks that this would take more than MAX_SHARE of
    the time, both are less frequent.
    """

    def __init__(
        self,
        ledger: Ledger,
        watch: LoopWatch,
        *,
        every: float = SAMPLE_EVERY_S,
        grace: float = 0.0,
        on_snapshot: Callable[[float, TaskSnapshot], None] | None = None,
    ) -> None:
        """``every``: seconds between two snapshots. ``grace``: seconds that an owner may be gone before
        its tasks count as orphans. ``on_snapshot`` is called with the time and each snapshot, in the
        sampling thread.
        """
        self.history = SnapshotHistory()
        self.watchdog = Watchdog(watch)
        self.unretrieved = UnretrievedListener()
        self.failure: str | None = None
        """Why the last snapshot failed; None if it did not."""
        self._ledger = ledger
        self._every = every
        self._grace = grace
        self._on_snapshot = on_snapshot
        self._untracked: deque[int] = deque(maxlen=MAX_SNAPSHOTS)
        self._suspect_since_by_serial: dict[int, float] = {}
        self._abandoned = AbandonedTasks(ledger)
        self._survivors = SurvivorWatch(ledger)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start, with a first snapshot at once. Call it in the loop's thread, after its LoopWatch was
        started."""
        self._stopping.clear()
        self.unretrieved.install(loop)
        self.watchdog.start(loop)
        thread = threading.Thread(target=self._run, name="qcfeed-sampler", daemon=True)
        thread.start()
        self._thread = thread

    def stop(self) -> None:
        """Stop the threads and join them. Waits for a snapshot that is being taken."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self._ledger.check.stop()
        self.watchdog.stop()
        self.unretrieved.uninstall()

    def sample(self, now: float) -> None:
        """Take a snapshot into the history, and start the ledger's check of itself in its loop."""
        self._probe()
        taken = snapshot.by_location(self._ledger, now)
        self.history.note(now, taken.rows)
        self._untracked.append(taken.new_untracked)
        if self._on_snapshot is not None:
            self._on_snapshot(now, taken)
        for site in self._ledger.sites():
            site.refill_budget()
        known = self._suspect_since_by_serial
        suspects = oldest(self._ledger, self._suspects(now), MAX_SUSPECTS)
        self._suspect_since_by_serial = {
            each.serial: known.get(each.serial, now) for each in suspects
        }
        self._abandoned.note(now)

    def observe(self, now: float) -> Observations:
        """The observations at ``now`` (``time.monotonic()``), for ``rules.findings``.

        From any thread. Cost: 0.5 us per live task, 1 us per orphan.
        """
        # First, so that no fault of the ledger that is older than these observations is missed.
        self._ledger.check.refresh()
        stalls = self.watchdog.stalls()
        series = self.history.series()
        return Observations(
            now=now,
            times=self.history.times(),
            series=series,
            orphaned=self._by_location(self._orphans(now), now, _orphan_evidence),
            stubborn=self._by_location(self._stubborn(), now, _stubborn_evidence),
            survivors=self._survivors.survivors(now),
            early=self._survivors.early(now),
            explained=self._survivors.explain(_grown_most(series), now),
            abandoned=self._abandoned_tasks(now),
            stalls=stalls,
            late_wakeups=self.watchdog.late_wakeups(),
            unretrieved=self.unretrieved.counts(),
            untracked=self._untracked_tasks(now),
            incomplete=[*self._failed(), *snapshot.incomplete(self._ledger, now)],
            skipped=list(self._skipped()),
        )

    def _untracked_tasks(self, now: float) -> UntrackedTasks:
        """Untracked tasks at each snapshot. The last one is counted again, because tasks may have ended or
        appeared since."""
        counts = list(self._untracked)
        if not counts:
            return UntrackedTasks()
        last = snapshot.by_location(self._ledger, now)
        counts[-1] = last.new_untracked
        return UntrackedTasks(
            counts,
            last.totals.live,
            last.new_untracked_coroutines,
            demand.serving((ref() for ref in last.new_untracked_sample), last.new_untracked),
        )

    def look(self, now: float) -> None:
        """Note which tasks are alive, to tell later which ones do not end."""
        self._survivors.note(now)

    def _run(self) -> None:
        """Look at the tasks every LOOK_EVERY_S seconds, and take a snapshot with every few looks."""
        wait, next_sample = 0.0, time.monotonic()
        while not self._stopping.wait(wait):
            # CPU time of this thread, because on a busy machine it mostly waits for the GIL or a core.
            began, now = time.thread_time(), time.monotonic()
            try:
                self.look(now)
                if now >= next_sample:
                    next_sample = now + self._every
                    self.sample(now)
                    self.failure = None
            except Exception as error:
                self.failure = f"{type(error).__name__}: {error}"
                log.exception("taking a snapshot failed")
            cost = time.thread_time() - began
            wait = max(min(self._every, LOOK_EVERY_S), cost / MAX_SHARE)

    def _probe(self) -> None:
        # The probe is a task, so it must be created in the loop; its result is seen at the next snapshot.
        loop = self._ledger.loop
        if loop is not None and not loop.is_closed():
            with contextlib.suppress(RuntimeError):  # the loop was closed at this moment
                loop.call_soon_threadsafe(self._ledger.check.start)

    def _suspects(self, now: float) -> list[TaskRef]:
        """Tasks that must be followed over time before something is proved to be wrong with them."""
        orphaned = self._orphans(now)
        return self._stubborn() + [
            ref
            for some in self._ledger.turns.slices(orphaned)
            for ref in some
            if (info := info_of_ref(ref)) is not None and _closed_at(info) is None
        ]

    def _orphans(self, now: float) -> list[TaskRef]:
        return orphans.refs(self._ledger, now, grace=self._grace)

    def _stubborn(self) -> list[TaskRef]:
        return [
            ref
            for refs, some in LiveTaskScan(self._ledger)
            for ref, info in zip(refs, some, strict=True)
            if _cancelled(info) > 1
        ]

    def _by_location(
        self, suspects: list[TaskRef], now: float, evidence: Callable[[TaskRecord, float], str]
    ) -> list[SuspectTasks]:
        """Suspect tasks by location, with the serials of the oldest; the oldest one is described."""
        found: dict[str, SuspectTasks] = {}
        eldest: dict[str, Oldest] = {}
        for some in self._ledger.turns.slices(suspects):
            for info in map(info_of_ref, some):
                if info is None:
                    continue
                location = info.site.location
                tasks = found.setdefault(location, SuspectTasks(location))
                seconds = now - self._suspect_since(info, now)
                tasks.count += 1
                tasks.proved += seconds >= PROVED_AFTER_S
                tasks.longest_s = max(tasks.longest_s, seconds)
                eldest.setdefault(location, Oldest(_MAX_SERIALS)).add([info])
        for location, tasks in found.items():
            listed = eldest[location].records()
            tasks.serials = [record.serial for record in listed]
            tasks.evidence = evidence(listed[0], now)
        return list(found.values())

    def _abandoned_tasks(self, now: float) -> list[SuspectTasks]:
        """Tasks that wait for an abandoned future, by location; among the oldest of each location."""
        found: dict[str, SuspectTasks] = {}
        for (record, _), since in self._abandoned.since(now):
            tasks = found.setdefault(record.site.location, SuspectTasks(record.site.location))
            tasks.count += 1
            tasks.proved += now - since >= ABANDONED_AFTER_S
            tasks.longest_s = max(tasks.longest_s, now - since)
            if len(tasks.serials) < _MAX_SERIALS:
                tasks.serials.append(record.serial)
            tasks.evidence = tasks.evidence or f"{state(record())}, which no other object refers to"
        return list(found.values())

    def _suspect_since(self, info: TaskInfo, now: float) -> float:
        """Since when a task is suspect: since its owner closed, else since a snapshot first found it."""
        closed_at = _closed_at(info)
        return (
            self._suspect_since_by_serial.get(info.serial, now) if closed_at is None else closed_at
        )

    def _failed(self) -> list[str]:
        """Why the rules judge old observations, if the last look or snapshot failed."""
        return [] if self.failure is None else [f"the last snapshot failed: {self.failure}"]

    def _skipped(self) -> Iterator[str]:
        if not self.unretrieved.listening:
            yield "exceptions never retrieved: the loop's exception handler has been replaced"
        if not IS_RELIABLE:
            yield "abandoned futures: they cannot be found on this interpreter"
        if self.history.dropped:
            yield f"growth of {self.history.dropped:,} locations: only those with most tasks are followed"
        if self._survivors.dropped:
            yield f"survival of {self._survivors.dropped:,} groups of tasks: only the largest are followed"


def _grown_most(series: list[LocationSeries]) -> list[str]:
    """Locations whose number of tasks has grown in the history, most growth first."""
    grown = {each.location: each.live[-1] - min(each.live) for each in series if each.live}
    return sorted((at for at in grown if grown[at] >= MIN_GROWTH), key=lambda at: -grown[at])[
        :_MAX_GROWN
    ]


def _cancelled(info: TaskInfo) -> int:
    task = task_of(info)
    return 0 if task is None or task.done() else task.cancelling()


def _closed_at(info: TaskInfo) -> float | None:
    try:
        closed_at = getattr(info.context.owner, "closed_at", None)
        return None if closed_at is None else float(closed_at)
    except Exception:  # noqa: BLE001
        return None


def _orphan_evidence(record: TaskRecord, now: float) -> str:
    return orphans.describe(record, now).evidence


def _stubborn_evidence(record: TaskRecord, _: float) -> str:
    return f"cancelled {_cancelled(record)} times; {state(record())}"
