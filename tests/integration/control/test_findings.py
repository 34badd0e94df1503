"""The findings over a real control plane, of a loop in another thread."""

from __future__ import annotations

import asyncio
import gc
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from qcfeed.control.handlers import findings, tasks
from qcfeed.control.routes import TASKS_FINDINGS
from qcfeed.diagnostics.ledger import owned_by
from qcfeed.diagnostics.sampler import DiagnosticsSampler
from qcfeed.model.findings import Findings
from tests.integration.control.conftest import Plane, Watched
from tests.support.machine import of_the_program
from tests.support.patience import PATIENCE


class Gone:
    """An owner that closed a minute ago."""

    closed = True

    def __init__(self) -> None:
        self.closed_at = time.monotonic() - 60


@pytest.fixture
def sampler(watched: Watched) -> Iterator[DiagnosticsSampler]:
    sampler = DiagnosticsSampler(watched.ledger, watched.watch, every=0.02)
    yield sampler
    watched.release()
    if sampler.unretrieved.listening:
        watched.call(sampler.stop)


@pytest.fixture
def plane(watched: Watched, serve: Callable[..., Plane], sampler: DiagnosticsSampler) -> Plane:
    routes = [*tasks.routes(watched.ledger, watched.watch), *findings.routes(sampler)]
    return serve(routes=routes)


def ask(plane: Plane) -> Findings:
    return plane.client().get(TASKS_FINDINGS, Findings)


def until_told(plane: Plane, rule: str) -> Any:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        told = {finding.rule: finding for finding in ask(plane).findings}
        if rule in told:
            return told[rule]
        time.sleep(0.02)
    raise AssertionError(f"{rule} was not found")


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


async def fail() -> None:
    raise ValueError("nobody looks")


async def lose() -> None:
    await asyncio.wait([asyncio.create_task(fail())])
    gc.collect()


def test_findings_have_evidence_and_the_next_command(
    watched: Watched, sampler: DiagnosticsSampler, plane: Plane
) -> None:
    watched.call(lambda: sampler.start(watched.loop))
    with owned_by(Gone()):
        held = watched.call(lambda: [watched.loop.create_task(forever()) for _ in range(3)])
    orphans = until_told(plane, "orphans")
    assert (orphans.certainty, orphans.next) == ("proved", ["qcfeed orphans --reap"])
    assert (ago := re.search(r"closed (\d+)\.\d s ago", orphans.evidence[0]))
    assert 60 <= int(ago[1]) < 60 + PATIENCE
    assert len(orphans.serials) == 3

    watched.run(lose())
    lost = until_told(plane, "exceptions_never_retrieved")
    assert "ValueError: nobody looks" in lost.evidence[0]
    assert "test_findings.py" in lost.location

    answer = ask(plane)
    told = of_the_program(answer.findings)
    assert [each.certainty for each in told] == ["proved", "proved"]
    assert answer.proved + answer.suspected == len(answer.findings)
    assert answer.snapshots >= 1
    assert answer.skipped == []
    watched.call(lambda: [task.cancel() for task in held])


def test_a_stuck_loop_is_reported_while_it_is_stuck(
    watched: Watched, sampler: DiagnosticsSampler, plane: Plane
) -> None:
    watched.call(lambda: sampler.start(watched.loop))
    watched.block()
    stuck = until_told(plane, "blocked_loop")
    assert any("stuck_in_a_callback" in line for line in stuck.evidence)
    assert stuck.summary.startswith("the loop was blocked for ")
    watched.release()


def test_a_busy_healthy_program_has_no_finding(
    watched: Watched, sampler: DiagnosticsSampler, plane: Plane
) -> None:
    """Scores of snapshots while tasks come and go by chance, some with owners that go too."""

    class Session:
        def __init__(self) -> None:
            self.closed = False
            self.closed_at: float | None = None

    async def session(chance: random.Random) -> None:
        owner = Session()
        with owned_by(owner):
            query = asyncio.create_task(asyncio.sleep(chance.expovariate(20)))
        try:
            async with asyncio.timeout(0.03):
                await query
        except TimeoutError:
            pass  # and so the query is cancelled
        owner.closed, owner.closed_at = True, time.monotonic()

    async def pending(over: threading.Event) -> None:
        chance = random.Random(3)
        async with asyncio.TaskGroup() as group:
            while not over.is_set():
                group.create_task(session(chance))
                await asyncio.sleep(chance.expovariate(400))

    def born() -> int:
        """At the busiest line, as the history has it."""
        ours = [s for s in sampler.history.series() if s.function.endswith("pending")]
        return max((series.spawned[-1] for series in ours if max(series.live) > 5), default=0)

    over = threading.Event()
    busy = asyncio.run_coroutine_threadsafe(pending(over), watched.loop)
    time.sleep(0.3)  # the start is over
    watched.call(lambda: sampler.start(watched.loop))
    looks = 0
    deadline = time.monotonic() + 5 * PATIENCE
    # Enough of everything, however long this machine takes for it.
    while looks < 20 or len(sampler.history.times()) < 60 or born() < 500:
        assert time.monotonic() < deadline, (looks, len(sampler.history.times()), born())
        assert of_the_program(ask(plane).findings) == []
        looks += 1
        time.sleep(0.05)
    over.set()
    busy.result(PATIENCE)
