"""Tasks that are left behind in the loops of ``asyncio.Runner``, found by a watch of its own in each test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from qcfeed.diagnostics.runners import RunnerWatch

pytestmark = pytest.mark.allow_task_leaks  # those that the tests leave on purpose
Held = list[asyncio.Task[None]]


@pytest.fixture
def watch() -> Iterator[RunnerWatch]:
    watch = RunnerWatch(settle=0.0)
    yield watch
    watch.stop()


@pytest.fixture
def held() -> Held:
    return []


async def leak(held: Held, name: str = "left behind") -> None:
    held.append(asyncio.get_running_loop().create_task(asyncio.sleep(3_600), name=name))
    await asyncio.sleep(0)


async def around(held: Held, name: str = "around") -> None:
    """A task that no ledger records, as libraries create some."""
    loop = asyncio.get_running_loop()
    held.append(asyncio.Task(asyncio.sleep(3_600), loop=loop, name=name))
    await asyncio.sleep(0)


def told(watch: RunnerWatch) -> list[str]:
    return [str(each) for each in watch.stop()]


def test_a_task_that_a_run_leaves_behind_is_a_leak_with_its_name(
    watch: RunnerWatch, held: Held
) -> None:
    watch.start()
    asyncio.run(asyncio.sleep(0))
    asyncio.run(leak(held, "one"))
    asyncio.run(around(held, "two"))
    first, second = told(watch)
    assert "one" in first
    assert "two" in second
    assert watch.unjudged == []


def test_what_a_watch_replaces_is_as_before_when_it_stops(watch: RunnerWatch, held: Held) -> None:
    names = ("run", "get_loop", "close")
    before = [getattr(asyncio.Runner, name) for name in names], asyncio.BaseEventLoop.__init__
    watch.start()
    assert asyncio.Runner.run is not before[0][0]
    with asyncio.Runner() as runner:
        factory = runner.get_loop().get_task_factory()
        runner.run(leak(held))
        assert factory is not None
        assert len(told(watch)) == 1, "its loop is open"
        assert runner.get_loop().get_task_factory() is not factory
    after = [getattr(asyncio.Runner, name) for name in names], asyncio.BaseEventLoop.__init__
    assert after == before


def test_several_runs_of_one_runner_are_judged_once_when_it_closes(
    watch: RunnerWatch, held: Held
) -> None:
    watch.start()
    with asyncio.Runner() as runner:
        runner.run(leak(held, "one"))
        runner.run(leak(held, "two"))
        assert watch.leaks == []
    (leaks,) = told(watch)
    assert "one" in leaks
    assert "two" in leaks


def test_tasks_that_end_while_the_watch_settles_are_no_leak(held: Held) -> None:
    async def ends_soon() -> None:
        held.append(asyncio.create_task(asyncio.sleep(0.01)))

    watch = RunnerWatch(settle=60.0)
    watch.start()
    asyncio.run(ends_soon())
    assert watch.stop() == []


def test_tasks_that_are_excused_or_ignored_may_stay(held: Held) -> None:
    watch = RunnerWatch(settle=0.0, ignore=["name:helper*"])
    watch.start()
    with asyncio.Runner() as runner:
        runner.run(leak(held, "helper 1"))
        runner.run(around(held, "helper 2"))
        with watch.excusing():
            runner.run(leak(held, "shared"))
            runner.run(around(held, "shared around"))
        assert watch.leaks == []
    assert watch.stop() == []


def test_tasks_from_before_the_watch_are_not_judged(watch: RunnerWatch, held: Held) -> None:
    with asyncio.Runner() as runner:
        runner.run(leak(held))
        watch.start()
        runner.run(asyncio.sleep(0))
    assert watch.stop() == []
    assert len(held) == 1


def test_a_watch_that_forgives_tells_nothing(watch: RunnerWatch, held: Held) -> None:
    watch.start()
    asyncio.run(leak(held, "before"))
    watch.forgive()
    asyncio.run(leak(held, "after"))
    assert watch.stop() == []
    assert len(watch.leaks) == 1


def test_pending_tasks_of_loops_made_by_hand_are_listed_and_not_judged(
    watch: RunnerWatch, held: Held
) -> None:
    watch.start()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(leak(held, "by hand"))
    assert watch.stop() == []
    (described,) = watch.unjudged
    assert described.startswith("by hand: sleep, sleeping 3,")
    held[0].cancel()
    loop.run_until_complete(asyncio.wait(held))
    loop.close()


def test_loops_of_other_threads_are_not_judged(watch: RunnerWatch, held: Held) -> None:
    watch.start()
    thread = threading.Thread(target=lambda: asyncio.run(leak(held)))
    thread.start()
    thread.join()
    assert watch.stop() == []
    assert len(held) == 1
