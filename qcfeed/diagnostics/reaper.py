"""The reaper: cancel tasks in batches, wait for their end, and say who survived."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from qcfeed.diagnostics.site import AnyTask
from qcfeed.diagnostics.task_info import TaskRecord, TaskRef, info_of, to_record
from qcfeed.diagnostics.timers import GradualRemoval
from qcfeed.diagnostics.waits import state

_TURN_S = 0.0005
"""What a batch may take of a turn. A timer that is due needs up to three turns to be served."""
_SMALLEST = 32
_DESCRIBED_PER_TURN = 100
"""Survivors that are described in one turn."""
_FIRST_CHECK_S = 0.001
_MAX_CHECK_S = 0.05


@dataclass(slots=True)
class Survivor:
    """A task that was told to end and is still alive."""

    record: TaskRecord
    state: str


@dataclass(slots=True)
class Reaping:
    """What became of the tasks.

    ``reaped``: ended after we cancelled them, as cancelled or with a result (one that catches the
    cancellation, tidies up and returns has ended as asked). ``failed``: ended, but its cleanup
    raised; nobody has retrieved the exception, so asyncio still reports it. ``already_gone``: had
    ended before we came. ``survivors``: alive when time was up.
    """

    reaped: int = 0
    failed: int = 0
    already_gone: int = 0
    survivors: list[Survivor] = field(default_factory=list)
    elapsed_s: float = 0.0


async def cancel(
    refs: Iterable[TaskRef],
    *,
    batch: int = 500,
    timeout: float = 10.0,
) -> Reaping:
    """Cancel these tasks and wait up to ``timeout`` seconds for their end.

    Runs in the loop that the tasks belong to, which turns between batches. ``batch`` is the largest;
    they shrink until one takes a turn of 0.5 ms (ending a task that sleeps takes 8-20 us). The
    timers that the tasks leave behind are removed from the loop meanwhile (timers.py). ``refs``
    longer than some 10,000 should be an iterator that lets go of each (long_lists.drained).
    Each task is looked at again before it is cancelled, once. The task this runs in is never
    cancelled: it is reported as a survivor.
    """
    started = time.monotonic()
    reaping = Reaping()
    async with GradualRemoval(asyncio.get_running_loop()):
        lingering = await _cancel_all(iter(refs), batch, reaping)
    delay = _FIRST_CHECK_S
    while lingering and (left := started + timeout - time.monotonic()) > 0:
        await asyncio.sleep(min(delay, left))
        delay = min(delay * 2, _MAX_CHECK_S)
        lingering = await _look_again(lingering, batch, reaping)
    await _describe(lingering, reaping)
    reaping.elapsed_s = time.monotonic() - started
    return reaping


async def _cancel_all(refs: Iterator[TaskRef], batch: int, reaping: Reaping) -> list[AnyTask]:
    """Cancel them a batch at a time; return those that have not ended by the next turn."""
    lingering: list[AnyTask] = []
    size = min(batch, 4 * _SMALLEST)
    while some := list(islice(refs, size)):
        turned = time.perf_counter()
        told = _cancel(some, reaping)
        # By the next turn all that merely slept have ended; they are let go of here, a batch at a
        # time, because freeing tens of thousands at once would stall the loop as well.
        await asyncio.sleep(0)
        lingering += _book_ended(told, reaping)
        fits = int(size * _TURN_S / (time.perf_counter() - turned))
        size = max(1, min(batch, 2 * size, max(_SMALLEST, fits)))
    return lingering


def _cancel(refs: list[TaskRef], reaping: Reaping) -> list[AnyTask]:
    this = asyncio.current_task()
    told = []
    for ref in refs:
        task = ref()
        if task is None or task.done():
            reaping.already_gone += 1
        elif task is this:
            reaping.survivors.append(_survivor(task, "running this reaping"))
        else:
            cancel_task(task)
            told.append(task)
    return told


def _survivor(task: AnyTask, why: str = "") -> Survivor:
    known = info_of(task)
    assert known is not None  # noqa: S101 - a reading gave it
    return Survivor(to_record(known), why or state(task))


def cancel_task(task: AnyTask) -> None:
    """Cancel a task, even one of a ring of tasks that wait for each other. In its loop.

    ``Task.cancel()`` passes the word on to what the task waits for, and so goes round a ring until
    it raises RecursionError. Then the task is woken with a cancellation of its own instead.
    """
    try:
        task.cancel()
    except RecursionError:
        awaited: Any = task._fut_waiter  # type: ignore[attr-defined]  # noqa: SLF001
        wake_ups = [call for call, *_ in awaited._callbacks if _wakes(call, task)]  # noqa: SLF001
        for wake_up in wake_ups:
            awaited.remove_done_callback(wake_up)
            cancelled = task.get_loop().create_future()
            cancelled.cancel()
            cancelled.add_done_callback(wake_up)


def _wakes(callback: Any, task: AnyTask) -> bool:
    return getattr(callback, "__self__", None) is task


async def _describe(lingering: list[AnyTask], reaping: Reaping) -> None:
    """Add what is still alive to the survivors, a few in each turn of the loop: 5 us each."""
    for start in range(0, len(lingering), _DESCRIBED_PER_TURN):
        still = _book_ended(lingering[start : start + _DESCRIBED_PER_TURN], reaping)
        reaping.survivors += map(_survivor, still)
        await asyncio.sleep(0)


async def _look_again(lingering: list[AnyTask], batch: int, reaping: Reaping) -> list[AnyTask]:
    still: list[AnyTask] = []
    for start in range(0, len(lingering), batch):
        still += _book_ended(lingering[start : start + batch], reaping)
        await asyncio.sleep(0)
    return still


def _book_ended(told: list[AnyTask], reaping: Reaping) -> list[AnyTask]:
    """Count those that have ended; return those that have not."""
    still = []
    for task in told:
        if not task.done():
            still.append(task)
        elif getattr(task, "_exception", None) is not None:
            reaping.failed += 1
        else:
            reaping.reaped += 1
    return still
