"""Each way in which a ledger can be blind or wrong is planted, and the ledger says so by itself."""

from __future__ import annotations

import asyncio
import gc
import re
import sys
import threading
from typing import Any

import pytest

from qcfeed.diagnostics import ledger as spawn
from qcfeed.diagnostics import registry, snapshot
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.loop_watch import LoopWatch
from qcfeed.diagnostics.sampler import DiagnosticsSampler
from qcfeed.diagnostics.task_info import LedgerTask
from tests.support.patience import PATIENCE
from tests.support.running_service import until

Loop = asyncio.AbstractEventLoop


async def forever() -> None:
    await asyncio.Event().wait()


async def end(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def plain(loop: Loop, coro: Any, **kwargs: Any) -> asyncio.Task[Any]:
    return asyncio.Task(coro, loop=loop, **kwargs)


def incomplete(ledger: Ledger) -> list[str]:
    return snapshot.by_location(ledger, 0.0).totals.incomplete


async def test_a_sound_ledger_finds_nothing_wrong_and_shows_no_probe(ledger: Ledger) -> None:
    tasks = [asyncio.create_task(forever()) for _ in range(3)]
    before = snapshot.by_location(ledger, 0.0).totals
    for _ in range(3):
        await ledger.check.probe()
    assert ledger.incomplete() == []
    assert ledger.check.site.ended == 3
    assert snapshot.by_location(ledger, 0.0).totals == before
    await end(*tasks)


@pytest.mark.allow_task_leaks  # it sets its own task factory
async def test_a_ledger_chained_with_another_factory_finds_nothing_wrong() -> None:
    loop = asyncio.get_running_loop()
    factories = [plain, *([asyncio.eager_task_factory] if sys.version_info >= (3, 12) else [])]
    for factory in factories:
        loop.set_task_factory(factory)  # type: ignore[arg-type]
        ledger = Ledger()
        ledger.install(loop)
        await ledger.check.probe()
        assert incomplete(ledger) == []
        ledger.uninstall()


def test_a_ledger_on_uvloop_finds_nothing_wrong() -> None:
    uvloop = pytest.importorskip("uvloop")

    async def main() -> list[str]:
        ledger = Ledger()
        ledger.install(asyncio.get_running_loop())
        await ledger.check.probe()
        return incomplete(ledger)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(main()) == []


async def test_a_factory_that_was_replaced_is_named_with_the_tasks_it_hides(
    ledger: Ledger,
) -> None:
    loop = asyncio.get_running_loop()
    ours = loop.get_task_factory()
    loop.set_task_factory(plain)
    hidden = [asyncio.create_task(forever()) for _ in range(40)]
    await ledger.check.probe()
    (reason,) = incomplete(ledger)
    # the 40, and perhaps tasks of the fixtures
    assert re.match(r"cannot see 4\d of 4\d tasks: the ledger did not record one", reason)
    assert reason.endswith("test_self_check.plain")
    loop.set_task_factory(ours)
    await ledger.check.probe()
    assert incomplete(ledger) == []
    await end(*hidden)


async def test_tasks_that_the_registry_loses_are_counted(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [asyncio.create_task(forever()) for _ in range(10)]
    lost = {id(task) for task in tasks[:4]}
    refs = ledger.refs

    def some(found: list[registry.TaskRef]) -> list[registry.TaskRef]:
        return [ref for ref in refs(found) if id(ref()) not in lost]

    monkeypatch.setattr(ledger, "refs", some)
    (reason,) = incomplete(ledger)
    assert re.match(r"cannot see 4 of 1\d tasks: they are counted", reason)
    monkeypatch.undo()
    assert incomplete(ledger) == []
    await end(*tasks)


async def test_a_registry_that_takes_no_tasks_is_noticed_by_the_probe(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As asyncio's set of all tasks was, on Python 3.14: there, and always empty."""

    class Deaf(set[registry.TaskRef]):
        def add(self, _: registry.TaskRef) -> None:
            pass

    monkeypatch.setattr(ledger, "_live", Deaf())
    await ledger.check.probe()
    (reason,) = ledger.incomplete()
    assert reason == (
        "cannot see new tasks: one that is recorded was not found among the live tasks"
    )


async def test_a_missing_parent_is_noticed(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    async def create() -> None:  # the probe's own spawner must be known to the ledger
        await ledger.check.probe()

    monkeypatch.setattr(spawn, "_current_task", lambda _: None)
    await asyncio.create_task(create())
    (reason,) = ledger.incomplete()
    assert reason.startswith("parents are wrong: a probe of task ")


@pytest.mark.parametrize(("times", "extra"), [(2, 1), (0, -1)])
async def test_ends_that_are_counted_twice_or_not_at_all_are_noticed(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, times: int, extra: int
) -> None:
    original = LedgerTask.__del__

    def miscounted(task: LedgerTask) -> None:
        site = task.site
        original(task)
        site.finished += extra

    monkeypatch.setattr(LedgerTask, "__del__", miscounted)
    await ledger.check.probe()
    (reason,) = ledger.incomplete()
    assert reason.endswith(f"a probe that ended was counted {times} times")


async def test_a_probe_that_is_held_elsewhere_is_counted_once(ledger: Ledger) -> None:
    loop = asyncio.get_running_loop()
    ours, kept = loop.get_task_factory(), []

    def keeping(loop: Loop, coro: Any, **kwargs: Any) -> Any:
        assert ours is not None
        kept.append(ours(loop, coro, **kwargs))
        return kept[-1]

    loop.set_task_factory(keeping)
    await ledger.check.probe()
    assert ledger.incomplete() == []
    loop.set_task_factory(ours)


async def test_a_ledger_that_stopped_says_so_first(ledger: Ledger) -> None:
    ledger.give_up(LookupError("broken on purpose"))
    assert ledger.incomplete() == ["stopped recording tasks: LookupError: broken on purpose"]
    ledger.failure = None


async def test_the_sampler_has_the_ledger_check_itself(ledger: Ledger) -> None:
    loop = asyncio.get_running_loop()
    watch = LoopWatch()
    watch.start(loop)
    sampler = DiagnosticsSampler(ledger, watch, every=0.01)
    sampler.start(loop)
    await until(lambda: ledger.check.site.ended >= 2, "two probes")
    assert sampler.observe(0.0).incomplete == []
    ours = loop.get_task_factory()
    loop.set_task_factory(plain)
    await until(lambda: sampler.observe(0.0).incomplete, "the replaced factory told of")
    loop.set_task_factory(ours)
    await until(lambda: not sampler.observe(0.0).incomplete, "all well again")
    sampler.stop()
    watch.stop()


# ---------------------------------------------------------------- asked for at once


async def test_refresh_finds_a_fault_that_has_just_appeared(ledger: Ledger) -> None:
    loop = asyncio.get_running_loop()
    ours = loop.get_task_factory()
    await asyncio.to_thread(ledger.check.refresh, PATIENCE)
    assert ledger.incomplete() == []
    loop.set_task_factory(plain)
    await asyncio.to_thread(ledger.check.refresh, PATIENCE)
    (reason,) = ledger.incomplete()
    assert reason.startswith("cannot see new tasks: ")
    hidden = [asyncio.create_task(forever()) for _ in range(40)]
    (reason,) = snapshot.incomplete(ledger, 0.0)  # with the figures of now
    assert re.match(r"cannot see 4\d of 4\d tasks: ", reason)
    loop.set_task_factory(ours)
    await asyncio.to_thread(ledger.check.refresh, PATIENCE)
    assert snapshot.incomplete(ledger, 0.0) == []
    await end(*hidden)


async def test_a_probe_that_began_before_the_fault_is_not_the_answer(ledger: Ledger) -> None:
    loop = asyncio.get_running_loop()
    ours = loop.get_task_factory()
    ledger.check.start()
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # it has created its task by now, and found it
    loop.set_task_factory(plain)
    await asyncio.to_thread(ledger.check.refresh, PATIENCE)
    assert ledger.incomplete() != []
    loop.set_task_factory(ours)


async def test_concurrent_refreshes_are_all_answered(ledger: Ledger) -> None:
    asked = [asyncio.to_thread(ledger.check.refresh, PATIENCE) for _ in range(5)]
    await asyncio.gather(*asked)
    assert not ledger.check.is_late
    assert ledger.check.site.ended >= 1


async def test_in_the_loop_s_own_thread_it_does_not_wait_for_the_loop(ledger: Ledger) -> None:
    ledger.check.refresh(PATIENCE)
    assert ledger.check.site.spawned == 0


async def test_refresh_waits_for_a_blocked_loop_once(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control plane must answer when the loop is stuck; that it is stuck is said elsewhere."""
    loop = asyncio.get_running_loop()
    asked: list[object] = []
    pass_on = loop.call_soon_threadsafe

    def counted(*given: Any) -> Any:
        asked.append(given)
        return pass_on(*given)

    monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
    for _ in range(2):
        thread = threading.Thread(target=ledger.check.refresh, args=(0.01,))
        thread.start()
        thread.join()  # in the loop's thread: it cannot turn
    assert len(asked) == 1
    await until(lambda: not ledger.check.is_late, "the end of the probe that was asked for")
    before = ledger.check.site.ended
    await asyncio.to_thread(ledger.check.refresh, PATIENCE)
    assert ledger.check.site.ended > before


async def test_a_factory_that_raises_is_no_success(ledger: Ledger) -> None:
    loop = asyncio.get_running_loop()
    ours = loop.get_task_factory()

    def broken(*_: Any, **__: Any) -> Any:
        raise TypeError("no tasks here")

    loop.set_task_factory(broken)
    ledger.check.start()
    assert ledger.incomplete() == ["the ledger could not check itself: TypeError: no tasks here"]
    loop.set_task_factory(ours)
    probe = asyncio.create_task(ledger.check.probe())
    loop.set_task_factory(broken)  # before the probe has created its own task
    await probe
    assert ledger.incomplete() == ["the ledger could not check itself: TypeError: no tasks here"]
    loop.set_task_factory(ours)
    await ledger.check.probe()
    assert ledger.incomplete() == []


def test_refresh_does_not_wait_for_a_closed_loop() -> None:
    async def main() -> Ledger:
        ledger = Ledger()
        ledger.install(asyncio.get_running_loop())
        return ledger

    ledger = asyncio.run(main())
    ledger.check.refresh(PATIENCE)
    assert ledger.incomplete() == []


@pytest.mark.parametrize("turns", range(8))
@pytest.mark.parametrize("stopped", [False, True])
def test_a_loop_that_is_closed_during_a_probe_prints_nothing(
    turns: int, stopped: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """As a program that ends while it is observed: nothing about our probes on its terminal."""
    loop = asyncio.new_event_loop()
    ledger = Ledger()
    ledger.install(loop)
    loop.call_soon(ledger.check.start)
    for _ in range(turns):
        loop.call_soon(loop.stop)
        loop.run_forever()
    loop.close()
    if stopped or turns in (1, 2):  # a probe that has never run would be reported by Python itself
        ledger.check.stop()
    ledger.uninstall()
    del ledger
    gc.collect()
    assert not caplog.records
