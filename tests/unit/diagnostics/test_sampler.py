"""What the rules are fed: each fault planted in a real loop, and seen found."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from qcfeed.diagnostics import abandoned, rules
from qcfeed.diagnostics import sampler as sampler_module
from qcfeed.diagnostics.findings import Certainty, Finding
from qcfeed.diagnostics.ledger import Ledger, owned_by
from qcfeed.diagnostics.loop_watch import LoopWatch
from qcfeed.diagnostics.sampler import DiagnosticsSampler
from qcfeed.diagnostics.snapshot import TaskSnapshot
from tests.support.machine import BLOCKED, of_the_program
from tests.support.patience import PATIENCE
from tests.unit.diagnostics.conftest import Subscriber

HERE = "tests/unit/diagnostics/test_sampler.py:"


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


async def stubborn() -> None:
    end = False
    while not end:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError as error:
            end = error.args == ("really",)


async def end(*tasks: asyncio.Task[Any], message: str = "really") -> None:
    for task in tasks:
        task.cancel(message)
    await asyncio.wait(tasks)


@pytest.fixture
async def sampler(ledger: Ledger):
    """Started, but sampled by the test alone, at times of its choosing."""
    watch = LoopWatch()
    loop = asyncio.get_running_loop()
    watch.start(loop)
    sampler = DiagnosticsSampler(ledger, watch, every=3600)
    threads = threading.active_count()
    sampler.start(loop)
    await until(lambda: len(sampler.history.times()) == 1)
    yield sampler
    sampler.stop()
    watch.stop()
    assert threading.active_count() == threads
    assert loop.get_exception_handler() is None


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - a thread brings it about
            await asyncio.sleep(0.005)


def found(
    sampler: DiagnosticsSampler, after: float = 0.0, *, since: float | None = None
) -> list[Finding]:
    """What is found ``after`` seconds from now, or from ``since``."""
    now = time.monotonic() if since is None else since
    return of_the_program(rules.findings(sampler.observe(now + after)))


def only(findings: list[Finding], rule: str) -> Finding:
    (finding,) = findings
    assert finding.rule == rule
    assert finding.location.startswith(HERE)
    return finding


async def test_health_has_no_finding(sampler: DiagnosticsSampler, subscriber: Subscriber) -> None:
    with owned_by(subscriber):
        tasks = [asyncio.create_task(forever()) for _ in range(50)]
    for n in range(70):
        sampler.sample(time.monotonic() + 10 * n)
    assert found(sampler, after=700) == []
    assert sampler.observe(0).skipped == []
    await end(*tasks)


async def test_a_location_that_grows(sampler: DiagnosticsSampler) -> None:
    tasks = []
    for n in range(60):
        tasks += [asyncio.create_task(forever()) for _ in range(2)]
        sampler.sample(time.monotonic() + 10 * n)
    assert only(found(sampler), "growing").recheck_s is None
    await end(*tasks)


async def test_orphans_whose_owner_has_closed_at(
    sampler: DiagnosticsSampler, subscriber: Subscriber
) -> None:
    with owned_by(subscriber):
        tasks = [asyncio.create_task(forever()) for _ in range(7)]
    closed = subscriber.closed_at = time.monotonic()
    subscriber.closed = True
    assert found(sampler, since=closed) == []
    assert only(found(sampler, after=2, since=closed), "orphans").certainty is Certainty.SUSPECTED
    finding = only(found(sampler, after=6, since=closed), "orphans")
    assert finding.certainty is Certainty.PROVED
    assert finding.summary == "7 tasks are alive though the owner is gone"
    assert len(finding.serials) == 5
    assert "owner subscriber 812 of AAPL closed 6." in finding.evidence[0]
    await end(*tasks)
    assert found(sampler, after=6) == []


async def test_orphans_without_closed_at_must_be_found_twice(
    sampler: DiagnosticsSampler,
) -> None:
    with owned_by(lambda: True):
        task = asyncio.create_task(forever())
    assert found(sampler, after=60) == []
    sampler.sample(time.monotonic())
    assert only(found(sampler, after=6), "orphans").certainty is Certainty.PROVED
    await end(task)
    with owned_by(lambda: True):
        another = asyncio.create_task(forever())
    assert found(sampler, after=6) == [], "a new one has its own time"
    await end(another)


async def test_an_owner_whose_closed_at_raises_counts_as_one_without_it(
    sampler: DiagnosticsSampler,
) -> None:
    class Rude:
        closed = True

        @property
        def closed_at(self) -> float:
            raise ZeroDivisionError

    with owned_by(Rude()):
        task = asyncio.create_task(forever())
    sampler.sample(time.monotonic())
    assert only(found(sampler, after=6), "orphans").certainty is Certainty.PROVED
    await end(task)


async def test_a_task_that_was_cancelled_twice_and_lives(sampler: DiagnosticsSampler) -> None:
    task = asyncio.create_task(stubborn())
    try:
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        sampler.sample(time.monotonic())
        assert found(sampler, after=60) == [], "once is how everybody is cancelled"
        task.cancel()
        await asyncio.sleep(0)
        assert found(sampler, after=60) == []
        sampler.sample(time.monotonic())
        finding = only(found(sampler, after=6), "cancelled_in_vain")
        assert finding.certainty is Certainty.PROVED
        assert finding.evidence[0].startswith(f"task {finding.serials[0]}: cancelled 2 times; ")
    finally:
        await end(task)


async def test_a_task_that_blocks_the_loop(sampler: DiagnosticsSampler) -> None:
    def is_proved() -> bool:
        return any(each.seconds >= rules.LONG_STALL_S for each in sampler.watchdog.stalls())

    async def blocks() -> None:
        # The watchdog counts only time in which its own thread ran on time: less on a busy machine.
        until = time.monotonic() + PATIENCE
        while not is_proved() and time.monotonic() < until:
            time.sleep(0.1)  # noqa: ASYNC251

    await asyncio.create_task(blocks())
    (finding,) = (  # a busy machine may have held the loop up elsewhere
        each
        for each in rules.findings(sampler.observe(time.monotonic()))
        if any("test_sampler.py" in line and "blocks" in line for line in each.evidence)
    )
    assert (finding.rule, finding.certainty) == (BLOCKED, Certainty.PROVED)
    assert finding.location.startswith(HERE)


async def test_a_task_that_was_destroyed_while_pending(
    sampler: DiagnosticsSampler, caplog: pytest.LogCaptureFixture
) -> None:
    async def drops() -> None:
        task = asyncio.create_task(asyncio.Event().wait())
        await asyncio.sleep(0)
        del task

    await drops()
    gc.collect()
    sampler.sample(time.monotonic())
    assert only(found(sampler), "destroyed_pending").certainty is Certainty.PROVED
    assert "Task was destroyed but it is pending!" in caplog.text


async def test_an_unretrieved_exception(
    sampler: DiagnosticsSampler, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails() -> None:
        raise KeyError("lost")

    task = asyncio.create_task(fails())
    await asyncio.wait([task])
    assert found(sampler) == []
    del task
    gc.collect()
    finding = only(found(sampler), "exceptions_never_retrieved")
    assert "KeyError: 'lost'" in finding.evidence[0]
    assert "Task exception was never retrieved" in caplog.text


async def test_the_sampler_runs_by_itself_and_reports_failures(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    loop = asyncio.get_running_loop()
    watch = LoopWatch()
    watch.start(loop)
    sampler = DiagnosticsSampler(ledger, watch, every=0.01)
    sampler.start(loop)
    await until(lambda: len(sampler.history.times()) > 3)
    with monkeypatch.context() as broken:
        broken.setattr(sampler.history, "note", None)
        await until(lambda: sampler.failure is not None)
        assert any("TypeError" in line for line in sampler.observe(0).incomplete)
    await until(lambda: sampler.failure is None)
    assert "taking a snapshot failed" in caplog.text
    sampler.stop()
    watch.stop()
    ledger.failure = "broken"
    look = sampler.observe(0)
    assert look.incomplete == ["stopped recording tasks: broken"]
    skipped = "\n".join(look.skipped)
    assert "exceptions never retrieved" in skipped


async def test_each_snapshot_is_passed_to_the_callback_and_its_failure_is_reported(
    ledger: Ledger,
) -> None:
    loop = asyncio.get_running_loop()
    watch = LoopWatch()
    watch.start(loop)
    broken = threading.Event()
    broken.set()
    seen: list[int] = []

    def on_snapshot(_: float, taken: TaskSnapshot) -> None:
        if broken.is_set():
            raise RuntimeError("his own")
        seen.append(taken.totals.live)

    sampler = DiagnosticsSampler(ledger, watch, every=0.01, on_snapshot=on_snapshot)
    sampler.start(loop)
    await until(lambda: sampler.failure is not None)
    assert any("RuntimeError: his own" in line for line in sampler.observe(0).incomplete)
    broken.clear()
    await until(lambda: bool(seen))
    assert seen[0] >= 1
    await until(lambda: sampler.failure is None)
    sampler.stop()
    watch.stop()


# ---------------------------------------------------------------- futures that nobody will complete


async def request(pending: dict[int, asyncio.Future[None]]) -> None:
    pending[id(pending)] = reply = asyncio.get_running_loop().create_future()
    await reply


async def forgetful() -> None:
    reply = asyncio.get_running_loop().create_future()
    await reply


@pytest.mark.skipif(not abandoned.IS_RELIABLE, reason="cannot be told on this interpreter")
async def test_an_abandoned_future_is_found_after_a_while(
    sampler: DiagnosticsSampler,
) -> None:
    pending: dict[int, asyncio.Future[None]] = {}
    registries = [pending, {}]
    tasks = [asyncio.create_task(request(each)) for each in registries]
    await asyncio.sleep(0)
    now = time.monotonic()
    sampler.sample(now)
    assert found(sampler, after=60) == [], "both are in a registry"
    pending.clear()
    assert found(sampler, after=60) == [], "one look proves nothing"
    sampler.sample(now + 60)
    told = only(found(sampler, after=71, since=now), "abandoned_future")
    assert told.certainty is Certainty.SUSPECTED
    sampler.sample(now + 70)
    finding = only(found(sampler, after=91, since=now), "abandoned_future")
    assert finding.certainty is Certainty.PROVED
    assert finding.summary == "1 task waits for a future that no other object refers to"
    assert "test_sampler.py" in finding.evidence[0]
    assert "which no other object refers to" in finding.evidence[0]
    pending[0] = tasks[0]._fut_waiter
    assert found(sampler, after=91, since=now) == [], "somebody has it again"
    sampler.sample(now + 100)
    pending.clear()
    sampler.sample(now + 110)
    assert found(sampler, after=111, since=now) == [], "and so its time begins anew"
    await end(*tasks)


@pytest.mark.skipif(not abandoned.IS_RELIABLE, reason="cannot be told on this interpreter")
async def test_the_oldest_tasks_of_many_are_checked(sampler: DiagnosticsSampler) -> None:
    tasks = [asyncio.create_task(forgetful()) for _ in range(abandoned.OLDEST_PER_LOCATION + 30)]
    await asyncio.sleep(0)
    sampler.sample(time.monotonic())
    finding = only(found(sampler, after=31), "abandoned_future")
    assert finding.count == abandoned.OLDEST_PER_LOCATION
    assert finding.serials == sorted(finding.serials)
    await end(*tasks)


async def test_abandoned_futures_are_skipped_where_they_cannot_be_found(
    sampler: DiagnosticsSampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (abandoned, sampler_module):
        monkeypatch.setattr(module, "IS_RELIABLE", False)
    task = asyncio.create_task(forgetful())
    await asyncio.sleep(0)
    sampler.sample(time.monotonic())
    assert found(sampler, after=60) == []
    assert (
        "abandoned futures: they cannot be found on this interpreter" in sampler.observe(0).skipped
    )
    await end(task)


async def test_tasks_created_around_the_ledger(sampler: DiagnosticsSampler) -> None:
    def told() -> Finding:
        (finding,) = (each for each in found(sampler) if each.rule == "untracked_tasks")
        return finding

    loop = asyncio.get_running_loop()
    tasks = [asyncio.Task(forever(), loop=loop) for _ in range(25)]
    sampler.sample(time.monotonic())
    assert told().certainty is Certainty.SUSPECTED
    assert told().summary.startswith("cannot see what created 25 of 2")
    assert "forever (25)" in told().evidence[0]
    for n in range(60):
        tasks += [asyncio.Task(forever(), loop=loop) for _ in range(2)]
        sampler.sample(time.monotonic() + 10 * n)
    assert told().certainty is Certainty.PROVED
    await end(*tasks)


async def test_untracked_tasks_that_have_appeared_since_the_last_snapshot(
    sampler: DiagnosticsSampler,
) -> None:
    sampler.sample(time.monotonic())
    loop = asyncio.get_running_loop()
    tasks = [asyncio.Task(forever(), loop=loop) for _ in range(25)]
    assert "untracked_tasks" in [each.rule for each in found(sampler)]
    await end(*tasks)


async def test_untracked_tasks_that_have_ended_since_the_last_snapshot(
    sampler: DiagnosticsSampler,
) -> None:
    loop = asyncio.get_running_loop()
    tasks = [asyncio.Task(forever(), loop=loop) for _ in range(25)]
    sampler.sample(time.monotonic())
    await end(*tasks)
    assert not [each for each in found(sampler) if each.rule == "untracked_tasks"]
