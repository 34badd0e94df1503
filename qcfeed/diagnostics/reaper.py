"""The reaper: cancels tasks in batches, waits for their end, and reports which survived."""

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
"""Seconds of a loop's turn that a batch may take. A timer that is due may have to wait for three turns."""
_SMALLEST = 32
"""Tasks per batch, at least: smaller batches would mostly pay for the turns of the loop in between."""
_DESCRIBED_PER_TURN = 100
"""Survivors that are described in one turn of the loop."""
_FIRST_CHECK_S = 0.001
_MAX_CHECK_S = 0.05
"""Seconds between two checks of the tasks that have not ended; the wait doubles from the first to this."""


@dataclass(slots=True)
class SurvivingTask:
    """A task that was cancelled and is still alive. ``state``: what it waits on."""

    record: TaskRecord
    state: str


@dataclass(slots=True)
class Reaping:
    """The result of cancelling tasks.

    ``reaped``: tasks that ended after they were cancelled, as cancelled or with a result (a task may
    catch the cancellation, clean up and return). ``failed``: tasks that ended with an exception, from
    their cleanup for example; it was not retrieved, so asyncio still reports it. ``already_gone``:
    tasks that had ended before. ``survivors``: tasks that were alive at the timeout.
    """

    reaped: int = 0
    failed: int = 0
    already_gone: int = 0
    survivors: list[SurvivingTask] = field(default_factory=list)
    elapsed_s: float = 0.0


async def cancel(
    refs: Iterable[TaskRef],
    *,
    batch: int = 500,
    timeout: float = 10.0,
) -> Reaping:
    """Cancel these tasks and wait up to ``timeout`` seconds for their end.

    It runs in the loop of the tasks; other tasks run between batches. ``batch`` is the maximum size:
    batches shrink until each takes 0.5 ms (ending a sleeping task takes 8-20 us). The cancelled timers
    that the tasks leave behind are removed gradually (timers.py). More than about 10,000 ``refs``
    should be given as an iterator that releases each (``long_lists.drained``).

    Each task is cancelled once, if it has not ended by then. The task that runs this is never
    cancelled; it is reported as a survivor. Raises nothing of its own.
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
    """Cancel the tasks in batches; returns those that have not ended by the next turn of the loop."""
    lingering: list[AnyTask] = []
    size = min(batch, 4 * _SMALLEST)
    while some := list(islice(refs, size)):
        turned = time.perf_counter()
        cancelled = _cancel(some, reaping)
        # By the next turn, tasks that only slept have ended. They are released here, one batch at a
        # time, because freeing tens of thousands at once would stall the loop too.
        await asyncio.sleep(0)
        lingering += _count_ended(cancelled, reaping)
        # How many tasks of this batch's kind would have fitted into the time of one turn.
        fits = int(size * _TURN_S / (time.perf_counter() - turned))
        size = max(1, min(batch, 2 * size, max(_SMALLEST, fits)))
    return lingering


def _cancel(refs: list[TaskRef], reaping: Reaping) -> list[AnyTask]:
    this = asyncio.current_task()
    cancelled = []
    for ref in refs:
        task = ref()
        if task is None or task.done():
            reaping.already_gone += 1
        elif task is this:
            reaping.survivors.append(_survivor(task, "running this reaping"))
        else:
            cancel_task(task)
            cancelled.append(task)
    return cancelled


def _survivor(task: AnyTask, why: str = "") -> SurvivingTask:
    known = info_of(task)
    assert known is not None  # noqa: S101 - a scan found it
    return SurvivingTask(to_record(known), why or state(task))


def cancel_task(task: AnyTask) -> None:
    """Cancel a task, even one in a cycle of tasks that wait for each other. Call it in the task's loop.

    ``Task.cancel()`` also cancels what the task waits for, so in a cycle it recurses until it raises
    RecursionError. Then the task is woken by a cancelled future of its own instead.
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
    """Add the tasks that are still alive to the survivors, some per turn of the loop; 5 us each."""
    for start in range(0, len(lingering), _DESCRIBED_PER_TURN):
        still = _count_ended(lingering[start : start + _DESCRIBED_PER_TURN], reaping)
        reaping.survivors += map(_survivor, still)
        await asyncio.sleep(0)


async def _look_again(lingering: list[AnyTask], batch: int, reaping: Reaping) -> list[AnyTask]:
    still: list[AnyTask] = []
    for start in range(0, len(lingering), batch):
        still += _count_ended(lingering[start : start + batch], reaping)
        await asyncio.sleep(0)
    return still


def _count_ended(cancelled: list[AnyTask], reaping: Reaping) -> list[AnyTask]:
    """Count the tasks that have ended; returns the others."""
    still = []
    for task in cancelled:
        if not task.done():
            still.append(task)
        # ``exception()`` would mark it as retrieved, and asyncio would not report it any more.
        elif getattr(task, "_exception", None) is not None:
            reaping.failed += 1
        else:
            reaping.reaped += 1
    return still
