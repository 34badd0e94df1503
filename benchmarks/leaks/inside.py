"""What each tool runs inside the program: it starts in the program's loop before it, and ends after it.

What is printed here, the benchmark reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import sysconfig
import threading
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from operator import itemgetter
from pathlib import Path

Inside = AbstractAsyncContextManager[None]

FRAMES = 15
LOOK_EVERY = 10.0
"""Seconds between two lists of a tool that gives no verdict."""

SHOWN = 30
"""Groups that are printed."""

_SHELL = tuple(str(Path(__file__).with_name(name)) for name in ("program.py", "launch.py"))
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("purelib", "platlib")})
_STANDARD_LIBRARY = (*{sysconfig.get_path(name) for name in ("stdlib", "platstdlib")}, "<", *_SHELL)
_NOT_THE_PROGRAM = (*_STANDARD_LIBRARY, *_LIBRARIES)


@contextlib.asynccontextmanager
async def _nothing(_: str) -> AsyncIterator[None]:
    yield


@contextlib.asynccontextmanager
async def _count(_: str) -> AsyncIterator[None]:
    """Print how many tasks the program has left, at its end."""
    others = asyncio.all_tasks()
    yield
    gc.collect()  # a task that nothing holds is no leak
    print("tasks", len(asyncio.all_tasks() - others), flush=True)


@contextlib.asynccontextmanager
async def _qcfeed(instance: str) -> AsyncIterator[None]:
    from qcfeed import attach

    async with attach(instance):
        yield


@contextlib.asynccontextmanager
async def _pyleak(_: str) -> AsyncIterator[None]:
    """pyleak looks once, at the end of the block."""
    from pyleak import TaskLeakError, no_task_leaks

    try:
        async with no_task_leaks(action="raise", enable_creation_tracking=True):
            yield
    except TaskLeakError as error:
        stacks = [
            [(each.filename, each.lineno or 0) for each in (task.creation_stack or ())]
            + [(each.filename, each.lineno or 0) for each in (task.current_stack or ())]
            for task in error.leaked_tasks
        ]
        _print_groups((stack, 1) for stack in stacks)


@contextlib.asynccontextmanager
async def _aiomonitor(_: str) -> AsyncIterator[None]:
    import aiomonitor

    # Ports of this process alone, below those that the kernel gives to connections: a port that is taken
    # hangs the monitor.
    first = 20_000 + os.getpid() * 3 % 12_000
    ports = range(first, first + 3)
    with aiomonitor.start_monitor(
        asyncio.get_running_loop(),
        port=ports[0],
        console_port=ports[1],
        webui_port=ports[2],
        console_enabled=False,
        hook_task_factory=True,  # without it, no task has a place
    ):
        print(json.dumps({"port": ports[2]}), flush=True)
        yield


@contextlib.asynccontextmanager
async def _tracemalloc(_: str) -> AsyncIterator[None]:
    """Print the largest groups of allocations regularly: bytes by the program's line nearest to them."""
    tracemalloc.start(FRAMES)
    ended = threading.Event()
    own = [
        tracemalloc.Filter(False, file, all_frames=True)
        for file in (tracemalloc.__file__, __file__)
    ]

    def look() -> None:
        while not ended.wait(LOOK_EVERY):
            found = tracemalloc.take_snapshot().filter_traces(own).statistics("traceback")
            stacks = (
                ([(frame.filename, frame.lineno) for frame in each.traceback], each.size)
                for each in found
            )
            _print_groups(stacks)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield
    finally:
        ended.set()
        looking.join()


Stack = list[tuple[str, int]]
"""File and line of each frame, the innermost last."""


def _print_groups(stacks: Iterable[tuple[Stack, int]]) -> None:
    """Print the largest groups: their place, their size, and all lines of their largest stack."""
    sizes: Counter[str] = Counter()
    shown: dict[str, tuple[int, Stack]] = {}
    for stack, size in stacks:
        where = _nearest(stack)
        sizes[where] += size
        shown[where] = max(shown.get(where, (0, [])), (size, stack), key=itemgetter(0))
    groups = (
        (where, size, [f"{file}:{line}" for file, line in shown[where][1]])
        for where, size in sizes.most_common(SHOWN)
    )
    print(json.dumps(list(groups)), flush=True)


def _nearest(stack: Stack) -> str:
    """The innermost line of the program, or else of a library, or else of all."""
    inward = stack[::-1] or [("?", 0)]
    for others in (_NOT_THE_PROGRAM, _STANDARD_LIBRARY, ()):
        for file, line in inward:
            if not file.startswith(others):
                return f"{file}:{line}"
    raise AssertionError("unreachable")


INSIDE: dict[str, Callable[[str], Inside]] = {
    "nothing": _nothing,
    "count": _count,
    "qcfeed": _qcfeed,
    "pyleak": _pyleak,
    "aiomonitor": _aiomonitor,
    "tracemalloc": _tracemalloc,
}
