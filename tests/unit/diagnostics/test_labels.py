from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from qcfeed.diagnostics import Ledger, label, labels, owned_by
from qcfeed.diagnostics.labels import DROPPED, MAX_LABELS, MAX_LENGTH
from qcfeed.diagnostics.ledger import TaskRecord


async def sleeper() -> None:
    await asyncio.sleep(3600)


async def ended(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def record(ledger: Ledger) -> Callable[[asyncio.Task[None]], TaskRecord]:
    def of(task: asyncio.Task[None]) -> TaskRecord:
        found = ledger.record_of(task)
        assert found is not None
        return found

    return of


@pytest.fixture
def spawn(ledger: Ledger) -> Callable[[], asyncio.Task[None]]:
    return lambda: asyncio.get_running_loop().create_task(sleeper())


async def test_tasks_carry_the_labels_they_were_spawned_under(spawn, record) -> None:
    before = spawn()
    with label(symbol="AAPL", client=7):
        inside = spawn()
        with label(client="b", shard=1):
            nested = spawn()
        again = spawn()
    after = spawn()
    assert dict(record(inside).labels) == {"symbol": "AAPL", "client": "7"}
    assert dict(record(nested).labels) == {"symbol": "AAPL", "client": "b", "shard": "1"}
    assert record(again).labels is record(inside).labels
    assert dict(record(before).labels) == dict(record(after).labels) == {}
    await ended(before, inside, nested, again, after)


async def test_labels_are_inherited_by_what_the_tasks_spawn(record) -> None:
    children: list[asyncio.Task[None]] = []

    async def parent() -> None:
        children.append(asyncio.create_task(sleeper()))

    with label(symbol="AAPL"):
        spawned = asyncio.create_task(parent())
    await spawned
    assert record(children[0]).labels == {"symbol": "AAPL"}
    assert record(children[0]).parent == record(spawned).serial
    await ended(*children)


async def test_labels_and_owner_do_not_disturb_each_other(spawn, record) -> None:
    owner = asyncio.Event().is_set
    with label(symbol="AAPL"), owned_by(owner), label(symbol=None, client="a"):
        task = spawn()
        with owned_by(None):
            free = spawn()
    assert (record(task).owner, dict(record(task).labels)) == (owner, {"client": "a"})
    assert (record(free).owner, dict(record(free).labels)) == (None, {"client": "a"})
    await ended(task, free)


async def test_equal_labels_share_one_mapping(spawn, record) -> None:
    tasks = []
    for _ in range(3):
        with label(symbol="MSFT"):
            tasks.append(spawn())
    assert len({id(record(task).labels) for task in tasks}) == 1
    with pytest.raises(TypeError):
        record(tasks[0]).labels["symbol"] = "AAPL"  # type: ignore[index]
    await ended(*tasks)


async def test_long_and_unspeakable_values_are_bounded(spawn, record) -> None:
    class Mute:
        def __str__(self) -> str:
            raise ValueError

    with label(long="x" * 10_000, mute=Mute(), **{"k" * 1_000: 1}):
        task = spawn()
    long, mute, key = record(task).labels.items()
    assert (len(long[1]), long[1][-2:]) == (MAX_LENGTH, "x…")
    assert mute == ("mute", "?")
    assert len(key[0]) == MAX_LENGTH
    await ended(task)


async def test_labels_beyond_the_limit_are_left_out_and_counted(spawn, record) -> None:
    with label(**{f"k{n}": n for n in range(MAX_LABELS + 2)}), label(one_more=1, k0="new"):
        task = spawn()
    got = dict(record(task).labels)
    assert got.pop(DROPPED) == "3"
    assert len(got) == MAX_LABELS
    assert got["k0"] == "new"
    await ended(task)


async def test_a_program_cannot_set_the_label_of_dropped_labels(spawn, record) -> None:
    with label(**{DROPPED: "many"}), label(symbol="AAPL"):
        task = spawn()
    assert dict(record(task).labels) == {DROPPED: "1", "symbol": "AAPL"}
    await ended(task)


async def test_the_context_is_restored_when_the_block_raises() -> None:
    before = labels.current_context.get()
    with pytest.raises(KeyError), label(symbol="AAPL"):
        raise KeyError
    assert labels.current_context.get() is before


@pytest.mark.parametrize("chained", [False, True])
async def test_parents(chained: bool) -> None:
    """Of the spawning task, also where another factory makes the tasks; a callback has none."""
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()
    loop.set_task_factory(
        (lambda loop, coro, **kw: asyncio.Task(coro, loop=loop, **kw)) if chained else None
    )
    ledger = Ledger()
    ledger.install(loop)
    spawned: list[asyncio.Task[None]] = []
    serials: list[int | None] = []

    async def parent() -> None:
        own = ledger.record_of(asyncio.current_task())
        serials.append(own.serial if own else None)
        spawned.append(loop.create_task(sleeper()))
        loop.call_soon(lambda: spawned.append(loop.create_task(sleeper())))

    try:
        await loop.create_task(parent())
        await asyncio.sleep(0)
        child, of_a_callback = map(ledger.record_of, spawned)
        assert child is not None
        assert of_a_callback is not None
        assert [child.parent] == serials != [None]
        assert of_a_callback.parent is None
        await ended(*spawned)
    finally:
        ledger.uninstall()
        loop.set_task_factory(before)
