"""Groups the tasks of a program by coroutine and by where they wait. Changes nothing, and leaves nothing."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import Any

from qcfeed.diagnostics.task_groups import Grouping
from qcfeed.inject.injected import loops

SLICE = 100
TURN_S = 0.001
"""Seconds for which the work may hold the interpreter before the program runs."""
_PAUSE_S = 50e-6


def work(here: Any, _: dict[str, Any]) -> dict[str, Any]:
    """The groups of every running loop. Runs in a thread of its own, in slices.

    Cost: asyncio's list of all tasks, in one step (0.1 us per task), and 1-2 us per task in slices.
    """
    began = time.monotonic()
    found = [_of_loop(thread, loop) for thread, loop in loops.running(here)]
    return {
        "python": sys.version.split()[0],
        "pid": os.getpid(),
        "loops": found,
        "elapsed_ms": round((time.monotonic() - began) * 1000, 3),
    }


def _of_loop(thread: str, loop: Any) -> dict[str, Any]:
    began = time.thread_time()
    tasks = list(asyncio.all_tasks(loop))
    listed_s, longest_s = time.thread_time() - began, 0.0
    number, grouping = len(tasks), Grouping()
    turn = time.thread_time()
    while tasks:
        grouping.add(tasks[-SLICE:])
        del tasks[-SLICE:]  # a task must not outlive its end because it is in this list
        worked = time.thread_time() - turn
        if worked > TURN_S:
            longest_s = max(longest_s, worked)
            time.sleep(_PAUSE_S)
            turn = time.thread_time()
    kind = type(loop)
    return {
        "thread": thread,
        "loop": f"{kind.__module__}.{kind.__qualname__}",
        "total": number,
        "groups": [group.as_dict() for group in grouping.groups()],
        "held_ms": round(max(listed_s, longest_s) * 1000, 3),
    }
