"""`qcfeed memory` in this process, over a real control plane and ledger."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from typing import Any

import pytest

from qcfeed.cli.memory.compare import compared
from qcfeed.control.handlers import memory
from qcfeed.diagnostics.memory_report import Store
from qcfeed.errors import ExitStatus, UsageError
from qcfeed.model.memory import LargeObject, MemoryKind, MemoryPart, MemoryUse
from qcfeed.model.status import Memory

KB = 1_000
MB = 1 << 20


def use(*parts: MemoryPart, resident: int = 100 * MB, **more: Any) -> MemoryUse:
    return MemoryUse(
        pid=1,
        instance="8006",
        taken_at=more.pop("taken_at", "2024-03-20T02:15:00Z"),
        memory=Memory(resident_bytes=resident, limit_bytes=1 << 30, limit_source="cgroup v2"),
        explained_bytes=sum(part.bytes for part in parts),
        live_tasks=0,
        parts=list(parts),
        largest=more.pop("largest", []),
        unseen=["what a thread has"],
        **more,
    )


def part(name: str, size: int, kind: MemoryKind = MemoryKind.TYPE, **more: Any) -> MemoryPart:
    return MemoryPart(kind=kind, name=name, bytes=size, **more)


def test_two_looks_tell_what_grew_most_first() -> None:
    objects = [
        [LargeObject(reached_by="app.seen", type="list", items=9, bytes=size)] for size in (4, 9)
    ]
    before = use(part("dict", 20 * MB), part("list", 5 * MB), largest=objects[0])
    after = use(
        part("dict", 21 * MB), part("list", 15 * MB), part("set", 2 * MB),
        resident=113 * MB, largest=objects[1], taken_at="2024-03-20T02:16:00Z",
    )  # fmt: skip
    found = compared(before, after)
    assert [(each.name, each.grown_bytes) for each in found.parts] == [
        ("list", 10 * MB), ("set", 2 * MB), ("dict", MB),
    ]  # fmt: skip
    assert (found.grown_bytes, found.window_s) == (13 * MB, 60)
    assert found.largest[0].grown_bytes == 5


def test_types_are_not_compared_if_a_look_ended_early() -> None:
    lists = [[LargeObject(reached_by="app.seen", type="list", items=9, bytes=n)] for n in (4, 9)]
    tasks = [part("app.py:7", size, MemoryKind.TASKS) for size in (MB, 3 * MB)]
    before = use(part("dict", 10 * MB), tasks[0], complete=False, largest=lists[0])
    after = use(part("dict", 20 * MB), tasks[1], largest=lists[1])
    found = compared(before, after)
    assert [(each.name, each.grown_bytes) for each in found.parts] == [
        ("app.py:7", 2 * MB), ("dict", None),
    ]  # fmt: skip
    assert found.largest[0].grown_bytes == 5
    assert not found.complete


def test_looks_at_two_processes_are_not_compared() -> None:
    other = use()
    other.pid = 2
    with pytest.raises(UsageError, match="restarted"):
        compared(use(), other)


def test_no_more_than_everything_is_explained() -> None:
    assert use(part("dict", 61 * MB)).explained_share == 0.61
    assert use(part("dict", 161 * MB)).explained_share == 1


async def test_each_plant_is_named(watched: Any, qcfeed_: Any) -> None:
    """Tasks that hold data, and a list that a handler makes grow."""
    seen: list[bytes] = []

    async def hold() -> None:
        data = bytes(100 * KB)
        await asyncio.sleep(3_600)
        seen.append(data)

    seen += [bytes(10 * KB) for _ in range(1_500)]
    routes = memory.routes(watched.ledger, lambda _: [Store("backlogs", items=2, bytes=7 * MB)])
    watched.serve(routes=routes)
    tasks = []
    for _ in range(200):
        tasks.append(asyncio.create_task(hold()))  # noqa: PERF401 - of this function
    await asyncio.sleep(0)
    left = await asyncio.to_thread(qcfeed_, "memory", "-o", "wide")
    assert left.status == ExitStatus.OK, left.err
    rows = left.out.splitlines()
    assert any(line.startswith("tasks  tests/unit/cli/test_memory.py:") for line in rows)
    assert any(line.startswith("store  backlogs") and "7.0 MiB" in line for line in rows)
    assert any("1,500  list" in line and "  seen (a variable of " in line for line in rows), (
        left.out
    )
    assert "explains " in left.err
    assert " resident; the limit is " in left.err
    assert "next: `qcfeed " in left.err
    found = json.loads((await asyncio.to_thread(qcfeed_, "memory", "-o", "json")).out)
    (row,) = (each for each in found["parts"] if each["function"].endswith("plant_is_named"))
    assert 200 * 100 * KB < row["bytes"] < 200 * 110 * KB
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_growth_between_two_looks_is_shown(watched: Any, qcfeed_: Any) -> None:
    sizes = iter((MB, 9 * MB))
    watched.serve(
        routes=memory.routes(watched.ledger, lambda _: [Store("backlogs", bytes=next(sizes))])
    )
    left = await asyncio.to_thread(qcfeed_, "memory", "--window", "10ms")
    (row,) = (line for line in left.out.splitlines() if line.startswith("store  backlogs"))
    assert "+8.0 MiB" in row
    assert "memory grew by" in left.err or "memory shrank by" in left.err


async def test_a_process_that_has_qcfeed_already_is_asked_as_it_is(
    watched: Any, qcfeed_: Any
) -> None:
    watched.serve(routes=memory.routes(watched.ledger))
    left = await asyncio.to_thread(qcfeed_, "memory", "--pid", str(os.getpid()), "-o", "json")
    assert json.loads(left.out)["pid"] == os.getpid()
    assert "import" not in left.err


@pytest.mark.parametrize("more", [["--trace", "1s"], ["--from", "night.tar.gz"]])
def test_a_process_is_neither_traced_nor_read_from_a_file(qcfeed_: Any, more: list[str]) -> None:
    left = qcfeed_("memory", "--pid", "5", *more)
    assert left.status == ExitStatus.USAGE
    assert "--pid" in left.err


def test_a_process_that_cannot_be_attached_is_left_alone(qcfeed_: Any) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        left = qcfeed_("memory", "--pid", str(other.pid))
        other.kill()
    assert left.status == ExitStatus.USAGE
    assert "is no Python program" in left.err


async def test_a_trace_tells_its_cost_and_needs_a_yes(watched: Any, qcfeed_: Any) -> None:
    watched.serve(routes=memory.routes(watched.ledger))
    left = await asyncio.to_thread(qcfeed_, "memory", "--trace", "100ms")
    assert left.status == ExitStatus.REFUSED
    assert "slows the whole program" in left.err
    assert "--yes" in left.err


async def test_a_confirmed_trace_names_lines(watched: Any, qcfeed_: Any) -> None:
    watched.serve(routes=memory.routes(watched.ledger))
    kept: list[bytes] = []

    async def allocate() -> None:
        while True:
            kept.append(bytes(KB))
            await asyncio.sleep(0.001)

    task = asyncio.create_task(allocate())
    left = await asyncio.to_thread(qcfeed_, "memory", "--trace", "300ms", "--yes")
    task.cancel()
    assert left.status == ExitStatus.OK, left.err
    assert "tests/unit/cli/test_memory.py:" in left.out
    assert "kept.append(bytes(KB))" in left.out
    assert "still in use" in left.err


@pytest.mark.parametrize(
    "more", [("--window", "1s"), ("--trace", "1s", "--yes")], ids=lambda more: more[0]
)
def test_a_file_cannot_be_measured(qcfeed_: Any, more: tuple[str, ...]) -> None:
    left = qcfeed_("memory", "--from", "night.tar.gz", *more)
    assert left.status == ExitStatus.USAGE
    assert "live service" in left.err


@pytest.mark.parametrize("text", ["0.01", "10m"])
async def test_a_trace_has_bounds(watched: Any, qcfeed_: Any, text: str) -> None:
    watched.serve(routes=memory.routes(watched.ledger))
    left = await asyncio.to_thread(qcfeed_, "memory", "--trace", text, "--yes")
    assert left.status == ExitStatus.USAGE
    assert "0.1 to 120 s" in left.err
