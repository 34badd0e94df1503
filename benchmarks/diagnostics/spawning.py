"""Create and finish a trivial task, and the memory of one that sleeps."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Coroutine
from typing import Any

import psutil

from benchmarks.diagnostics.peers import PEERS
from benchmarks.diagnostics.programs import nothing, sleeper

BATCH = 1_000
SLEEPING = {False: 50_000, True: 10_000}
"""Number of tasks, by whether the peer is slow."""


def burst(name: str) -> float:
    """Nanoseconds of CPU per trivial task; a thousand are created at a time."""

    async def run(batches: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(batches):
            for _ in range(BATCH):
                loop.create_task(nothing())
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    batches = 2 if PEERS[name].slow else 10
    return _cpu(name, lambda: run(batches)) / (batches * BATCH)


def awaited(name: str) -> float:
    """The same; each task is awaited before the next is created."""

    async def run(number: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(number):
            await loop.create_task(nothing())

    number = (1 if PEERS[name].slow else 10) * BATCH
    return _cpu(name, lambda: run(number)) / number


def _cpu(name: str, main: Callable[[], Coroutine[Any, Any, object]]) -> int:
    peer = PEERS[name]

    async def measured() -> int:
        with peer.watching(asyncio.get_running_loop()):
            gc.collect()  # otherwise garbage of other measurements is collected during this one
            started = time.thread_time_ns()
            await main()
            return time.thread_time_ns() - started

    with asyncio.Runner(loop_factory=peer.loop) as runner:
        return runner.run(measured())


def memory(name: str) -> float:
    """Resident bytes per sleeping task. Runs in a fresh process, because reused memory would not count."""
    peer = PEERS[name]
    number = SLEEPING[peer.slow]

    async def measured() -> float:
        loop = asyncio.get_running_loop()
        with peer.watching(loop):
            process = psutil.Process()
            before = process.memory_info().rss
            tasks = [loop.create_task(sleeper()) for _ in range(number)]
            await asyncio.sleep(0.1)
            taken = float(process.memory_info().rss - before) / number
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        return taken

    with asyncio.Runner(loop_factory=peer.loop) as runner:
        return runner.run(measured())
