"""`tasks --by object` of an attached program: a deadlock, a full thread pool, and growing waiters."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import Program, program
from tests.support.shell import qcfeed

SOURCE = """
import asyncio
import threading

from qcfeed import attach


class Exchange:
    def __init__(self):
        self.book, self.account = asyncio.Lock(), asyncio.Lock()
        self.connected = asyncio.Event()


async def trade(exchange):
    async with exchange.book:
        async with exchange.account:
            pass


async def refresh(exchange, go):
    async with exchange.account:
        await go.wait()
        async with exchange.book:
            pass


async def report():
    await asyncio.get_running_loop().run_in_executor(None, threading.Event().wait)


async def connect(exchange):
    await exchange.connected.wait()


async def main():
    attach("bot")
    exchange, go = Exchange(), asyncio.Event()
    tasks = [asyncio.create_task(refresh(exchange, go), name="refresh")]
    await asyncio.sleep(0)
    tasks += [asyncio.create_task(trade(exchange), name="trade") for _ in range(200)]
    tasks += [asyncio.create_task(report()) for _ in range(100)]
    await asyncio.sleep(0)
    go.set()
    await asyncio.sleep(0.1)
    print("stuck", flush=True)
    while True:
        tasks.append(asyncio.create_task(connect(exchange)))
        await asyncio.sleep(0.01)


asyncio.run(main())
"""

REFRESH = 1 + next(n for n, line in enumerate(SOURCE.splitlines()) if "(refresh(" in line)
"""The line that creates the task."""


@pytest.fixture
def bot(tmp_path: Path) -> Iterator[Program]:
    file = tmp_path / "bot.py"
    file.write_text(SOURCE)
    with program(tmp_path, str(file)) as running:
        running.hear("stuck")
        yield running
        running.process.kill()  # its threads never end
        running.process.wait()


def objects(home: Path, *args: str) -> dict[str, Any]:
    """The objects by their name, or by their kind if they have none."""
    left = qcfeed(home, "--instance", "bot", "tasks", "--by", "object", *args, "-o", "json")
    assert left.returncode == 0, left.stderr
    return {row["name"] or row["kind"]: row for row in json.loads(left.stdout)["objects"]}


def test_a_deadlock_and_a_full_pool_are_told_with_their_holders(
    bot: Program, tmp_path: Path
) -> None:
    found = objects(tmp_path)
    book, account = found["Exchange.book"], found["Exchange.account"]
    assert (book["task_count"], account["task_count"]) == (200, 1)
    assert book["deadlock"]
    assert account["deadlock"]
    (trader,), (refresher,) = book["holders"], account["holders"]
    assert (trader["name"], refresher["name"]) == ("trade", "refresh")
    assert trader["state"].startswith("Lock.acquire (1 waiting) at ")
    assert trader["waits_for"] == account["label"]
    assert refresher["location"].endswith(f"bot.py:{REFRESH}")
    pool = found["thread pool"]
    assert pool["task_count"] == 100
    assert "threads busy, " in pool["state"]
    event = found["Exchange.connected"]
    assert event["holders"][0]["coroutine"] == "main"

    table = qcfeed(tmp_path, "--instance", "bot", "tasks", "--by", "object").stdout
    (line,) = (line for line in table.splitlines() if "Exchange.book" in line)
    assert line.split()[:2] == ["200", "Lock"]
    assert "; deadlock with task " in line


def test_the_object_whose_waiters_grow_comes_first(bot: Program, tmp_path: Path) -> None:
    found = objects(tmp_path, "--window", "1s")
    first = next(iter(found.values()))
    assert first["name"] == "Exchange.connected"
    assert first["per_minute"] > 0
    assert found["Exchange.book"]["per_minute"] == 0
