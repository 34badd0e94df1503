"""Stacks of live tasks: how they came to be, and where they wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from qcfeed.diagnostics import profile
from qcfeed.diagnostics.filters import Filter
from qcfeed.diagnostics.ledger import Ledger

HERE = "tests/unit/diagnostics/test_profile.py"
Tasks = list["asyncio.Task[None]"]


async def inner() -> None:
    await asyncio.sleep(600)


async def outer() -> None:
    await inner()


async def queued() -> None:
    await asyncio.Queue[int]().get()


@pytest.fixture
async def ledger() -> AsyncIterator[Ledger]:
    ledger = Ledger(spawn_stacks=4)
    ledger.install(asyncio.get_running_loop())
    yield ledger
    ledger.uninstall()


@pytest.fixture
async def held(ledger: Ledger) -> AsyncIterator[Tasks]:
    held: Tasks = []
    yield held
    for task in held:
        task.cancel()
    await asyncio.gather(*held, return_exceptions=True)


def spawn(held: Tasks, number: int, coroutine=outer) -> None:
    held += [asyncio.create_task(coroutine()) for _ in range(number)]


def take(ledger: Ledger, which: Filter | None = None, *, exact: bool = False) -> profile.Profile:
    return profile.take(ledger, which or Filter(site=HERE), time.monotonic(), exact=exact)


def functions(places: tuple[profile.ProfileCall, ...]) -> Iterator[str]:
    return (place.function for place in places)


async def test_a_stack_is_the_spawn_and_then_the_wait(ledger: Ledger, held: Tasks) -> None:
    spawn(held, 3)
    await asyncio.sleep(0)
    seen = take(ledger)
    assert (seen.total, seen.sampled) == (3, 3)
    [(stack, tasks)] = seen.stacks.items()
    assert tasks == 3
    assert list(functions(stack.waiting)) == ["outer", "inner", "sleep"]
    assert stack.waiting[0].location.startswith(f"{HERE}:")
    assert stack.kind == "sleeping"
    *outwards, last = functions(stack.spawned)
    assert last.startswith("spawn")
    assert "test_a_stack_is_the_spawn_and_then_the_wait" in outwards


async def test_without_spawn_stacks_a_stack_has_the_spawn_location(held: Tasks) -> None:
    plain = Ledger()
    plain.install(asyncio.get_running_loop())
    spawn(held, 1)
    plain.uninstall()
    await asyncio.sleep(0)
    [stack] = take(plain).stacks
    assert len(stack.spawned) == 1
    assert stack.spawned[0].location.startswith(f"{HERE}:")


async def test_the_ended_and_the_others_are_left_out(ledger: Ledger, held: Tasks) -> None:
    spawn(held, 2)
    spawn(held, 1, queued)
    await asyncio.sleep(0)
    held[0].cancel()
    await asyncio.wait(held[:1])
    assert sorted(stack.kind for stack in take(ledger).stacks) == ["Queue.get", "sleeping"]
    assert take(ledger).total == 2
    assert take(ledger, Filter(site=HERE, waiting_on="queue")).total == 1


async def test_sampled_stacks_represent_all_tasks_of_their_location(
    ledger: Ledger, held: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profile, "SAMPLE", 10)
    for number, coroutine in ((2, queued), (48, outer)):
        spawn(held, number, coroutine)
    held += [asyncio.create_task(queued()) for _ in range(3)]
    await asyncio.sleep(0)
    seen = take(ledger)
    assert (seen.total, seen.sampled) == (53, 10)
    whole = take(ledger, exact=True)
    assert (whole.total, whole.sampled) == (53, 53)
    by_kind = {kind: sum(n for s, n in whole.stacks.items() if s.kind == kind)
               for kind in ("sleeping", "Queue.get")}  # fmt: skip
    assert by_kind == {"sleeping": 48, "Queue.get": 5}
    [stack] = [stack for stack in whole.stacks if stack.kind == "sleeping"]
    defined = outer.__code__.co_firstlineno
    assert stack.waiting[0] == (f"{HERE}:{defined}", "outer"), "of many, by function"


async def test_a_task_that_cannot_be_read_is_counted_without_a_stack(
    ledger: Ledger, held: Tasks
) -> None:
    class Hostile(asyncio.Future[None]):
        @property
        def _callbacks(self) -> object:
            raise ZeroDivisionError

    async def waiting() -> None:
        await Hostile()

    spawn(held, 1, waiting)
    await asyncio.sleep(0)
    [stack] = take(ledger).stacks
    assert stack.kind in ("unknown", "future")
