from __future__ import annotations

import asyncio

import pytest

from qcfeed.control.handlers import task_cancel, tasks
from qcfeed.control.routes import TASKS_CANCEL, TASKS_CANCEL_PLAN
from qcfeed.diagnostics import Ledger, LoopWatch, label
from qcfeed.errors import UsageError
from qcfeed.model.task_details import CancelPlan, CancelPlanQuery, CancelTasksRequest

HERE = "unit/control/handlers/test_task_cancel.py"


class Program:
    """Routes over a ledger, asked without a server."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.handle = {r.path: r.handle for r in tasks.routes(self.ledger, LoopWatch())}
        self.held: list[asyncio.Task[None]] = []

    def spawn(self, coroutine=None, **labels: str) -> asyncio.Task[None]:
        with label(**labels):
            self.held.append(asyncio.create_task((coroutine or forever)()))
        return self.held[-1]

    def serial(self, task: asyncio.Task[None]) -> int:
        record = self.ledger.record_of(task)
        assert record is not None
        return record.serial

    def plan(self, **query) -> CancelPlan:
        return self.handle[TASKS_CANCEL_PLAN](CancelPlanQuery(**query))

    async def cancel(self, **request):
        return await self.handle[TASKS_CANCEL](CancelTasksRequest(**request))


async def forever() -> None:
    await asyncio.sleep(600)


@pytest.fixture
async def program():
    program = Program()
    program.ledger.install(asyncio.get_running_loop())
    yield program
    for task in program.held:
        task.cancel()
    await asyncio.gather(*program.held, return_exceptions=True)
    program.ledger.uninstall()


async def test_serials_cancel_exactly_those_tasks(program: Program) -> None:
    first, second, third = (program.spawn() for _ in range(3))
    plan = program.plan(serials=f"{program.serial(first)},{program.serial(third)}")
    assert (plan.total, plan.gone_serials, plan.spared) == (2, [], [])
    ended = await program.cancel(serials=[program.serial(first), program.serial(third)])
    assert (ended.cancelled, ended.survived, ended.already_gone) == (2, 0, 0)
    assert first.cancelled()
    assert third.cancelled()
    assert not second.cancelling()


async def test_a_stale_serial_never_matches_another_task(program: Program) -> None:
    """Numbers are not addresses: thousands born since, some where it was in memory, have others."""
    gone = program.spawn()
    serial = program.serial(gone)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    program.held.clear()
    del gone
    later = [program.serial(program.spawn()) for _ in range(2_000)]
    assert min(later) > serial
    assert len(set(later)) == 2_000
    assert program.plan(serials=str(serial)).gone_serials == [serial]
    ended = await program.cancel(serials=[serial])
    assert (ended.cancelled, ended.already_gone) == (0, 1)
    assert not any(task.cancelling() for task in program.held)


async def test_tasks_created_after_the_plan_are_not_cancelled(program: Program) -> None:
    planned = program.spawn(symbol="AAPL")
    plan = program.plan(label="symbol=AAPL")
    later = program.spawn(symbol="AAPL")
    ended = await program.cancel(label="symbol=AAPL", up_to=plan.up_to)
    assert (plan.total, ended.cancelled) == (1, 1)
    assert planned.cancelled()
    assert not later.cancelling()


async def test_a_plan_lists_some_and_counts_all(program: Program) -> None:
    for _ in range(30):
        program.spawn()
    plan = program.plan(site=HERE, limit=5)
    assert (plan.total, len(plan.tasks)) == (30, 5)
    assert [
        (row.location.partition(":")[0][-len(HERE) :], row.count) for row in plan.locations
    ] == [(HERE, 30)]


def test_the_main_task_is_spared_by_a_filter_and_cancelled_by_its_number() -> None:
    program = Program()

    async def main() -> None:
        this = asyncio.current_task()
        assert this is not None
        serial = program.serial(this)
        other = program.spawn()
        plan = program.plan(older_than_s=0.0, name="*")
        assert (plan.total, [spared.serial for spared in plan.spared]) == (1, [serial])
        assert plan.spared[0].why == "it is the main task, and the program ends with it"
        assert plan.vital == []
        named = program.plan(serials=str(serial))
        assert (named.total, named.vital) == (1, plan.spared)
        ended = await program.cancel(name="*")
        assert (ended.cancelled, [spared.serial for spared in ended.spared]) == (1, [serial])
        assert not this.cancelling()
        assert other.cancelled()

    with asyncio.Runner() as runner:
        program.ledger.install(runner.get_loop())
        runner.run(main())
        program.ledger.uninstall()


async def test_tasks_of_the_control_plane_are_spared(program: Program, monkeypatch) -> None:
    plan = program.plan(serials=str(program.serial(program.spawn())))
    ours = plan.locations[0].location.rpartition("/")[0] + "/"
    assert task_cancel.CONTROL_PLANE == "qcfeed/control/"
    monkeypatch.setattr(task_cancel, "CONTROL_PLANE", ours)
    plan = program.plan(site=HERE)
    assert (plan.total, [spared.why for spared in plan.spared]) == (
        0,
        ["it is the control plane's"],
    )


async def test_a_survivor_is_listed_with_its_state_and_stack(program: Program) -> None:
    end = asyncio.Event()

    async def stubborn() -> None:
        while not end.is_set():
            try:
                await end.wait()
            except asyncio.CancelledError:
                continue

    task = program.spawn(stubborn)
    await asyncio.sleep(0)
    ended = await program.cancel(serials=[program.serial(task)], timeout_s=0.02)
    (survivor,) = ended.survivors
    assert (ended.cancelled, ended.survived, survivor.cancelling) == (0, 1, 1)
    assert "Event.wait" in survivor.state
    assert [frame.source for frame in survivor.stack][:1] == ["await end.wait()"]
    end.set()


async def test_a_ring_of_tasks_that_wait_for_each_other_is_ended(program: Program) -> None:
    """`Task.cancel()` goes round it until it raises RecursionError."""
    ring: list[asyncio.Task[None]] = []

    async def wait_for(other: int) -> None:
        await ring[other]

    ring += [program.spawn(lambda n=n: wait_for((n + 1) % 3)) for n in range(3)]
    await asyncio.sleep(0)
    program.held.clear()
    ended = await program.cancel(serials=[program.serial(ring[0])])
    assert (ended.cancelled, ended.survived) == (1, 0)
    await asyncio.wait(ring)
    assert all(task.cancelled() for task in ring)


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"serials": [1], "name": "*"},
        {"name": "*", "batch": 0},
        {"name": "*", "timeout_s": -1.0},
        {"serials": list(range(task_cancel.SERIALS + 1))},
    ],
)
async def test_invalid_requests_cancel_nothing(program: Program, request_) -> None:
    task = program.spawn()
    with pytest.raises(UsageError):
        await program.cancel(**request_)
    assert not task.cancelling()


async def test_text_that_is_no_serial_is_an_error(program: Program) -> None:
    with pytest.raises(UsageError, match="not serial numbers"):
        program.plan(serials="1,feed")
