from __future__ import annotations

import asyncio
import sys
import threading
import time
from typing import Any

import pytest

from qcfeed.diagnostics import snapshot, turns
from qcfeed.diagnostics.labels import label
from qcfeed.diagnostics.ledger import Ledger, owned_by
from qcfeed.diagnostics.task_info import info_of, to_record
from tests.unit.diagnostics.conftest import Subscriber

HERE = "tests/unit/diagnostics/test_snapshot.py"


async def nothing() -> None: ...


async def forever() -> None:
    await asyncio.Event().wait()


async def ended(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def ours(taken: snapshot.TaskSnapshot) -> list[snapshot.LocationCounts]:
    return [row for row in taken.rows if row.location.startswith(HERE)]


def balanced(books: snapshot.LocationCounts | snapshot.Totals) -> bool:
    outcomes = books.finished + books.cancelled + books.failed + books.destroyed
    return books.spawned == outcomes + books.live


async def test_rows_by_live_tasks_with_totals_that_are_their_sums(ledger: Ledger) -> None:
    few = [asyncio.create_task(forever()) for _ in range(2)]
    many = [asyncio.create_task(forever()) for _ in range(3)]
    await asyncio.create_task(nothing())
    now = time.monotonic() + 100
    taken = snapshot.by_location(ledger, now)
    rows = ours(taken)
    assert [(row.live, row.finished) for row in rows] == [(3, 0), (2, 0), (0, 1)]
    assert all(100 <= (row.oldest_s or 100) < 160 for row in rows)
    assert rows[2].oldest_s is None
    assert taken.totals.live == sum(row.live for row in taken.rows)
    assert taken.totals.spawned == sum(row.spawned for row in taken.rows)
    assert all(map(balanced, [*taken.rows, taken.totals]))
    await ended(*few, *many)


async def test_a_row_has_all_counters_of_its_location(
    ledger: Ledger, subscriber: Subscriber
) -> None:
    async def ends(how: str) -> None:
        if how == "fails":
            raise LookupError(how)
        if how in ("stays", "is cancelled"):
            await forever()

    tasks = []
    with owned_by(subscriber):
        for how in ("stays", "stays", "is cancelled", "fails", "fails", "finishes"):
            tasks.append(asyncio.create_task(ends(how)))  # noqa: PERF401 - one line, one location
    other = asyncio.create_task(forever())
    await asyncio.sleep(0)
    tasks[2].cancel()
    await asyncio.wait(tasks[2:])
    for number, task in enumerate([*tasks[:2], other]):
        info = info_of(task)
        assert info is not None
        info.created_at = 1_000.0 + number
    subscriber.closed = True
    for _ in range(3):  # the ledger's check of itself compares one snapshot with another
        taken = snapshot.by_location(ledger, 1_100.0)
    row, alone = ours(taken)
    assert row == snapshot.LocationCounts(
        row.location,
        row.function,
        live=2,
        spawned=6,
        finished=1,
        cancelled=1,
        failed=2,
        orphaned=2,
        oldest_s=100.0,
    )
    assert (alone.live, alone.spawned, alone.orphaned, alone.oldest_s) == (1, 1, 0, 98.0)
    assert ours(snapshot.by_location(ledger, 990.0))[0].oldest_s == 0.0, "no age is negative"
    assert taken.totals.incomplete == []
    assert ledger.incomplete() == []
    assert [str(task.exception()) for task in tasks[3:5]] == ["fails", "fails"]
    await ended(*tasks[:2], other)


async def test_live_tasks_are_listed_from_the_oldest_with_all_that_is_known_of_them(
    ledger: Ledger, subscriber: Subscriber
) -> None:
    with owned_by(subscriber), label(symbol="AAPL"):
        tasks = [asyncio.create_task(forever(), name=f"feed {n}") for n in range(5)]
    await asyncio.sleep(0)
    infos = [info for task in tasks if (info := info_of(task)) is not None]
    for number, info in enumerate(infos):
        info.created_at = 1_000.0 + number
    every = [each for each in snapshot.live(ledger, 1_100.0, 100) if each.name.startswith("feed")]
    assert every[2] == snapshot.LiveTask(
        serial=infos[2].serial,
        age_s=98.0,
        name="feed 2",
        coroutine="forever",
        location=infos[2].site.location,
        state=every[2].state,
        note="",
        parent=infos[2].parent,
        labels={"symbol": "AAPL"},
    )
    assert "Event.wait" in every[2].state
    assert [each.name for each in every] == [f"feed {n}" for n in range(5)]
    first = [each.serial for each in snapshot.live(ledger, 1_100.0, 100)]
    some = snapshot.live(ledger, 1_100.0, 2, offset=first.index(infos[1].serial))
    assert [each.name for each in some] == ["feed 1", "feed 2"]
    subscriber.closed = True
    (late,) = snapshot.listed(ledger, [to_record(infos[0])], 990.0)
    assert (late.note, late.age_s) == ("orphaned", 0.0)
    await ended(*tasks)


async def test_two_places_on_one_line_are_one_row(ledger: Ledger) -> None:
    await asyncio.wait([asyncio.create_task(nothing()), asyncio.create_task(nothing())])
    (row,) = ours(snapshot.by_location(ledger, time.monotonic()))
    assert row.finished == 2


async def test_the_note_of_a_row_says_what_is_wrong(ledger: Ledger, subscriber: Subscriber) -> None:
    with owned_by(subscriber):
        tasks = [asyncio.create_task(forever()) for _ in range(2)]
    assert ours(snapshot.by_location(ledger, time.monotonic()))[0].note == ""
    subscriber.closed = True
    taken = snapshot.by_location(ledger, time.monotonic())
    assert (ours(taken)[0].orphaned, ours(taken)[0].note) == (2, "all orphaned")
    assert taken.totals.orphaned == 2
    assert snapshot.LocationCounts("a:1", "f", live=3, orphaned=1, destroyed=4).note == (
        "1 orphaned, 4 destroyed pending"
    )
    await ended(*tasks)


async def test_the_snapshot_names_the_failure_of_a_ledger(ledger: Ledger) -> None:
    ledger.failure = "LookupError: broken"
    (reason,) = snapshot.by_location(ledger, 0.0).totals.incomplete
    assert reason == "stopped recording tasks: LookupError: broken"


# ---------------------------------------------------------------- untracked


async def test_tasks_around_the_ledger_are_untracked(ledger: Ledger) -> None:
    before = snapshot.untracked(ledger)
    around = asyncio.Task(forever(), loop=asyncio.get_running_loop())
    through = asyncio.create_task(forever())
    assert snapshot.untracked(ledger) == before + 1
    assert snapshot.by_location(ledger, time.monotonic()).totals.untracked == before + 1
    await ended(around, through)
    assert snapshot.untracked(ledger) == before  # ended ones do not count, though held


@pytest.mark.allow_task_leaks  # two ledgers of its own
async def test_each_ledger_knows_its_own_tasks() -> None:
    loop = asyncio.get_running_loop()
    loop.set_task_factory(None)
    inner, outer = Ledger(), Ledger()
    inner.install(loop)
    before = snapshot.untracked(inner)
    early = asyncio.create_task(forever())
    outer.install(loop)
    late = asyncio.create_task(forever())
    assert (snapshot.untracked(inner), snapshot.untracked(outer)) == (before, before + 1)
    await ended(early, late)
    outer.uninstall()
    inner.uninstall()


async def test_tasks_of_other_loops_are_not_counted(ledger: Ledger) -> None:
    before = snapshot.untracked(ledger)
    counts: list[int] = []

    async def elsewhere() -> None:
        counts.append(snapshot.untracked(ledger))

    await asyncio.to_thread(asyncio.run, elsewhere())
    assert counts == [before]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
async def test_an_eager_task_around_the_factory_is_untracked(ledger: Ledger) -> None:
    before = snapshot.untracked(ledger)
    task = asyncio.Task(forever(), loop=asyncio.get_running_loop(), eager_start=True)  # type: ignore[call-arg]
    assert snapshot.untracked(ledger) == before + 1
    await ended(task)


async def test_tasks_from_before_the_ledger_did_not_go_around_it() -> None:
    loop = asyncio.get_running_loop()
    factory = loop.get_task_factory()
    early = [asyncio.create_task(forever()) for _ in range(3)]
    ledger = Ledger()
    ledger.install(loop)
    assert snapshot.by_location(ledger, 0.0).new_untracked == 0
    late = [asyncio.Task(forever(), loop=loop) for _ in range(2)]
    taken = snapshot.by_location(ledger, 0.0)
    assert taken.totals.untracked == taken.new_untracked + ledger.earlier()
    assert (taken.new_untracked, taken.new_untracked_coroutines) == (2, [("forever", 2)])
    await ended(*early)
    taken = snapshot.by_location(ledger, 0.0)
    assert taken.new_untracked == 2
    await ended(*late)
    taken = snapshot.by_location(ledger, 0.0)
    assert (taken.new_untracked, taken.new_untracked_coroutines) == (0, [])  # though they are held
    ledger.uninstall()
    loop.set_task_factory(factory)


# ---------------------------------------------------------------- the live, one by one


async def test_live_tasks_oldest_first_in_pages(ledger: Ledger) -> None:
    tasks = []
    for n in range(6):  # two locations, in turn
        if n % 2:
            tasks.append(asyncio.create_task(forever(), name=f"t{n}"))
        else:
            tasks.append(asyncio.create_task(forever(), name=f"t{n}"))
    await asyncio.sleep(0)
    now = time.monotonic() + 50
    everything = snapshot.live(ledger, now, 1000)
    names = [task.name for task in everything if task.name.startswith("t")]
    assert names == [f"t{n}" for n in range(6)]
    assert [t.serial for t in everything] == sorted(t.serial for t in everything)
    assert snapshot.live(ledger, now, 2, 3) == everything[3:5]
    assert snapshot.live(ledger, now, 2, 1000) == []
    task = everything[-1]
    assert (task.coroutine, task.state, task.note) == ("forever", "Event.wait (1 waiting)", "")
    assert task.location.startswith(HERE)
    assert task.age_s >= 50
    await ended(*tasks)


class Rude(asyncio.Task[Any]):
    """A task about which nothing can be learned."""

    def get_name(self) -> str:
        raise ZeroDivisionError("get_name")

    def get_coro(self) -> Any:
        raise ZeroDivisionError("get_coro")

    def __repr__(self) -> str:
        raise ZeroDivisionError("repr")


@pytest.mark.allow_task_leaks  # it sets its own task factory
async def test_tasks_that_raise_when_read_break_nothing() -> None:
    loop = asyncio.get_running_loop()
    loop.set_task_factory(lambda loop, coro, **kw: Rude(coro, loop=loop, **kw))
    ledger = Ledger()
    ledger.install(loop)

    class Broken:
        @property
        def closed(self) -> bool:
            raise ZeroDivisionError("closed")

        def __str__(self) -> str:
            raise ZeroDivisionError("str")

    with owned_by(Broken()):
        task = loop.create_task(forever())
    await asyncio.sleep(0)
    (seen,) = snapshot.live(ledger, time.monotonic(), 10)
    assert (seen.name, seen.coroutine, seen.state) == ("?", "?", "unknown")
    taken = snapshot.by_location(ledger, time.monotonic())
    assert (taken.totals.live, taken.totals.orphaned) == (1, 0)
    await ended(task)
    ledger.uninstall()


# ---------------------------------------------------------------- from other threads


async def test_snapshots_from_threads_while_tasks_come_and_go(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "SLICE", 10)  # many pauses, many chances to meet a change
    monkeypatch.setattr(turns, "READER_TURN_S", 0.0)
    stop = threading.Event()
    faults: list[BaseException | str] = []

    def read() -> None:
        try:
            while not stop.is_set():
                now = time.monotonic()
                taken = snapshot.by_location(ledger, now)
                if not all(map(balanced, [*taken.rows, taken.totals])):
                    faults.append(f"out of balance: {taken}")
                if taken.totals.untracked > at_rest:
                    faults.append(f"{taken.totals.untracked} untracked")
                serials = [task.serial for task in snapshot.live(ledger, now, 50)]
                if serials != sorted(serials):
                    faults.append("not oldest first")
        except BaseException as error:
            faults.append(error)
            raise

    at_rest = snapshot.untracked(ledger)
    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    made = 0
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        tasks = [asyncio.create_task(nothing()) for _ in range(50)]
        sleepers = [asyncio.create_task(forever()) for _ in range(50)]
        made += 100
        await asyncio.wait(tasks)
        await ended(*sleepers)
    stop.set()
    for reader in readers:
        reader.join()
    assert faults == []
    assert sum(row.spawned for row in ours(snapshot.by_location(ledger, 0.0))) == made
