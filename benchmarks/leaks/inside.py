"""What each tool runs inside the program: it starts in the program's loop before it, and ends after it.

What is printed here, the benchmark reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import sysconfig
import threading
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

Inside = AbstractAsyncContextManager[None]

FRAMES = 15
LOOK_EVERY = 10.0
"""Seconds between two lists of a tool that gives no verdict."""

_NOT_THE_PROGRAM = (
    *{sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")},
    *(str(Path(__file__).with_name(name)) for name in ("program.py", "launch.py", "inside.py")),
    "<",
)


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
        stacks = (each.creation_stack or [] for each in error.leaked_tasks)
        places = Counter(
            _nearest((each.filename, each.lineno or 0) for each in stack) for stack in stacks
        )
        print(json.dumps(places.most_common()), flush=True)


@contextlib.asynccontextmanager
async def _aiomonitor(_: str) -> AsyncIterator[None]:
    import socket

    import aiomonitor

    free = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    ports = [each.getsockname()[1] for each in free]
    for each in free:
        each.close()
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

    def look() -> None:
        while not ended.wait(LOOK_EVERY):
            sizes: Counter[str] = Counter()
            for each in tracemalloc.take_snapshot().statistics("traceback"):
                sizes[_nearest((frame.filename, frame.lineno) for frame in each.traceback)] += (
                    each.size
                )
            print(json.dumps(sizes.most_common(30)), flush=True)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield
    finally:
        ended.set()
        looking.join()


def _nearest(frames: Iterable[tuple[str, int]]) -> str:
    """The innermost line of the program, or else the innermost line. Frames come with the innermost last."""
    inward = list(frames)[::-1]
    ours = (each for each in inward if not each[0].startswith(_NOT_THE_PROGRAM))
    file, line = next(ours, inward[0] if inward else ("?", 0))
    return f"{file}:{line}"


INSIDE: dict[str, Callable[[str], Inside]] = {
    "nothing": _nothing,
    "count": _count,
    "qcfeed": _qcfeed,
    "pyleak": _pyleak,
    "aiomonitor": _aiomonitor,
    "tracemalloc": _tracemalloc,
}
