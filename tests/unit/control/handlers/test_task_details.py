"""One task, the tree and rows by label, asked of a real ledger in the test's own loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from qcfeed.control.handlers import tasks
from qcfeed.control.routes import (
    ORPHANS,
    TASKS,
    TASKS_BY_LABEL,
    TASKS_BY_LOCATION,
    TASKS_SHOW,
    TASKS_TREE,
)
from qcfeed.diagnostics import Ledger, LoopWatch, label, owned_by, reaper
from qcfeed.errors import NotFoundError, UsageError
from qcfeed.model.orphans import OrphansQuery
from qcfeed.model.task_details import LabelQuery, SerialQuery, TreeQuery
from qcfeed.model.tasks import ByLocationQuery, TaskFilter, TasksQuery

HERE = "unit/control/handlers/test_task_details.py"


class Program:
    """Routes over a ledger, asked without a server."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.handle = {r.path: r.handle for r in tasks.routes(ledger, LoopWatch())}
        self.held: list[asyncio.Task[None]] = []

    def spawn(self, coroutine=None, name: str | None = None) -> asyncio.Task[None]:
        task = asyncio.create_task((coroutine or forever)(), name=name)
        self.held.append(task)
        return task

    def serial(self, task: asyncio.Task[None]) -> int:
        record = self.ledger.record_of(task)
        assert record is not None
        return record.serial

    def show(self, task: asyncio.Task[None]):
        return self.handle[TASKS_SHOW](SerialQuery(self.serial(task)))


async def forever() -> None:
    await asyncio.sleep(600)


@pytest.fixture
async def program() -> Iterator[Program]:
    ledger = Ledger(spawn_stacks=3)
    ledger.install(asyncio.get_running_loop())
    program = Program(ledger)
    yield program
    for task in program.held:
        task.cancel()
    await asyncio.gather(*program.held, return_exceptions=True)
    ledger.uninstall()


async def test_one_task_in_full(program: Program) -> None:
    class Owner:
        closed, closed_at = True, asyncio.get_running_loop().time() - 9

        def __str__(self) -> str:
            return "subscriber 3"

    spawned: list[asyncio.Task[None]] = []

    async def parent() -> None:
        with label(symbol="AAPL"), owned_by(Owner()):
            spawned.append(program.spawn(name="child"))
        await asyncio.shield(spawned[0])

    mother = program.spawn(parent, "mother")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    answer = program.show(spawned[0])
    assert (answer.task.name, answer.task.labels) == ("child", {"symbol": "AAPL"})
    assert answer.task.note == "orphaned"
    assert answer.task.parent == program.serial(mother)
    assert answer.parent_task.name == "mother"
    assert (answer.owner, answer.owner_gone) == ("subscriber 3", True)
    assert answer.owner_gone_s >= 9
    assert [(a.serial, a.name, a.how) for a in answer.awaited_by] == [
        (program.serial(mother), "mother", "shield")
    ]
    assert (answer.shielded, answer.main, answer.cancelling, answer.children) == (
        True, False, 0, 0,
    )  # fmt: skip
    assert [frame.function for frame in answer.stack] == ["forever", "sleep"]
    assert answer.stack[0].source == "await asyncio.sleep(600)"
    assert [frame.function for frame in answer.spawn_stack][-1] == "Program.spawn"
    assert program.show(mother).children == 1


async def test_a_parent_that_has_ended_is_shown_by_its_serial(program: Program) -> None:
    spawned: list[asyncio.Task[None]] = []

    async def parent() -> None:
        spawned.append(program.spawn())

    mother = asyncio.create_task(parent())
    serial = program.serial(mother)
    await mother
    answer = program.show(spawned[0])
    assert (answer.task.parent, answer.parent_task) == (serial, None)


async def test_a_task_that_swallows_cancellations_shows_how_many_are_pending(
    program: Program,
) -> None:
    end = asyncio.Event()

    async def stubborn() -> None:
        while not end.is_set():
            try:
                await end.wait()
            except asyncio.CancelledError:
                continue

    task = program.spawn(stubborn)
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.sleep(0)
    assert program.show(task).cancelling == 3
    end.set()


async def test_without_spawn_stacks_there_is_no_such_field(program: Program) -> None:
    program.ledger.spawn_stacks = 0
    assert not program.show(program.spawn()).spawn_stack


async def test_a_serial_without_a_live_task_is_not_found(program: Program) -> None:
    task = program.spawn()
    serial = program.serial(task)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    for number in (serial, -1, 2**62):
        with pytest.raises(NotFoundError, match=str(number)):
            program.handle[TASKS_SHOW](SerialQuery(number))


async def test_the_tree_has_parents_before_children_and_shows_rings(program: Program) -> None:
    ring: list[asyncio.Task[None]] = []

    async def wait_for(other: int) -> None:
        await asyncio.gather(ring[other])

    async def parent() -> None:
        ring.extend(program.spawn(lambda: wait_for(1)) for _ in range(1))
        ring.append(program.spawn(lambda: wait_for(0)))

    mother = program.spawn(parent)
    await mother
    await asyncio.sleep(0)
    grandmother = program.spawn(name="alone")
    answer = program.handle[TASKS_TREE](TreeQuery(site=HERE))
    by_serial = {task.serial: task for task in answer.tasks}
    first, second = map(program.serial, ring)
    assert answer.cycles == [[first, second]]
    assert by_serial[first].awaited_by_serials == [second]
    assert by_serial[second].awaited_by_serials == [first]
    assert by_serial[program.serial(grandmother)].name == "alone"
    assert [task.serial for task in answer.tasks] == sorted(by_serial)
    for task in ring:
        reaper.cancel_task(task)
    await asyncio.wait(ring)


async def test_a_filtered_tree_keeps_the_ancestors(program: Program) -> None:
    async def parent() -> None:
        with label(symbol="AAPL"):
            program.spawn(parent_of_one)
        program.spawn(name="sibling")
        await forever()

    async def parent_of_one() -> None:
        program.spawn(name="leaf")
        await forever()

    program.spawn(parent, "root")
    for _ in range(3):
        await asyncio.sleep(0)
    answer = program.handle[TASKS_TREE](TreeQuery(name="leaf"))
    assert answer.total == 1
    assert {"root", "leaf"} <= {task.name for task in answer.tasks}
    assert "sibling" not in {task.name for task in answer.tasks}


async def test_filters_reach_every_list(program: Program) -> None:
    with ExitStack() as stack:
        stack.enter_context(label(symbol="AAPL", client="a"))
        stack.enter_context(owned_by(lambda: True))
        program.spawn(name="feed AAPL")
        program.spawn(name="feed AAPL")
    with label(symbol="MSFT"), owned_by(lambda: True):
        program.spawn(name="feed MSFT")
    program.spawn(name="link")
    await asyncio.sleep(0)

    listed = program.handle[TASKS](TasksQuery(label="symbol=AAPL\nclient=a", limit=1))
    assert (listed.total, len(listed.tasks)) == (2, 1)
    assert listed.totals.live >= 4, "the books stay whole"
    assert listed.tasks[0].labels == {"symbol": "AAPL", "client": "a"}
    assert program.handle[TASKS](TasksQuery(name="feed *")).total == 3
    assert program.handle[TASKS](TasksQuery(older_than_s=60.0)).total == 0

    (row,) = program.handle[TASKS_BY_LOCATION](ByLocationQuery(name="feed *")).locations
    assert (row.matching, row.live) == (3, 4)

    assert program.handle[ORPHANS](OrphansQuery(label="symbol=MSFT")).total == 1
    assert program.handle[ORPHANS](OrphansQuery(name="link")).total == 0

    rows = program.handle[TASKS_BY_LABEL](LabelQuery(key="symbol", site=HERE, limit=1))
    assert (rows.total, rows.key) == (3, "symbol")
    assert [(v.value, v.live, v.orphaned) for v in rows.values] == [("AAPL", 2, 2)]


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (TASKS, TasksQuery(older_than_s=-1.0)),
        (TASKS, TasksQuery(label="=AAPL")),
        (TASKS_TREE, TreeQuery(limit=-1)),
        (TASKS_BY_LABEL, LabelQuery(key="symbol", limit=10**9)),
    ],
)
async def test_invalid_queries_are_usage_errors(
    program: Program, path: str, query: TaskFilter
) -> None:
    with pytest.raises(UsageError):
        program.handle[path](query)
