"""What the sampler observes, to the figure: who is suspect since when, what grows, and what is not told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from qcfeed.diagnostics.history import MAX_LOCATIONS
from qcfeed.diagnostics.ledger import Ledger, owned_by
from qcfeed.diagnostics.loop_watch import LoopWatch
from qcfeed.diagnostics.observations import Explanation, SuspectTasks
from qcfeed.diagnostics.sampler import SAMPLE_EVERY_S, DiagnosticsSampler
from qcfeed.diagnostics.snapshot import LocationCounts, TaskSnapshot
from qcfeed.diagnostics.task_info import TaskInfo, info_of
from tests.unit.diagnostics.conftest import Subscriber

NOW = time.monotonic()


@pytest.fixture
async def sampler(ledger: Ledger) -> AsyncIterator[DiagnosticsSampler]:
    """Not started: it samples when the test says so, at times of the test's choosing."""
    sampler = DiagnosticsSampler(ledger, LoopWatch())
    yield sampler
    sampler.stop()


async def forever() -> None:
    await asyncio.Event().wait()


async def stubborn() -> None:
    end = False
    while not end:
        try:
            await asyncio.sleep(3_600)
        except asyncio.CancelledError as error:
            end = error.args == ("really",)


async def end(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel("really")
    await asyncio.wait(tasks)


def infos(*tasks: asyncio.Task[Any]) -> list[TaskInfo]:
    return [info for task in tasks if (info := info_of(task)) is not None]


# ---------------------------------------------------------------- suspect tasks


async def test_orphans_are_suspect_since_their_owner_closed_and_proved_after_five_seconds(
    sampler: DiagnosticsSampler,
) -> None:
    owners = [Subscriber(closed=True, closed_at=NOW - 5.0 - n) for n in range(7)]
    tasks = []
    for owner in owners:
        with owned_by(owner):
            tasks.append(asyncio.create_task(forever()))
    await asyncio.sleep(0)
    oldest = infos(*tasks)
    (orphaned,) = sampler.observe(NOW).orphaned
    assert orphaned == SuspectTasks(
        oldest[0].site.location,
        count=7,
        proved=7,
        longest_s=11.0,
        evidence=orphaned.evidence,
        serials=[each.serial for each in oldest[:5]],
    )
    assert "closed 5" in orphaned.evidence, "of the oldest task"
    (orphaned,) = sampler.observe(NOW - 1.0).orphaned
    assert (orphaned.proved, orphaned.longest_s) == (6, 10.0)
    await end(*tasks)
    assert sampler.observe(NOW).orphaned == []


async def test_tasks_without_a_time_are_suspect_since_the_snapshot_that_found_them_first(
    sampler: DiagnosticsSampler,
) -> None:
    with owned_by(lambda: True):
        task = asyncio.create_task(forever())
    await asyncio.sleep(0)
    for at in (0.0, 10.0, 20.0):
        sampler.sample(NOW + at)
    (orphaned,) = sampler.observe(NOW + 25.0).orphaned
    assert (orphaned.count, orphaned.proved, orphaned.longest_s) == (1, 1, 25.0)
    (orphaned,) = sampler.observe(NOW + 4.5).orphaned
    assert (orphaned.proved, orphaned.longest_s) == (0, 4.5)
    await end(task)
    sampler.sample(NOW + 30.0)
    assert sampler.observe(NOW + 30.0).orphaned == []


async def test_only_tasks_that_were_cancelled_twice_are_stubborn(
    sampler: DiagnosticsSampler,
) -> None:
    tasks = [asyncio.create_task(stubborn()) for _ in range(2)]
    await asyncio.sleep(0)
    for _ in range(2):
        tasks[0].cancel()
        await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.sleep(0)
    sampler.sample(NOW)
    (found,) = sampler.observe(NOW + 7.0).stubborn
    (info,) = infos(tasks[0])
    assert (found.count, found.proved, found.longest_s, found.serials) == (1, 1, 7.0, [info.serial])
    assert found.evidence.startswith("cancelled 2 times; sleeping ")
    await end(*tasks)


async def test_an_owner_may_have_been_gone_for_the_grace_before_its_tasks_are_orphans(
    ledger: Ledger,
) -> None:
    sampler = DiagnosticsSampler(ledger, LoopWatch(), grace=3.0)
    with owned_by(Subscriber(closed=True, closed_at=NOW)):
        task = asyncio.create_task(forever())
    await asyncio.sleep(0)
    assert sampler.observe(NOW + 2.5).orphaned == []
    assert len(sampler.observe(NOW + 3.5).orphaned) == 1
    await end(task)
    sampler.stop()


# ---------------------------------------------------------------- growth and survival


def grow_older(tasks: list[asyncio.Task[Any]], step: float) -> None:
    """As if one of the tasks had been created every ``step`` seconds."""
    for number, info in enumerate(infos(*tasks)):
        info.created_at = NOW - step * (len(tasks) - number)


async def test_tasks_that_do_not_end_are_observed_by_the_looks(sampler: DiagnosticsSampler) -> None:
    tasks = [asyncio.create_task(forever()) for _ in range(80)]
    await asyncio.sleep(0)
    grow_older(tasks, step=0.25)
    assert sampler.observe(NOW).survivors == []
    sampler.look(NOW)
    (found,) = sampler.observe(NOW).survivors
    assert (found.coroutine, found.live, found.unexplained, found.examined) == (
        "forever",
        80,
        61,
        31,
    )
    assert found.serials == [each.serial for each in infos(*tasks)][:10:2]
    assert found.waits == [("Event.wait", 31)]
    assert found.reason is None
    await end(*tasks)


async def test_growth_is_explained_by_what_keeps_nine_of_ten_tasks(
    sampler: DiagnosticsSampler,
) -> None:
    owners = [Subscriber() for _ in range(20)]
    tasks = []
    for owner in owners:
        with owned_by(owner):
            tasks.append(asyncio.create_task(forever()))
    await asyncio.sleep(0)
    site = infos(*tasks)[0].site
    location = site.location
    sampler.history.note(NOW - 10.0, [LocationCounts(location, site.function, live=0, spawned=0)])
    for gone, explained in ((0, True), (1, True), (2, False)):
        for owner in owners[:gone]:
            owner.closed = True
        sampler.look(NOW)
        sampler.sample(NOW)
        expected = {location: Explanation("the owner of each is open")} if explained else {}
        assert sampler.observe(NOW).explained == expected, gone
    await end(*tasks)


async def test_locations_that_have_not_grown_by_twenty_tasks_need_no_explanation(
    sampler: DiagnosticsSampler,
) -> None:
    with owned_by(Subscriber()):
        tasks = [asyncio.create_task(asyncio.sleep(60)) for _ in range(20)]
    await asyncio.sleep(0)
    location = infos(*tasks)[0].site.location
    sampler.look(NOW)
    for before, explained in ((1, 0), (0, 1)):
        sampler.history.note(
            NOW - 20.0, [LocationCounts(location, "f", live=before, spawned=before)]
        )
        sampler.history.note(NOW - 10.0, [LocationCounts(location, "f", live=20, spawned=20)])
        assert len(sampler.observe(NOW).explained) == explained
    await end(*tasks)


async def test_what_is_not_followed_is_told(sampler: DiagnosticsSampler) -> None:
    sampler.history.note(
        NOW, [LocationCounts(f"a.py:{n}", "f") for n in range(MAX_LOCATIONS + 1_200)]
    )
    skipped = sampler.observe(NOW).skipped
    assert "growth of 1,200 locations: only those with most tasks are followed" in skipped
    assert "exceptions never retrieved: the loop's exception handler has been replaced" in skipped


# ---------------------------------------------------------------- snapshots


async def test_each_snapshot_enters_the_history_and_is_passed_on_with_its_time(
    ledger: Ledger,
) -> None:
    passed: list[tuple[float, TaskSnapshot]] = []
    sampler = DiagnosticsSampler(
        ledger, LoopWatch(), on_snapshot=lambda at, taken: passed.append((at, taken))
    )
    task = asyncio.create_task(forever())
    around = asyncio.Task(forever(), loop=asyncio.get_running_loop())
    assert sampler.observe(NOW).untracked.counts == []
    for at in (NOW, NOW + 10.0):
        sampler.sample(at)
    assert [at for at, _ in passed] == sampler.history.times() == [NOW, NOW + 10.0]
    seen = sampler.observe(NOW + 20.0)
    assert (seen.now, seen.times) == (NOW + 20.0, [NOW, NOW + 10.0])
    assert [each.location for each in seen.series] == [each.location for each in passed[-1][1].rows]
    assert seen.untracked.counts == [1, 1]
    assert seen.untracked.tracked == passed[-1][1].totals.live
    assert seen.untracked.coroutines == [("forever", 1)]
    assert seen.untracked.serving == 0
    await end(task, around)
    assert sampler.observe(NOW + 20.0).untracked.counts == [1, 0], "the last one is counted anew"
    sampler.stop()


def test_snapshots_are_taken_every_ten_seconds() -> None:
    assert SAMPLE_EVERY_S == 10.0
