"""`tasks --by object`, asked of a real control plane over the test's own loop."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from qcfeed.cli.tasks.by_object import with_growth
from qcfeed.diagnostics import by_object as diagnostics
from qcfeed.errors import ExitStatus
from qcfeed.model.task_objects import TasksByObject, WaitedObject
from tests.unit.cli.conftest import Left, Watched

HERE = "tests/unit/cli/tasks/test_by_object.py"


class Pool:
    """What the tasks share."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.ready = asyncio.Event()


async def work(pool: Pool) -> None:
    async with pool.lock:
        await asyncio.sleep(3600)


async def get_ready(pool: Pool) -> None:
    await pool.ready.wait()


@pytest.fixture
def call(qcfeed_: Callable[..., Left]) -> Callable[..., object]:
    async def run(*args: str) -> Left:
        left = await asyncio.to_thread(qcfeed_, "tasks", "--by", "object", *args)
        assert left.status == ExitStatus.OK, left.err
        return left

    return run


@pytest_asyncio.fixture
async def spawn(watched: Watched) -> AsyncIterator[Callable[..., list[asyncio.Task[None]]]]:
    watched.serve()
    tasks: list[asyncio.Task[None]] = []

    def start(number: int, coroutine: Callable[[Pool], object], pool: Pool) -> None:
        tasks.extend(asyncio.create_task(coroutine(pool), name="ours") for _ in range(number))

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_lock_its_waiters_and_its_holder(spawn, call) -> None:
    pool = Pool()
    spawn(6, work, pool)
    spawn(3, get_ready, pool)
    await asyncio.sleep(0)
    left = await call("--name", "ours")
    assert left.out.split()[:8] == [
        "TASKS",
        "OBJECT",
        "STATE",
        "WAITS",
        "AT",
        "HOLDER",
        "5",
        "Lock",
    ]
    (row,) = (line for line in left.out.splitlines() if "Pool.lock" in line)
    assert "locked, 5 waiting" in row
    assert f"{HERE}:" in row
    assert "held by task " in row
    assert f"(ours) created at {HERE}:" in row
    assert ": sleeping " in row
    answer = json.loads((await call("--name", "ours", "-o", "json")).out)
    assert answer["schema"] == "qcfeed.tasks.by_object/1"
    assert (answer["live"], answer["sampled"], answer["total"]) == (9, 9, 3)
    lock, event, timer = answer["objects"]
    assert (lock["task_count"], lock["kind"], lock["name"]) == (5, "Lock", "Pool.lock")
    assert lock["label"] == f"Lock {lock['object_number']}"
    assert (event["task_count"], event["kind"], event["waiters"]) == (3, "Event", 3)
    (holder,) = lock["holders"]
    assert (holder["how"], holder["label"]) == ("holds", f"task {holder['serial']} (ours)")
    assert holder["location"].startswith(f"{HERE}:")
    assert (timer["task_count"], timer["object_count"], lock["deadlock"]) == (1, 1, False)


async def test_csv_names_and_a_limit(spawn, call) -> None:
    spawn(4, get_ready, pool := Pool())
    await asyncio.sleep(0)
    rows = list(csv.DictReader(io.StringIO((await call("-o", "csv", "--name", "ours")).out)))
    assert [(row["task_count"], row["object_count"], row["waiters"]) for row in rows] == [
        ("4", "1", "4")
    ]
    assert rows[0]["object"].endswith("(Pool.ready)")
    spawn(1, work, pool)
    await asyncio.sleep(0)
    left = await call("-o", "name", "--name", "ours", "--limit", "1")
    assert left.out == f"{rows[0]['object']}\n"
    assert left.err == "the 1 largest of 2 rows; --limit N shows more\n"


async def test_a_sample_says_so(spawn, call, monkeypatch: pytest.MonkeyPatch) -> None:
    spawn(50, get_ready, Pool())
    await asyncio.sleep(0)
    monkeypatch.setattr(diagnostics, "SAMPLE", 20)
    left = await call()
    assert "estimated from a sample of " in left.err
    assert "--exact counts all" in left.err
    assert "sample" not in (await call("--exact")).err


async def test_a_deadlock_is_named(spawn, call) -> None:
    async def enter_twice(pool: Pool) -> None:
        async with pool.lock, pool.lock:
            pass

    spawn(1, enter_twice, Pool())
    await asyncio.sleep(0)
    left = await call("--name", "ours")
    assert "; deadlock with itself" in left.out


async def test_a_window_shows_which_object_gets_more_waiters(spawn, call) -> None:
    pool, other = Pool(), Pool()
    spawn(30, get_ready, other)
    spawn(5, get_ready, pool)
    await asyncio.sleep(0)

    async def grow() -> None:
        while True:
            spawn(1, get_ready, pool)
            await asyncio.sleep(0.001)

    growing = asyncio.create_task(grow())
    left = await call("--window", "200ms", "--name", "ours", "-o", "json")
    growing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await growing
    answer = json.loads(left.out)
    first, second = answer["objects"]
    assert first["per_minute"] > 0
    assert (second["per_minute"], second["task_count"]) == (0, 30)
    assert answer["window_s"] > 0
    left = await call("--window", "10ms", "--name", "ours")
    assert left.out.split()[:3] == ["TASKS", "NET/MIN", "OBJECT"]
    assert left.err.startswith("over ")


async def test_nothing_matches(spawn, call) -> None:
    left = await call("--name", "nobody")
    assert (left.out, left.err) == ("", "no live task matches\n")


async def test_a_saved_file_has_the_objects(spawn, call, qcfeed_, tmp_path: Path) -> None:
    spawn(4, get_ready, Pool())
    await asyncio.sleep(0)
    file = tmp_path / "tasks.json"
    await call("--save", str(file), "-o", "csv")
    again = await call("--from", str(file), "-o", "csv", "--limit", "1")
    assert again.out.splitlines()[1].startswith("4,Event ")
    for wrong in (["--name", "ours"], ["--site", HERE]):
        left = await asyncio.to_thread(
            qcfeed_, "tasks", "--by", "object", "--from", str(file), *wrong
        )
        assert left.status == ExitStatus.USAGE
        assert "no filter or --exact can be applied" in left.err


@pytest.mark.parametrize(
    "args",
    [
        ["--by", "object", "--watch"],
        ["--by", "object", "--waits"],
        ["--by", "object", "-o", "speedscope"],
        ["--by", "object", "--window", "1s", "--from", "x.json"],
        ["--by", "objects"],
    ],
)
def test_what_cannot_be_combined(qcfeed_, args: list[str]) -> None:
    assert qcfeed_("tasks", *args).status == ExitStatus.USAGE


# ---------------------------------------------------------------- growth


def row(number: int | None, tasks: int, *, waiters: int | None = None) -> WaitedObject:
    return WaitedObject(
        kind="Event",
        label="Event",
        object_number=number,
        name="",
        state="",
        task_count=tasks,
        object_count=1,
        waiters=waiters,
        at="x.py:1 f",
        spawn_locations=[],
        holder="",
        holders=[],
        holder_count=0,
        path=[],
        deadlock=False,
    )


def look(second: int, *rows: WaitedObject, pid: int = 1, total: int | None = None) -> TasksByObject:
    return TasksByObject(
        pid=pid,
        taken_at=f"2024-03-20T02:{second // 60:02}:{second % 60:02}Z",
        total=len(rows) if total is None else total,
        live=0,
        sampled=0,
        searched=0,
        searchable=0,
        untracked=0,
        objects=list(rows),
    )


def rates(found: TasksByObject) -> list[tuple[int | None, object]]:
    return [(row.object_number, row.per_minute) for row in found.objects]


def test_growth_is_by_object_and_the_strongest_comes_first() -> None:
    before = look(0, row(1, 10), row(2, 50))
    after = look(30, row(2, 50), row(1, 30), row(3, 5))
    assert rates(with_growth(before, after)) == [(1, 40.0), (3, 10.0), (2, 0.0)]
    assert after.window_s == 30


def test_the_objects_own_count_is_taken_before_an_estimate() -> None:
    before, after = look(0, row(1, 90, waiters=100)), look(60, row(1, 140, waiters=101))
    assert rates(with_growth(before, after)) == [(1, 1.0)]


def test_growth_that_cannot_be_known_is_null() -> None:
    assert rates(with_growth(look(0, row(1, 9), total=2), look(60, row(2, 9)))) == [(2, None)]
    assert rates(with_growth(look(0, row(1, 9)), look(60, row(1, 9), pid=2))) == [(1, None)]
    assert rates(with_growth(look(0, row(1, 9)), look(0, row(1, 9)))) == [(1, None)]


def test_tasks_with_objects_of_their_own_are_compared_by_where_they_wait() -> None:
    assert rates(with_growth(look(0, row(None, 5)), look(60, row(None, 9)))) == [(None, 4.0)]
