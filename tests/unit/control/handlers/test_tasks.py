from __future__ import annotations

import asyncio
import time

import msgspec
import pytest

from qcfeed.control.handlers import tasks
from qcfeed.control.routes import ORPHANS, REAP, TASKS, TASKS_BY_LOCATION
from qcfeed.diagnostics.ledger import Ledger, owned_by
from qcfeed.diagnostics.loop_watch import LoopWatch
from qcfeed.errors import UsageError
from qcfeed.model.orphans import Orphan, OrphansQuery, ReapRequest
from qcfeed.model.tasks import ByLocationQuery, TasksQuery


class Owner:
    def __init__(self, symbol: object = "AAPL") -> None:
        self.closed = False
        self.symbol = symbol

    def __str__(self) -> str:
        return f"subscriber of {self.symbol}"


class Program:
    """A program with a ledger, asked without a server."""

    def __init__(self, **plugged) -> None:
        self.ledger = Ledger()
        self.watch = LoopWatch()
        self.ledger.install(asyncio.get_running_loop())
        self.watch.start(asyncio.get_running_loop())
        self.handle = {
            route.path: route.handle for route in tasks.routes(self.ledger, self.watch, **plugged)
        }
        self.held: list[asyncio.Task] = []

    def spawn(self, n: int, owner: Owner | None = None, coroutine=None) -> list[asyncio.Task]:
        with owned_by(owner):
            new = [asyncio.create_task((coroutine or forever)()) for _ in range(n)]
        self.held += new
        return new

    async def close(self) -> None:
        for task in self.held:
            task.cancel()
        await asyncio.gather(*self.held, return_exceptions=True)
        self.watch.stop()
        self.ledger.uninstall()


async def forever() -> None:
    await asyncio.sleep(600)


@pytest.fixture
async def start():
    programs = []

    def make(**plugged):
        programs.append(Program(**plugged))
        return programs[-1]

    yield make
    for program in programs:
        await program.close()


async def test_by_location_balances(start):
    program = start()
    program.spawn(5)
    (ended,) = program.spawn(1)
    await asyncio.sleep(0)
    ended.cancel()
    await asyncio.gather(ended, return_exceptions=True)
    answer = program.handle[TASKS_BY_LOCATION](ByLocationQuery())
    (row,) = answer.locations
    assert (row.live, row.spawned, row.cancelled) == (5, 6, 1)
    assert "test_tasks.py" in row.location
    totals = answer.totals
    ends = totals.finished + totals.cancelled + totals.failed + totals.destroyed
    assert totals.spawned == totals.live + ends


async def test_a_ledger_that_gave_up_says_so(start):
    program = start()
    program.ledger.failure = "ValueError: broken"
    (reason,) = program.handle[TASKS_BY_LOCATION](ByLocationQuery()).totals.incomplete
    assert reason == "stopped recording tasks: ValueError: broken"
    assert program.handle[ORPHANS](OrphansQuery()).incomplete == [reason]


async def test_tasks_oldest_first_and_paged(start):
    program = start()
    program.spawn(5)
    whole = program.handle[TASKS](TasksQuery())
    assert whole.total == 5
    serials = [task.serial for task in whole.tasks]
    assert serials == sorted(serials)
    page = program.handle[TASKS](TasksQuery(limit=2, offset=1))
    assert [task.serial for task in page.tasks] == serials[1:3]
    assert page.total == 5


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (TASKS, TasksQuery(limit=-1)),
        (TASKS, TasksQuery(limit=tasks.PAGE + 1)),
        (TASKS, TasksQuery(offset=-1)),
        (ORPHANS, OrphansQuery(limit=tasks.PAGE + 1)),
    ],
)
async def test_bounds(start, path, query):
    with pytest.raises(UsageError):
        start().handle[path](query)


@pytest.mark.parametrize(
    "request_",
    [
        ReapRequest(batch=0),
        ReapRequest(batch=tasks.BATCH + 1),
        ReapRequest(timeout_s=-1),
        ReapRequest(timeout_s=tasks.LONGEST_REAP + 1),
    ],
)
async def test_bounds_of_a_reap(start, request_):
    owner = Owner()
    program = start()
    (task,) = program.spawn(1, owner)
    owner.closed = True
    with pytest.raises(UsageError):
        await program.handle[REAP](request_)
    assert not task.cancelling()


async def test_orphans_with_their_evidence(start):
    program, gone, there = start(), Owner("AAPL"), Owner("MSFT")
    program.spawn(3, gone)
    program.spawn(2, there)
    program.spawn(2)
    assert program.handle[ORPHANS](OrphansQuery()).total == 0
    gone.closed = True
    answer = program.handle[ORPHANS](OrphansQuery(limit=2))
    assert (answer.total, len(answer.orphans)) == (3, 2)
    assert {orphan.symbol for orphan in answer.orphans} == {"AAPL"}
    assert "subscriber of AAPL" in answer.orphans[0].reason


@pytest.mark.parametrize("symbol", [None, 7, b"AAPL"])
async def test_an_owner_whose_symbol_is_none(start, symbol):
    program, owner = start(), Owner(symbol)
    program.spawn(1, owner)
    owner.closed = True
    assert program.handle[ORPHANS](OrphansQuery()).orphans[0].symbol is None


async def test_a_reap_touches_orphans_only(start):
    program, gone, there = start(), Owner(), Owner()
    orphans, held, nobodys = (
        program.spawn(1200, gone), program.spawn(3, there), program.spawn(3)
    )  # fmt: skip
    gone.closed = True
    reaped = await program.handle[REAP](ReapRequest())
    assert (reaped.cancelled, reaped.survivors, reaped.failed) == (1200, [], 0)
    assert all(task.cancelled() for task in orphans)
    assert not any(task.cancelling() for task in held + nobodys)
    assert program.handle[ORPHANS](OrphansQuery()).total == 0


async def test_a_reap_states_how_long_the_loop_stalled_meanwhile(start):
    program = start()

    async def blocks_in_cleanup():
        try:
            await asyncio.sleep(3600)
        finally:
            time.sleep(0.2)  # noqa: ASYNC251 - the fault

    with owned_by(lambda: True):
        task = asyncio.create_task(blocks_in_cleanup())
    await asyncio.sleep(0)
    reaped = await program.handle[REAP](ReapRequest())
    assert task.cancelled()
    assert reaped.max_stall_ms > 150


async def test_what_is_no_longer_orphaned_is_spared(start, monkeypatch):
    """Proven again just before: between the search and the cancelling an owner came back."""
    program, owner = start(), Owner()
    orphans = program.spawn(3, owner)
    owner.closed = True
    cancel = tasks.reaper.cancel

    async def cancel_after_it_came_back(records, **kw):
        owner.closed = False
        return await cancel(records, **kw)

    monkeypatch.setattr(tasks.reaper, "cancel", cancel_after_it_came_back)
    assert (await program.handle[REAP](ReapRequest())).cancelled == 0
    assert not any(task.cancelling() for task in orphans)


async def test_survivors_and_failed_cleanups(start):
    end = asyncio.Event()

    async def stubborn() -> None:
        while not end.is_set():
            try:
                await end.wait()
            except asyncio.CancelledError:
                continue

    async def untidy() -> None:
        try:
            await asyncio.sleep(600)
        finally:
            raise ValueError

    program, owner = start(), Owner()
    program.spawn(1, owner, stubborn)
    program.spawn(1, owner, untidy)
    await asyncio.sleep(0)
    owner.closed = True
    reaped = await program.handle[REAP](ReapRequest(timeout_s=0.05))
    assert (reaped.cancelled, reaped.failed, len(reaped.survivors)) == (0, 1, 1)
    assert "test_tasks.py" in reaped.survivors[0].location
    end.set()


async def test_what_only_the_service_knows(start):
    subscriptions = [
        Orphan(serial=None, symbol="MSFT", location="", age_s=age, reason="closed")
        for age in (9000.0, 0.0)
    ]

    async def remove() -> int:
        removed = len(subscriptions)
        subscriptions.clear()
        return removed

    program = start(further_orphans=lambda: list(subscriptions), remove_further=remove)
    owner = Owner()
    program.spawn(1, owner)
    owner.closed = True
    answer = program.handle[ORPHANS](OrphansQuery())
    assert answer.total == 3
    assert [orphan.symbol for orphan in answer.orphans] == ["MSFT", "AAPL", "MSFT"]
    reaped = await program.handle[REAP](ReapRequest())
    assert (reaped.cancelled, reaped.subscriptions) == (1, 2)
    assert program.handle[ORPHANS](OrphansQuery()).total == 0


async def test_grace(start):
    program, owner = start(grace=60.0), Owner()
    program.spawn(1, owner)
    owner.closed = True
    owner.closed_at = asyncio.get_running_loop().time()
    assert program.handle[ORPHANS](OrphansQuery()).total == 0
    owner.closed_at -= 61
    assert program.handle[ORPHANS](OrphansQuery()).total == 1


async def test_orphans_of_all_ages_in_place_of_the_oldest(start):
    program, owner = start(), Owner()
    program.spawn(100, owner)
    owner.closed = True
    ask = program.handle[ORPHANS]
    oldest = ask(OrphansQuery(limit=10))
    spread = ask(OrphansQuery(limit=10, spread=True))
    assert oldest.total == spread.total == 100
    serials = [row.serial for row in spread.orphans]
    assert len(serials) in range(9, 11)
    assert max(serials) - min(serials) > 50 > 10 >= len(oldest.orphans)
    assert len(ask(OrphansQuery(limit=1000, spread=True)).orphans) == 100


async def test_an_orphan_says_whose_it_was_and_how_long_it_sleeps_already(start):
    program, owner = start(), Owner()
    program.spawn(1, owner)
    owner.closed = True
    await asyncio.sleep(0.05)
    (row,) = program.handle[ORPHANS](OrphansQuery()).orphans
    assert (row.owner, row.owner_gone_s) == ("subscriber of AAPL", None)
    assert 0.04 <= row.sleeping_s < 60


async def test_the_text_of_each_location_where_it_is_asked_for(start):
    program = start()
    program.spawn(1)
    ask = program.handle[TASKS_BY_LOCATION]
    (row,) = ask(ByLocationQuery(sources=True)).locations
    assert row.source == "new = [asyncio.create_task((coroutine or forever)()) for _ in range(n)]"
    assert ask(ByLocationQuery()).locations[0].source is msgspec.UNSET
