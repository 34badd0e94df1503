from __future__ import annotations

import asyncio
import time

import pytest

from qcfeed.control.handlers import orphans, queries
from qcfeed.control.routes import ORPHANS, REAP
from qcfeed.diagnostics.ledger import owned_by
from qcfeed.diagnostics.turns import ReaderTurns
from qcfeed.errors import UsageError
from qcfeed.model.orphans import Orphan, OrphansQuery, ReapRequest


class Owner:
    def __init__(self, symbol: object = "AAPL") -> None:
        self.closed = False
        self.symbol = symbol

    def __str__(self) -> str:
        return f"subscriber of {self.symbol}"


async def test_a_list_has_a_page_at_most(start):
    with pytest.raises(UsageError, match="limit is"):
        start().handle[ORPHANS](OrphansQuery(limit=queries.PAGE + 1))


@pytest.mark.parametrize(
    "request_",
    [
        ReapRequest(batch=0),
        ReapRequest(batch=orphans.BATCH + 1),
        ReapRequest(timeout_s=-1),
        ReapRequest(timeout_s=orphans.LONGEST_REAP + 1),
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
async def test_an_owner_without_a_text_symbol_has_none(start, symbol):
    program, owner = start(), Owner(symbol)
    program.spawn(1, owner)
    owner.closed = True
    assert program.handle[ORPHANS](OrphansQuery()).orphans[0].symbol is None


async def test_a_reap_touches_orphans_only(start):
    program, gone, there = start(), Owner(), Owner()
    spawned, held, nobodys = (
        program.spawn(1200, gone), program.spawn(3, there), program.spawn(3)
    )  # fmt: skip
    gone.closed = True
    reaped = await program.handle[REAP](ReapRequest())
    assert (reaped.cancelled, reaped.survivors, reaped.failed) == (1200, [], 0)
    assert all(task.cancelled() for task in spawned)
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


async def test_a_task_whose_owner_came_back_is_spared(start, monkeypatch):
    """Proven again just before: between the search and the cancelling an owner came back."""
    program, owner = start(), Owner()
    spawned = program.spawn(3, owner)
    owner.closed = True
    cancel = orphans.reaper.cancel

    async def cancel_after_it_came_back(records, **kw):
        owner.closed = False
        return await cancel(records, **kw)

    monkeypatch.setattr(orphans.reaper, "cancel", cancel_after_it_came_back)
    assert (await program.handle[REAP](ReapRequest())).cancelled == 0
    assert not any(task.cancelling() for task in spawned)


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
    assert "handlers/conftest.py" in reaped.survivors[0].location
    end.set()


async def test_orphaned_subscriptions_of_the_service_are_listed_and_removed(start):
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


async def test_spread_lists_orphans_of_all_ages(start):
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


class _CountedTurns(ReaderTurns):
    """Counts how often the loop may run."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses = 0

    def let_loop_run(self) -> None:
        self.pauses += 1


@pytest.mark.parametrize(
    ("created", "expected"),
    [
        ([], 0.0),
        ([100.0], 0.0),
        ([70.0, 80.0, 84.9], 0.0),  # stopped more than 15 s ago
        ([99.0, 99.5, 100.0], 0.0),  # one burst
        ([10.0, 20.0, 39.0], 0.0),  # all older than a minute
        ([10.0, 40.0, 60.0, 80.0, 100.0], 3.0),  # the first is too old: 3 more in a minute
        ([100.0, 80.0, 60.0, 40.0, 10.0], 3.0),  # in any order
    ],
)
def test_the_rate_of_a_leak_is_that_of_the_last_minute(
    created: list[float], expected: float
) -> None:
    assert orphans.per_minute(created, 100.0, ReaderTurns()) == expected


def test_the_loop_may_run_while_the_rate_of_a_large_leak_is_computed() -> None:
    turns = _CountedTurns()
    created = [60.0 + number / 5_000 for number in range(200_000)]
    assert orphans.per_minute(created, 100.0, turns) == pytest.approx(195_000 * 60 / 40, rel=0.001)
    assert turns.pauses >= 200
