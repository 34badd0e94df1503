"""Create and end tasks at full speed while threads take snapshots. ``make soak SECONDS=300``.

The loop spawns tasks that end, tasks that sleep until they are cancelled, and tasks that are dropped
while they wait. Meanwhile twenty threads read snapshots, lists and orphans. Requirements: no read fails,
every row balances at every moment, and in the end the ledger has counted every task exactly once.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from qcfeed.diagnostics import orphans, snapshot
from qcfeed.diagnostics.ledger import Ledger, owned_by
from qcfeed.diagnostics.snapshot import LocationCounts, Totals

READERS = 20
_BATCH = 200


@dataclass
class Soak:
    """The result. ``faults``: unexpected observations, a few of each kind."""

    spawned: int = 0
    readings: int = 0
    faults: list[str] = field(default_factory=list)
    expected: Counter[str] = field(default_factory=Counter)
    booked: Counter[str] = field(default_factory=Counter)


async def nothing() -> None: ...


async def sleeping() -> None:
    await asyncio.sleep(3600)


async def waiting() -> None:
    """An object that is freed with the task that refers to it."""
    await asyncio.get_running_loop().create_future()


async def soak(seconds: float, readers: int = READERS) -> Soak:
    """Run for ``seconds`` in the running loop, with a ledger of its own."""
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()
    loop.set_task_factory(None)
    ledger = Ledger()
    ledger.install(loop)
    result = Soak()
    over = threading.Event()
    looks = _looks(ledger)
    threads = [
        threading.Thread(target=_read, args=(looks[n % len(looks)], over, result))
        for n in range(readers)
    ]
    for thread in threads:
        thread.start()
    try:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            await _churn(result)
    finally:
        over.set()
        await asyncio.to_thread(_join, threads)
        gc.collect()
        ledger.uninstall()
        loop.set_task_factory(before)
    result.booked = _booked(ledger)
    return result


async def _churn(result: Soak) -> None:
    """Run a batch of each kind of task to its end."""
    loop = asyncio.get_running_loop()
    gone = False
    with owned_by(lambda: gone):
        slept = [loop.create_task(sleeping()) for _ in range(_BATCH)]
    ended = [loop.create_task(nothing()) for _ in range(_BATCH)]
    for _ in range(_BATCH):
        loop.create_task(waiting())
    await asyncio.wait(ended)
    gone = True
    for task in slept:
        task.cancel()
    await asyncio.wait(slept)
    result.spawned += 3 * _BATCH
    result.expected.update(finished=_BATCH, cancelled=_BATCH, destroyed=_BATCH)


def _looks(ledger: Ledger) -> list[Callable[[], object]]:
    def by_location() -> None:
        taken = snapshot.by_location(ledger, time.monotonic())
        counts: list[LocationCounts | Totals] = [*taken.rows, taken.totals]
        for row in counts:
            ended = row.finished + row.cancelled + row.failed + row.destroyed
            assert row.spawned == ended + row.live, f"out of balance: {row}"

    def oldest() -> None:
        serials = [task.serial for task in snapshot.live(ledger, time.monotonic(), 100)]
        assert serials == sorted(serials), "not oldest first"

    def orphaned() -> None:
        orphans.find(ledger, time.monotonic())

    return [by_location, by_location, oldest, orphaned]


def _read(look: Callable[[], object], over: threading.Event, result: Soak) -> None:
    while not over.is_set():
        try:
            look()
        except Exception as error:  # noqa: BLE001 - any error is a finding
            if len(result.faults) < READERS:
                result.faults.append(f"{type(error).__name__}: {error}")
        result.readings += 1


def _join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join()


def _booked(ledger: Ledger) -> Counter[str]:
    total = Counter[str]()
    ledger.settle()
    for site in ledger.sites():
        if site.location.startswith("benchmarks/soak.py") and site.function.startswith("_churn"):
            outcomes, live = site.counts()
            total.update(outcomes._asdict())
            total["live"] += live
    return +total


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--readers", type=int, default=READERS)
    arguments = parser.parse_args()
    logging.disable(
        logging.ERROR
    )  # asyncio would report every task that is destroyed while pending
    result = asyncio.run(soak(arguments.seconds, arguments.readers))
    print(f"{result.spawned:,} tasks, {result.readings:,} snapshots, counted {dict(result.booked)}")
    for fault in result.faults:
        print(f"FAULT {fault}")
    if result.booked != result.expected:
        print(f"FAULT expected {dict(result.expected)}")
    return 1 if result.faults or result.booked != result.expected else 0


if __name__ == "__main__":
    sys.exit(main())
