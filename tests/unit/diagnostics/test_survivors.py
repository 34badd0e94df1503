"""Groups of tasks that do not end, found in a real loop; the ages of the tasks are set by the test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from qcfeed.diagnostics.abandoned import IS_RELIABLE
from qcfeed.diagnostics.demand import ReasonKind
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.observations import Survivors
from qcfeed.diagnostics.survivors import SurvivorWatch

HERE = "tests/unit/diagnostics/test_survivors.py:"


async def forever() -> None:
    await asyncio.Event().wait()


async def sleep_once() -> None:
    await asyncio.sleep(60)


async def forever_too() -> None:
    await asyncio.Event().wait()


async def session() -> None:
    child = asyncio.create_task(forever())
    try:
        await asyncio.sleep(600)
    finally:
        child.cancel()


def spawn(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.create_task(coroutine)


class Stage:
    """Starts tasks and gives them ages, as if they had been created one after the other."""

    def __init__(self, ledger: Ledger) -> None:
        self.now = time.monotonic()
        self.watch = SurvivorWatch(ledger)
        self.tasks: list[Any] = []

    async def start(
        self, function: Callable[[], Coroutine[Any, Any, None]], number: int, over_s: float = 40.0
    ) -> None:
        started = [spawn(function()) for _ in range(number)]
        await asyncio.sleep(0)
        for place, task in enumerate(started):
            task.created_at = self.now - over_s * (number - place) / number  # type: ignore[attr-defined]
        self.tasks += started

    def look(self) -> list[Survivors]:
        self.watch.note(self.now)
        return self.watch.survivors(self.now)

    async def end(self, tasks: list[Any]) -> None:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


@pytest.fixture
async def stage(ledger: Ledger) -> AsyncIterator[Stage]:
    stage = Stage(ledger)
    yield stage
    await stage.end(stage.tasks)


async def test_a_leak_has_its_location_coroutine_and_wait(stage: Stage) -> None:
    await stage.start(forever, 200)
    (found,) = stage.look()
    assert found.location.startswith(HERE)
    assert found.coroutine == "forever"
    assert (found.live, found.reason, found.hung_up, found.parents) == (200, None, 0, None)
    assert found.unexplained == found.survival.old
    assert found.waits == [("Event.wait", found.examined)]
    assert found.serials == sorted(found.serials)
    assert set(found.serials) <= set(found.survival.serials)


async def wait_for_a_future() -> None:
    forgotten = asyncio.get_running_loop().create_future()
    await forgotten


_kept: list[asyncio.Event] = []


async def wait_for_a_known_event() -> None:
    _kept.append(asyncio.Event())
    await _kept[-1].wait()


@pytest.mark.parametrize(
    ("function", "nobody_can"),
    [(forever, True), (wait_for_a_future, True), (wait_for_a_known_event, False)],
)
async def test_tasks_that_nobody_can_wake_are_counted(
    stage: Stage, function: Callable[[], Coroutine[Any, Any, None]], nobody_can: bool
) -> None:
    await stage.start(function, 200)
    (found,) = stage.look()
    assert found.unwakeable == (found.examined if nobody_can and IS_RELIABLE else 0)
    _kept.clear()


async def test_the_coroutines_of_one_helper_are_judged_apart(stage: Stage) -> None:
    await stage.start(forever, 200)
    await stage.start(sleep_once, 200)
    await stage.start(forever_too, 8)
    found = {each.coroutine: each for each in stage.look()}
    assert set(found) == {"forever", "sleep_once"}
    assert found["forever"].location == found["sleep_once"].location
    assert found["forever"].unexplained == found["forever"].survival.old
    assert found["sleep_once"].unexplained == 0
    assert found["sleep_once"].reason is not None
    assert found["sleep_once"].reason.kind is ReasonKind.TIMER


async def test_tasks_that_end_are_no_survivors(stage: Stage) -> None:
    await stage.start(forever, 200)
    assert len(stage.look()) == 1
    await stage.end(stage.tasks[::3])
    del stage.tasks[::3]
    stage.now += 2
    assert stage.look() == []


async def test_ends_between_two_looks_tell_how_long_sound_tasks_take(
    stage: Stage, ledger: Ledger
) -> None:
    stage.look()
    for _ in range(5):
        await asyncio.wait([spawn(asyncio.sleep(0)) for _ in range(20)])
        for site in ledger.sites():
            site.refill_budget()
        stage.look()
    await stage.start(lambda: asyncio.sleep(3600), 100)
    (found,) = stage.look()
    assert found.survival.is_known
    assert found.survival.usual_s is not None
    assert found.survival.usual_s < 5


async def test_a_child_names_its_living_parents(stage: Stage) -> None:
    await stage.start(session, 200)
    await asyncio.sleep(0)
    for task in asyncio.all_tasks():
        if getattr(task, "parent", None) is not None and task not in stage.tasks:
            parents = [each for each in stage.tasks if each.serial == task.parent]  # type: ignore[attr-defined]
            task.created_at = parents[0].created_at if parents else stage.now  # type: ignore[attr-defined]
    found = {each.coroutine: each for each in stage.look()}
    assert found["forever"].parents == (found["session"].location, "session")
    assert found["session"].parents is None


async def test_what_explains_a_growing_location(stage: Stage) -> None:
    await stage.start(sleep_once, 30)
    stage.look()
    (at,) = {task.site.location for task in stage.tasks}
    (explained,) = stage.watch.explain([at, "elsewhere.py:1"], stage.now).items()
    assert (explained[0], explained[1].text) == (at, ReasonKind.TIMER.value)
    assert explained[1].lifetime_s == pytest.approx(100, abs=5), (
        "the oldest is 40 s old and has 60 s left"
    )
    await stage.start(forever, 30)
    stage.look()
    assert stage.watch.explain([at], stage.now) == {}


class Odd(asyncio.Task[Any]):
    """A task of a library that does not show its coroutine."""

    def get_coro(self) -> Any:
        raise RuntimeError("not now")


async def test_a_task_class_that_raises_is_followed_all_the_same(stage: Stage) -> None:
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()
    loop.set_task_factory(lambda loop, coro, **kwargs: Odd(coro, loop=loop, **kwargs))
    chained = Ledger()
    chained.install(loop)
    odd = [asyncio.create_task(forever()) for _ in range(3)]
    watch = SurvivorWatch(chained)
    watch.note(stage.now)
    assert watch.survivors(stage.now) == []
    await stage.end(odd)
    chained.uninstall()
    loop.set_task_factory(before)
