"""Snapshots of sleeping tasks: their duration, and the longest gap of the loop."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import tempfile
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.diagnostics.peers import aiomonitor_hook
from benchmarks.diagnostics.programs import Ticker, sleeper, sleepers
from qcfeed.control import routes
from qcfeed.control.audit import AuditLog
from qcfeed.control.client import ControlClient
from qcfeed.control.handlers import tasks
from qcfeed.control.paths import ControlAddress
from qcfeed.control.server import ControlServer
from qcfeed.diagnostics import snapshot
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.loop_watch import LoopWatch
from qcfeed.metrics.collectors import Exposition
from qcfeed.metrics.program import ProgramSamples
from qcfeed.model.orphans import Orphans
from qcfeed.model.tasks import TasksByLocation

ROUNDS = 5
PER_OWNER = 4
Figures = dict[str, dict[str, float]]


class Bench:
    """Runs functions in a thread while a ticker runs in the loop."""

    def __init__(self) -> None:
        self.figures: Figures = {}
        self._ticker = Ticker()

    async def measure(self, name: str, look: Callable[[], float], rounds: int = ROUNDS) -> None:
        """``look`` returns its duration in milliseconds."""
        ticking = asyncio.create_task(self._ticker.run())
        await asyncio.sleep(0.05)
        took, gaps = [], []
        for _ in range(rounds):
            self._ticker.longest = 0.0
            took.append(await asyncio.to_thread(look))
            await asyncio.sleep(0.01)
            gaps.append(self._ticker.longest)
        ticking.cancel()
        self.figures[name] = {
            "took_ms": statistics.median(took),
            "slowest_ms": max(took),
            "gap_ms": statistics.median(gaps),
            "longest_gap_ms": max(gaps),
        }


@contextlib.contextmanager
def served(ledger: Ledger, timeout: float = 60) -> Iterator[ControlClient]:
    """A control plane beside the running loop, and its client."""
    loop = asyncio.get_running_loop()
    watch = LoopWatch()
    watch.start(loop)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "bench.sock"
        server = ControlServer(
            tasks.routes(ledger, watch),
            instance="bench",
            socket=path,
            loop=loop,
            watch=watch,
            audit=AuditLog(Path(directory) / "audit.jsonl"),
        )
        server.start()
        try:
            yield ControlClient(ControlAddress(path), timeout=timeout)
        finally:
            server.stop()
            watch.stop()


async def qcfeed(number: int, owned: bool) -> Figures:
    """Measure through the control plane (the answers' own figures) and in-process."""
    bench = Bench()
    ledger = Ledger()
    ledger.install(asyncio.get_running_loop())
    owners = sleepers(number, number // PER_OWNER if owned else 0)
    await asyncio.sleep(1)
    with served(ledger) as client:

        def served_by_location() -> float:
            answer = client.get(routes.TASKS_BY_LOCATION, TasksByLocation)
            assert answer.totals.live >= number
            return answer.elapsed_ms

        def served_orphans() -> float:
            answer = client.get(routes.ORPHANS, Orphans)
            assert answer.total == (number if owned else 0)
            return answer.elapsed_ms

        await bench.measure("by location, served", served_by_location)
        await bench.measure(
            "by location, in-process",
            lambda: _timed(snapshot.by_location, ledger, time.monotonic()),
        )
        scraped = Exposition(ProgramSamples(ledger, LoopWatch()).read)
        await bench.measure("metrics, scraped", lambda: _timed(scraped.text))
        now = time.monotonic()
        for owner in owners:
            owner.closed_at = now
        await bench.measure("orphans, served", served_orphans)
    ledger.uninstall()
    return bench.figures


async def all_tasks(number: int, owned: bool) -> Figures:
    """The baseline without qcfeed: group ``asyncio.all_tasks()`` by coroutine, in the loop."""
    del owned
    bench = Bench()
    loop = asyncio.get_running_loop()
    sleepers(number, 0)
    await asyncio.sleep(1)

    async def grouped() -> None:
        groups = Counter(
            getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()
        )
        assert groups["sleeper"] == number

    def look() -> float:
        return _timed(asyncio.run_coroutine_threadsafe(grouped(), loop).result)

    await bench.measure("asyncio.all_tasks() in the loop", look)
    return bench.figures


async def aiomonitor(number: int, owned: bool) -> Figures:
    """aiomonitor's list of live tasks, as its ``ps`` command and its web page request it."""
    del owned
    bench = Bench()
    loop = asyncio.get_running_loop()
    with aiomonitor_hook(loop) as monitor:
        held = [loop.create_task(sleeper()) for _ in range(number)]
        await asyncio.sleep(1)
        url = f"http://127.0.0.1:{monitor._webui_port}/api/live-tasks"  # noqa: SLF001

        def web() -> None:
            body = urllib.parse.urlencode({"filter": "", "persistent": "false"}).encode()
            with urllib.request.urlopen(url, body) as response:
                assert len(response.read()) > number

        await bench.measure(
            "aiomonitor ps", lambda: _timed(monitor.format_running_task_list, "", False), 3
        )
        await bench.measure("aiomonitor web list", lambda: _timed(web), 3)
        del held
    return bench.figures


PROGRAMS = {"qcfeed": qcfeed, "all_tasks": all_tasks, "aiomonitor": aiomonitor}


def _timed(call: Callable[..., object], *args: object) -> float:
    started = time.perf_counter()
    call(*args)
    return (time.perf_counter() - started) * 1e3
