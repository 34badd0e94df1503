"""What the task ledger costs, beside its peers, in one run on one machine.

    python benchmarks/diagnostics.py [--rounds 11]

Create and finish: a thousand trivial tasks at a time, CPU time of the loop's thread, medians of
interleaved rounds, as ratios to plain asyncio. Memory: resident bytes a sleeping task, each in a
process of its own. Then a census, a search for orphans and a reaping of as many tasks as the
incident left, with the longest gap of a 1 ms ticker in the watched loop.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import aiomonitor
import psutil

from qcfeed.diagnostics import census, orphans, reaper
from qcfeed.diagnostics.spawn import Ledger, Record, owned_by

INCIDENT = 47_829
BATCH = 1_000


async def nothing() -> None: ...


async def sleeper() -> None:
    await asyncio.sleep(3600)


# ---------------------------------------------------------------- the peers


@contextlib.contextmanager
def plain(_: asyncio.AbstractEventLoop) -> Iterator[None]:
    yield


@contextlib.contextmanager
def ledger(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    books = Ledger()
    books.install(loop)
    yield
    books.uninstall()


@contextlib.contextmanager
def asyncio_debug(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    loop.set_debug(True)
    yield
    loop.set_debug(False)


@contextlib.contextmanager
def aiomonitor_hook(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    ports = {"port": free_port(), "webui_port": free_port()}
    with aiomonitor.start_monitor(loop, console_enabled=False, hook_task_factory=True, **ports):
        yield


PEERS: dict[str, Callable[[asyncio.AbstractEventLoop], contextlib.AbstractContextManager[None]]]
PEERS = {
    "plain asyncio": plain,
    "ledger": ledger,
    "asyncio debug": asyncio_debug,
    "aiomonitor hook": aiomonitor_hook,
}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


# ---------------------------------------------------------------- create and finish, memory


async def create_and_finish(peer: str) -> float:
    """Nanoseconds of CPU a trivial task."""
    loop = asyncio.get_running_loop()
    with PEERS[peer](loop):
        batches = 20 if peer in ("plain asyncio", "ledger") else 2
        started = time.thread_time_ns()
        for _ in range(batches):
            for _ in range(BATCH):
                loop.create_task(nothing())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return (time.thread_time_ns() - started) / (batches * BATCH)


async def memory(peer: str, number: int = 50_000) -> float:
    """Resident bytes a sleeping task."""
    loop = asyncio.get_running_loop()
    with PEERS[peer](loop):
        process = psutil.Process()
        before = process.memory_info().rss
        tasks = [loop.create_task(sleeper()) for _ in range(number)]
        await asyncio.sleep(0.1)
        taken = float(process.memory_info().rss - before) / number
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    return taken


def in_a_process_of_its_own(peer: str) -> float:
    command = [sys.executable, __file__, "--memory", peer]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def compare(rounds: int) -> None:
    times: dict[str, list[float]] = {peer: [] for peer in PEERS}
    sizes: dict[str, list[float]] = {peer: [] for peer in PEERS}
    for n in range(rounds):
        for peer in PEERS:
            times[peer].append(asyncio.run(create_and_finish(peer)))
            if n < 3:
                sizes[peer].append(in_a_process_of_its_own(peer))
    base_time, base_size = (statistics.median(x["plain asyncio"]) for x in (times, sizes))
    print(f"{'':16}{'create + finish':>22}{'a sleeping task':>22}")
    for peer in PEERS:
        took, size = statistics.median(times[peer]), statistics.median(sizes[peer])
        ratios = f"{took / base_time:6.2f} x", f"{size / base_size:6.2f} x"
        print(f"{peer:16}{took:10.0f} ns {ratios[0]}{size:10.0f} B  {ratios[1]}")


# ---------------------------------------------------------------- reading and reaping


class Ticker:
    """Longest gap of a 1 ms ticker, in milliseconds."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def run(self) -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            self.longest = max(self.longest, (now - last) * 1e3)
            last = now


def timed(call: Callable[..., Any], *args: Any) -> tuple[float, Any]:
    started = time.perf_counter()
    result = call(*args)
    return (time.perf_counter() - started) * 1e3, result


async def read_and_reap(number: int) -> dict[str, tuple[float, float]]:
    """Milliseconds each took, and the ticker's longest gap meanwhile."""
    loop = asyncio.get_running_loop()
    books = Ledger()
    books.install(loop)
    closed = False
    with owned_by(lambda: closed):
        for _ in range(number):
            loop.create_task(sleeper())
    ticker = Ticker()
    ticking = loop.create_task(ticker.run())
    await asyncio.sleep(0.2)
    closed = True
    figures: dict[str, tuple[float, float]] = {}
    found: list[Record] = []
    for name, call, args in (
        ("by location", census.by_location, ()),
        ("oldest 1,000", census.live, (1_000,)),
        ("orphans", orphans.records, ()),
    ):
        ticker.longest = 0.0
        took, found = await asyncio.to_thread(timed, call, books, time.monotonic(), *args)
        await asyncio.sleep(0.005)
        figures[name] = took, ticker.longest
    assert len(found) == number
    ticker.longest = 0.0
    reaping = await reaper.cancel(found)
    assert reaping.reaped == number
    figures["reap"] = reaping.elapsed_s * 1e3, ticker.longest
    ticking.cancel()
    books.uninstall()
    return figures


def read(rounds: int) -> None:
    for number in (INCIDENT, 200_000):
        taken = [asyncio.run(read_and_reap(number)) for _ in range(rounds)]
        print(f"\n{number:,} sleeping tasks{'took':>16}{'longest gap':>16}")
        for name in taken[0]:
            took, gap = (statistics.median(run[name][i] for run in taken) for i in (0, 1))
            print(f"{name:24}{took:11.0f} ms{gap:13.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--memory", metavar="PEER", choices=list(PEERS))
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)  # of asyncio's debug mode: slow callbacks
    if arguments.memory:
        print(asyncio.run(memory(arguments.memory)))
        return
    compare(arguments.rounds)
    read(max(1, arguments.rounds // 3))


if __name__ == "__main__":
    main()
