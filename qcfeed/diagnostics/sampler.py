"""What the rules need to know, gathered while the program runs: see rules.py."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

from qcfeed.diagnostics import orphans, snapshot
from qcfeed.diagnostics.abandoned import TELLS, Suspects
from qcfeed.diagnostics.history import POINTS, History
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.loop_watch import LoopWatch
from qcfeed.diagnostics.observations import Around, Look, Tally
from qcfeed.diagnostics.rules import ABANDONED_S, PROOF_S
from qcfeed.diagnostics.scan import Oldest, Reading, facts, oldest
from qcfeed.diagnostics.snapshot import TaskSnapshot, Totals
from qcfeed.diagnostics.task_info import Booked, Record, Ref, task_of
from qcfeed.diagnostics.unretrieved import Unretrieved
from qcfeed.diagnostics.waits import state
from qcfeed.diagnostics.watchdog import Watchdog

log = logging.getLogger("qcfeed.diagnostics")

EVERY = 10.0
"""Seconds between two snapshots."""
SHARE = 0.02
"""Of the time, at most, that the sampling thread works: with a million tasks it samples less often."""
REMEMBERED = 1_000
"""Suspect tasks known again from one snapshot to the next, the oldest; more need not be proved."""
_LISTED = 5


class DiagnosticsSampler:
    """Samples snapshots from a thread of its own, and runs the watchdog and the listener.

    Cost: a snapshot every 10 s (0.8 us a live task, in slices) and what Watchdog costs.
    """

    def __init__(
        self,
        ledger: Ledger,
        watch: LoopWatch,
        *,
        every: float = EVERY,
        grace: float = 0.0,
        also: Callable[[float, TaskSnapshot], None] | None = None,
    ) -> None:
        """``grace``: seconds that an owner may be gone before its tasks count as orphans.

        ``also`` gets each snapshot and its time, in the sampling thread.
        """
        self.history = History()
        self.watchdog = Watchdog(watch)
        self.unretrieved = Unretrieved()
        self.failure: str | None = None
        """Why the last sample could not be taken, if it could not."""
        self._ledger = ledger
        self._every = every
        self._grace = grace
        self._also = also
        self._around: deque[int] = deque(maxlen=POINTS)
        self._last = TaskSnapshot(Totals())
        self._known: dict[int, float] = {}
        self._abandoned = Suspects(ledger)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin, with a first snapshot at once. In the loop's thread, its LoopWatch started already."""
        self._stopping.clear()
        self.unretrieved.install(loop)
        self.watchdog.start(loop)
        self._thread = threading.Thread(target=self._run, name="qcfeed-sampler", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the threads and join them; a snapshot that is being taken is waited for."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self._ledger.check.stop()
        self.watchdog.stop()
        self.unretrieved.uninstall()

    def sample(self, now: float) -> None:
        """Take a snapshot into the history, and have the ledger check itself in its loop."""
        self._probe()
        taken = snapshot.by_location(self._ledger, now)
        self.history.note(now, taken.rows)
        self._around.append(taken.around)
        self._last = taken
        if self._also is not None:
            self._also(now, taken)
        for site in self._ledger.sites():
            site.refill()
        known = self._known
        suspects = oldest(self._ledger, self._doubtful(now), REMEMBERED)
        self._known = {each.serial: known.get(each.serial, now) for each in suspects}
        self._abandoned.note(now)

    def look(self, now: float) -> Look:
        """What is known at ``now`` (``time.monotonic()``). From any thread. Cost: 0.5 us a live task,
        1 us an orphan."""
        self._ledger.check.refresh()
        stalls = self.watchdog.stalls()
        return Look(
            now=now,
            times=self.history.times(),
            series=self.history.series(),
            orphaned=self._tallies(self._orphans(now), now, _orphan_evidence),
            stubborn=self._tallies(self._stubborn(), now, _stubborn_evidence),
            abandoned=self._forgotten(now),
            stalls=stalls,
            lost=self.unretrieved.counts(),
            around=self._seen_around(now),
            incomplete=snapshot.incomplete(self._ledger, now),
            untold=list(self._untold()),
        )

    def _seen_around(self, now: float) -> Around:
        """Of each snapshot, and of now: what is said of tasks that have ended since helps nobody."""
        last, counts = self._last, list(self._around)
        if last.around:
            last = snapshot.by_location(self._ledger, now)
            counts[-1] = last.around
        return Around(counts, last.totals.live, last.around_run)

    def _run(self) -> None:
        wait = 0.0
        while not self._stopping.wait(wait):
            began = time.thread_time()  # its own work: on a busy machine it mostly waits its turn
            try:
                self.sample(time.monotonic())
                self.failure = None
            except Exception as error:
                self.failure = f"{type(error).__name__}: {error}"
                log.exception("a snapshot could not be taken")
            wait = max(self._every, (time.thread_time() - began) / SHARE)

    def _probe(self) -> None:
        loop = self._ledger.loop
        if loop is not None and not loop.is_closed():
            with contextlib.suppress(RuntimeError):  # it was closed at this moment
                loop.call_soon_threadsafe(self._ledger.check.start)

    def _doubtful(self, now: float) -> list[Ref]:
        """Tasks of which only time can tell whether something is wrong with them."""
        orphaned = self._orphans(now)
        return self._stubborn() + [
            ref
            for some in self._ledger.slices(orphaned)
            for ref in some
            if (known := facts(ref)) is not None and _closed_at(known) is None
        ]

    def _orphans(self, now: float) -> list[Ref]:
        return orphans.refs(self._ledger, now, grace=self._grace)

    def _stubborn(self) -> list[Ref]:
        return [
            ref
            for refs, some in Reading(self._ledger)
            for ref, known in zip(refs, some, strict=True)
            if _cancelled(known) > 1
        ]

    def _tallies(
        self, suspects: list[Ref], now: float, evidence: Callable[[Record, float], str]
    ) -> list[Tally]:
        """By location; the oldest of each are listed, and the first of them described."""
        tallies: dict[str, Tally] = {}
        eldest: dict[str, Oldest] = {}
        for some in self._ledger.slices(suspects):
            for known in map(facts, some):
                if known is None:
                    continue
                location = known.site.location
                tally = tallies.setdefault(location, Tally(location))
                seconds = now - self._suspect_since(known, now)
                tally.count += 1
                tally.proven += seconds >= PROOF_S
                tally.longest_s = max(tally.longest_s, seconds)
                eldest.setdefault(location, Oldest(_LISTED)).add([known])
        for location, tally in tallies.items():
            listed = eldest[location].records()
            tally.serials = [record.serial for record in listed]
            tally.evidence = evidence(listed[0], now)
        return list(tallies.values())

    def _forgotten(self, now: float) -> list[Tally]:
        """By location: tasks whose future nobody has, among the oldest of each."""
        tallies: dict[str, Tally] = {}
        for (record, _), since in self._abandoned.since(now):
            tally = tallies.setdefault(record.site.location, Tally(record.site.location))
            tally.count += 1
            tally.proven += now - since >= ABANDONED_S
            tally.longest_s = max(tally.longest_s, now - since)
            if len(tally.serials) < _LISTED:
                tally.serials.append(record.serial)
            tally.evidence = tally.evidence or f"{state(record())}, which no other object refers to"
        return list(tallies.values())

    def _suspect_since(self, known: Booked, now: float) -> float:
        """Of an orphan since its owner closed, else since a snapshot first saw it so."""
        closed_at = _closed_at(known)
        return self._known.get(known.serial, now) if closed_at is None else closed_at

    def _untold(self) -> Iterator[str]:
        if self.failure is not None:
            yield f"the last snapshot could not be taken: {self.failure}"
        if not self.unretrieved.listening:
            yield "exceptions never retrieved: the loop's exception handler has been replaced"
        if not TELLS:
            yield "futures that nobody will complete: not on this interpreter"
        if self.history.dropped:
            yield f"growth of {self.history.dropped:,} locations: only the busiest are followed"


def _cancelled(known: Booked) -> int:
    task = task_of(known)
    return 0 if task is None or task.done() else task.cancelling()


def _closed_at(known: Booked) -> float | None:
    try:
        closed_at = getattr(known.origin.owner, "closed_at", None)
        return None if closed_at is None else float(closed_at)
    except Exception:  # noqa: BLE001
        return None


def _orphan_evidence(record: Record, now: float) -> str:
    return orphans.describe(record, now).evidence


def _stubborn_evidence(record: Record, _: float) -> str:
    return f"cancelled {_cancelled(record)} times; {state(record())}"
