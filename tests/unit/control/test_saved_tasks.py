"""A saved moment answers as the service did, and says what it cannot tell."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from qcfeed.control.handlers import tasks
from qcfeed.control.routes import (
    TASKS,
    TASKS_BY_LABEL,
    TASKS_BY_LOCATION,
    TASKS_CANCEL_PLAN,
    TASKS_PROFILE,
    TASKS_SHOW,
    TASKS_SNAPSHOT,
    TASKS_TREE,
)
from qcfeed.control.saved_tasks import answer
from qcfeed.diagnostics import Ledger, LoopWatch, label, owned_by
from qcfeed.errors import NotFoundError, UsageError
from qcfeed.model.answer import Answer
from qcfeed.model.saved_tasks import SavedSnapshot

HERE = "tests/unit/control/test_saved_tasks.py"


class Program:
    """Routes over a ledger, asked without a server; and a moment of it, kept as a file keeps it."""

    def __init__(self, ledger: Ledger) -> None:
        self._reads = {read.path: read for read in tasks.routes(ledger, LoopWatch())}

    def ask(self, path: str, **params: Any) -> Any:
        read = self._reads[path]
        return read.handle(msgspec.convert(params, read.query))

    def save(self, **params: Any) -> SavedSnapshot:
        kept = msgspec.json.encode(self.ask(TASKS_SNAPSHOT, **params))
        return msgspec.json.decode(kept, type=SavedSnapshot)


async def sleeping() -> None:
    await asyncio.sleep(600)


async def parent(children: list[asyncio.Task[None]]) -> None:
    with label(kind="child"):
        children.append(asyncio.create_task(sleeping(), name="child"))
    await children[0]


@pytest.fixture
async def program() -> AsyncIterator[Program]:
    """A parent that awaits its child, four sleepers with labels, and two orphans."""
    ledger = Ledger(spawn_stacks=3)
    ledger.install(asyncio.get_running_loop())
    held: list[asyncio.Task[None]] = []
    held.append(asyncio.create_task(parent(held_by := []), name="parent"))
    for symbol in ("AAPL", "AAPL", "MSFT", "TSLA"):
        with label(symbol=symbol):
            held.append(asyncio.create_task(sleeping(), name=f"feed {symbol}"))
    with owned_by(lambda: True):
        held += [asyncio.create_task(sleeping()) for _ in range(2)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    held += held_by
    yield Program(ledger)
    for task in held:
        task.cancel()
    await asyncio.gather(*held, return_exceptions=True)
    ledger.uninstall()


SLEPT = re.compile(r"(?<=sleeping) [0-9.]+ \w+")  # of "sleeping 599.9 s", "sleeping 10 min"


def timeless(value: Any) -> Any:
    """An answer without its envelope, and without what a millisecond changes."""
    if isinstance(value, dict):
        left_out = {*Answer.__struct_fields__, "age_s", "oldest_s", "since", "owner_gone_s"}
        return {k: timeless(v) for k, v in value.items() if k not in left_out}
    if isinstance(value, list):
        return [timeless(each) for each in value]
    return SLEPT.sub("", value) if isinstance(value, str) else value


REQUESTS = [
    (TASKS, {}),
    (TASKS, {"limit": 3, "offset": 2}),
    (TASKS, {"label": "symbol=AAPL"}),
    (TASKS, {"label": "symbol", "name": "feed [MT]*"}),
    (TASKS, {"waiting_on": "SLEEP", "site": HERE}),
    (TASKS, {"older_than_s": 3600.0}),
    (TASKS_BY_LOCATION, {}),
    (TASKS_BY_LOCATION, {"waits": True}),
    (TASKS_BY_LOCATION, {"exact": True}),
    (TASKS_BY_LOCATION, {"label": "symbol"}),
    (TASKS_BY_LABEL, {"key": "symbol"}),
    (TASKS_BY_LABEL, {"key": "symbol", "site": HERE, "limit": 2}),
    (TASKS_TREE, {}),
    (TASKS_TREE, {"name": "child"}),
    (TASKS_PROFILE, {"site": HERE}),
    (TASKS_PROFILE, {"exact": True, "label": "symbol"}),
    (TASKS_CANCEL_PLAN, {"label": "symbol"}),
]


@pytest.mark.parametrize(("path", "params"), REQUESTS)
async def test_a_file_answers_as_the_service_did(
    program: Program, path: str, params: dict[str, Any]
) -> None:
    saved = program.save()
    live = msgspec.to_builtins(program.ask(path, **params))
    again = msgspec.to_builtins(answer(saved, path, **params))
    assert timeless(again) == timeless(live)


async def test_each_task_is_shown_as_the_service_did(program: Program) -> None:
    saved = program.save()
    serials = [task.serial for task in saved.tasks]
    assert len(serials) >= 8
    for serial in serials:
        live = msgspec.to_builtins(program.ask(TASKS_SHOW, serial=serial))
        again = msgspec.to_builtins(answer(saved, TASKS_SHOW, serial=serial))
        if "test_each" not in str(live["stack"]):  # this one runs, and at another line by now
            assert timeless(again) == timeless(live)


async def test_a_cancel_plan_by_serials_answers_as_the_service_did(program: Program) -> None:
    saved = program.save()
    first = saved.tasks[1].serial
    plan = answer(saved, TASKS_CANCEL_PLAN, serials=f"{first},999999")
    live = program.ask(TASKS_CANCEL_PLAN, serials=f"{first},999999")
    assert timeless(msgspec.to_builtins(plan)) == timeless(msgspec.to_builtins(live))
    with pytest.raises(UsageError, match="not serial numbers"):
        answer(saved, TASKS_CANCEL_PLAN, serials="x")


async def test_a_snapshot_is_bounded_and_counts_dropped_tasks(program: Program) -> None:
    whole, some = program.save(), program.save(limit=4, stacks=2)
    sites = {task.location for task in whole.tasks}
    kept = some
    assert kept.totals.live == whole.totals.live
    assert len(kept.tasks) + kept.dropped_tasks == kept.totals.live
    assert {task.location for task in kept.tasks} == sites, "of each location the oldest"
    with_stack = [task for task in kept.tasks if task.stack is not msgspec.UNSET]
    assert kept.without_stack == len(kept.tasks) - len(with_stack)
    assert answer(some, TASKS).total == whole.totals.live


async def test_a_task_lists_its_parts_that_were_not_saved(program: Program) -> None:
    some = program.save(limit=6, stacks=1)
    without = next(task for task in some.tasks if task.stack is msgspec.UNSET)
    stack, children = answer(some, TASKS_SHOW, serial=without.serial).skipped
    assert stack.startswith("its stack: ")
    assert children.startswith("children among the ")
    assert answer(program.save(), TASKS_SHOW, serial=without.serial).skipped == []


async def test_saved_stacks_represent_the_tasks_without_one(program: Program) -> None:
    saved = program.save(stacks=0)
    told = answer(saved, TASKS_PROFILE)
    assert told.total == saved.totals.live
    assert told.sampled < told.total
    with pytest.raises(UsageError, match=r"the stacks of \d of \d+ tasks were saved"):
        answer(saved, TASKS_PROFILE, exact=True)


async def test_asking_for_what_was_not_saved_is_an_error(program: Program) -> None:
    saved = program.save()
    with pytest.raises(NotFoundError, match="no live task 999999 in the file"):
        answer(saved, TASKS_SHOW, serial=999_999)
    for row in saved.locations:
        row.sampled = 0
    with pytest.raises(UsageError, match="from a sample"):
        answer(saved, TASKS_BY_LOCATION, exact=True)


async def test_answers_have_the_pid_instance_and_time_of_the_snapshot(program: Program) -> None:
    saved = program.save()
    saved.pid, saved.instance, saved.taken_at = 7, "elsewhere", "2024-03-20T02:15:00Z"
    tasks = answer(saved, TASKS)
    assert (tasks.pid, tasks.instance, tasks.taken_at) == (7, "elsewhere", saved.taken_at)
