"""Where the live tasks are found: weak references that can be copied from any thread in one step.

Up to Python 3.13 asyncio keeps a weak set of all tasks, which costs a ledger nothing. From 3.14 on
its tasks are in lists inside the interpreter, which only ``asyncio.all_tasks`` reads: 100 ns a task
in one step that stops every other thread (140 ms at a million), and without the tasks that have
ended. So there a ledger keeps a set of its own (docs/adr/0027-a-registry-of-our-own.md).
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
"""How a reader holds a task beyond a moment."""

EXACT_BELOW = 10_000
"""Live tasks up to which all of asyncio's tasks are listed whenever somebody asks: 1 ms."""
SAMPLE = 100
"""Untracked tasks that are kept as a sample, so that a person can be told what they run."""
_DRIFT = 32
"""References to the class ``asyncio.Task`` that come and go without a task, with imports."""
_MAX_SHARE = 0.02
"""Of the time, at most, that listing all of asyncio's tasks may stop the program."""


def asyncio_collection(name: str) -> Any:
    """A private collection of ``asyncio.tasks``, if the tasks really are in it; else None.

    The module keeps its names when its compiled half stops using them, as Python 3.14 did.
    """
    compiled = sys.modules.get("_asyncio")
    is_kept = hasattr(compiled, name) if asyncio.Task.__module__ == "_asyncio" else True
    return getattr(asyncio.tasks, name, None) if is_kept else None


def current_task_getter() -> Callable[[asyncio.AbstractEventLoop], AnyTask | None]:
    """The cheapest way to ask which task a loop runs, in the loop's thread.

    Where asyncio has a dict of them: a tenth of what the function takes, at every spawn.
    """
    running = asyncio_collection("_current_tasks")
    return asyncio.current_task if running is None else running.get


def asyncio_refs() -> set[TaskRef] | None:
    """asyncio's own weak references to all tasks, of whatever loop; None where it has none.

    The set itself, which changes: copy it with ``list()``, which is one step.
    """
    name = "_scheduled_tasks" if hasattr(asyncio.tasks, "_scheduled_tasks") else "_all_tasks"
    return getattr(asyncio_collection(name), "data", None)


class Untracked:
    """Counts a loop's live tasks that passed no ledger, where asyncio's list of all is expensive.

    Each instance of a class written in C holds a reference to its class, so the references to
    ``asyncio.Task`` say at once whether the number of plain tasks has changed since they were
    listed. That is the case from Python 3.12 on; only 3.14 and later come here.
    """

    def __init__(self) -> None:
        self.sample: list[TaskRef] = []
        """Some of those that were listed last."""
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
        """How many there are now; beyond EXACT_BELOW tracked ones (``live``) an estimate at times.

        From any thread. Cost: below EXACT_BELOW, and when the number of plain tasks has changed,
        0.2 us for each live task, half of it in one step, in at most _SHARE of the time.
        """
        references = sys.getrefcount(asyncio.Task)
        changed = references - self._references
        if self._listed_at is not None and live > EXACT_BELOW:
            due = self._listed_at + self._cost_s / _MAX_SHARE
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
    """The loop's live tasks that passed no ledger. Cost: 0.2 us for each live task of the loop."""
    return [weakref.ref(task) for task in asyncio.all_tasks(loop) if not is_tracked(task)]
