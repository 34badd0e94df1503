"""Where the live tasks are found: weak references that any thread can copy in one step.

Up to Python 3.13 asyncio keeps a weak set of all tasks, which the ledger uses at no cost. From 3.14
on asyncio keeps tasks in lists inside the interpreter. Only ``asyncio.all_tasks()`` reads those: it
takes 100 ns per task in one step that stops every other thread (140 ms for a million tasks), and it
leaves out tasks that have ended. So on 3.14 and later the ledger keeps its own set
(docs/adr/0027-a-registry-of-our-own.md).
"""

from __future__ import annotations

import asyncio
import asyncio.tasks
import sys
import time
import weakref
from collections.abc import Callable
from typing import Any

from qcfeed.diagnostics.site import AnyTask

TaskRef = weakref.ref[AnyTask]
"""A weak reference to a task, which readers may keep."""

EXACT_BELOW = 10_000
"""With up to this many live tasks, all of asyncio's tasks are listed at every count: 1 ms."""
SAMPLE = 100
"""Untracked tasks that are kept as a sample, to show which coroutines they run."""
_DRIFT = 32
"""References to the class ``asyncio.Task`` that come and go without a task, for example with imports."""
MAX_SHARE = 0.02
"""Share of the time for which listing all of asyncio's tasks may stop the program, at most."""


def asyncio_collection(name: str) -> Any:
    """A private collection of ``asyncio.tasks``; None if asyncio does not use it.

    The Python module may still have the name after its compiled half stopped using the collection,
    as in Python 3.14. So the compiled module is asked too.
    """
    compiled = sys.modules.get("_asyncio")
    is_kept = hasattr(compiled, name) if asyncio.Task.__module__ == "_asyncio" else True
    return getattr(asyncio.tasks, name, None) if is_kept else None


def current_task_getter() -> Callable[[asyncio.AbstractEventLoop], AnyTask | None]:
    """The fastest function that tells which task a loop runs; call it in the loop's thread.

    Where asyncio has a dict of running tasks, its ``get`` takes a tenth of the time of
    ``asyncio.current_task``. The ledger calls it at every spawn.
    """
    running = asyncio_collection("_current_tasks")
    return asyncio.current_task if running is None else running.get


def asyncio_refs() -> set[TaskRef] | None:
    """asyncio's set of weak references to the tasks of all loops; None where it has no such set.

    It is the live set, which changes. Copy it with ``list()``, which is one step.
    """
    name = "_scheduled_tasks" if hasattr(asyncio.tasks, "_scheduled_tasks") else "_all_tasks"
    return getattr(asyncio_collection(name), "data", None)


class UntrackedCounter:
    """Counts a loop's untracked live tasks where listing all tasks is expensive (Python 3.14 and later).

    Every instance of a class written in C holds a reference to its class (from Python 3.12 on). So
    the reference count of ``asyncio.Task`` tells at once whether the number of plain tasks has
    changed since they were last listed.
    """

    def __init__(self) -> None:
        self.sample: list[TaskRef] = []
        """Some of the untracked tasks that were listed last."""
        self._exact = 0
        self._references = 0
        self._listed_at: float | None = None
        self._cost_s = 0.0

    def count(
        self,
        loop: asyncio.AbstractEventLoop,
        live: int,
        is_tracked: Callable[[AnyTask], bool],
    ) -> int:
        """The number of untracked tasks. Above EXACT_BELOW tracked tasks (``live``) it may be an
        estimate, because the exact count may take at most MAX_SHARE of the time.

        From any thread. Cost of an exact count: 0.2 us per live task, half of it in one step.
        """
        # Read before the tasks are listed, so that one created meanwhile counts as a change next time.
        references = sys.getrefcount(asyncio.Task)
        changed = references - self._references
        if self._listed_at is not None and live > EXACT_BELOW:
            due = self._listed_at + self._cost_s / MAX_SHARE
            if abs(changed) <= _DRIFT:
                return self._exact
            if time.monotonic() < due:
                return max(0, self._exact + changed)
        began = time.thread_time()
        found = untracked(loop, is_tracked)
        self._exact, self.sample = len(found), found[:SAMPLE]
        self._references = references
        self._cost_s = time.thread_time() - began
        self._listed_at = time.monotonic()
        return self._exact


def untracked(
    loop: asyncio.AbstractEventLoop, is_tracked: Callable[[AnyTask], bool]
) -> list[TaskRef]:
    """The loop's live tasks that no ledger recorded. Cost: 0.2 us per live task of the loop."""
    return [weakref.ref(task) for task in asyncio.all_tasks(loop) if not is_tracked(task)]
