from __future__ import annotations

import asyncio

import msgspec
import pytest

from qcfeed.control.handlers import queries
from qcfeed.control.routes import ORPHANS, TASKS, TASKS_BY_LOCATION
from qcfeed.errors import UsageError
from qcfeed.model.orphans import OrphansQuery
from qcfeed.model.tasks import ByLocationQuery, TasksQuery


class Owner:
    def __init__(self, symbol: object = "AAPL") -> None:
        self.closed = False
        self.symbol = symbol

    def __str__(self) -> str:
        return f"subscriber of {self.symbol}"


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
    assert "handlers/conftest.py" in row.location
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
        (TASKS, TasksQuery(limit=queries.PAGE + 1)),
        (TASKS, TasksQuery(offset=-1)),
    ],
)
async def test_bounds(start, path, query):
    with pytest.raises(UsageError):
        start().handle[path](query)


async def test_source_lines_are_included_on_request(start):
    program = start()
    program.spawn(1)
    ask = program.handle[TASKS_BY_LOCATION]
    (row,) = ask(ByLocationQuery(sources=True)).locations
    assert row.source == "new = [asyncio.create_task((coroutine or forever)()) for _ in range(n)]"
    assert ask(ByLocationQuery()).locations[0].source is msgspec.UNSET
