from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import time

import pytest

from qcfeed.cli import stacks
from qcfeed.diagnostics import waits
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.errors import ExitStatus
from qcfeed.model.stacks import RunningTask, ThreadStack
from qcfeed.model.task_details import CallFrame


async def test_the_watched_loop_comes_first_with_the_task_that_blocks_it(watched, qcfeed_) -> None:
    watched.serve()

    async def blocker() -> str:
        left = qcfeed_("stacks")  # in the loop, which does not turn until it has its answer
        assert left.status == ExitStatus.OK, left.err
        return left.out

    task = asyncio.create_task(blocker(), name="blocker\x1b[2J")
    record = watched.ledger.record_of(task)
    out = await task
    head, *rest = out.splitlines()
    assert head == (
        f"thread MainThread, the event loop, running task {record.serial} (blocker\\x1b[2J)"
    )
    lines = "\n".join(rest).split("\n\n")[0].splitlines()
    place = next(i for i, line in enumerate(lines) if line.endswith(".blocker"))
    assert lines[place].startswith("  tests/unit/cli/test_stacks.py:")
    assert lines[place + 1].strip().startswith('left = qcfeed_("stacks")')
    assert "\nthread qcfeed-control" in out


def test_missing_source_and_left_out_calls_are_noted() -> None:
    thread = ThreadStack(
        name="deep",
        ident=1,
        daemon=True,
        watched=False,
        running_task=RunningTask(serial=None, name="pump"),
        stack=[CallFrame(location="<string>:3", function="wait")],
        dropped_frames=7,
    )
    assert list(stacks.rendered(thread)) == [
        "thread deep, running task untracked (pump)",
        "  ... 7 outer calls left out",
        "  <string>:3 wait",
        "    source not available",
        "",
    ]


async def test_a_stuck_loop_is_reported_on_stderr(watched, qcfeed_) -> None:
    watched.serve()
    await asyncio.sleep(0.1)
    time.sleep(1.3)  # noqa: ASYNC251
    left = qcfeed_("stacks", "-o", "name")
    said = re.match(r"the loop has been stuck for ([\d.]+) s", left.err)
    assert said, left.err
    assert float(said[1]) >= 1.2
    assert "MainThread" in left.out.splitlines()


async def test_an_idle_loop_runs_no_task(watched, qcfeed_) -> None:
    watched.serve()
    left = await asyncio.to_thread(qcfeed_, "stacks", "-o", "json")
    answer = json.loads(left.out)
    assert answer["schema"] == "qcfeed.stacks/2"
    first = answer["threads"][0]
    assert (first["watched"], first["name"], first["running_task"]) == (True, "MainThread", None)
    assert not any(thread["watched"] for thread in answer["threads"][1:])
    assert {"location", "function", "source"} == set(first["stack"][-1])
    assert left.err == ""


async def test_csv_has_a_row_a_call(watched, qcfeed_) -> None:
    watched.serve()
    left = await asyncio.to_thread(qcfeed_, "stacks", "-o", "csv")
    rows = list(csv.DictReader(io.StringIO(left.out)))
    assert rows[0].keys() == {"thread", "depth", "location", "function", "source"}
    main = [row for row in rows if row["thread"] == "MainThread"]
    assert [int(row["depth"]) for row in main] == list(range(len(main)))


# ---------------------------------------------------------------- tasks --waits


async def test_waits_by_location(watched, qcfeed_, sleepers) -> None:
    watched.serve()
    sleepers(3)
    await asyncio.sleep(0)
    plain = await asyncio.to_thread(qcfeed_, "tasks", "--by-location", "-o", "json")
    assert all("waits" not in row and "sampled" not in row
               for row in json.loads(plain.out)["locations"])  # fmt: skip
    assert "WAITS" not in (await asyncio.to_thread(qcfeed_, "tasks", "--by-location")).out
    told = await asyncio.to_thread(qcfeed_, "tasks", "--waits")
    assert told.status == ExitStatus.OK, told.err
    assert told.out.splitlines()[0].split()[-2:] == ["WAITS", "NOTE"]
    assert "3 future in forever" in told.out
    assert "sampled" not in told.out
    raw = await asyncio.to_thread(qcfeed_, "tasks", "--exact", "-o", "json")
    rows = json.loads(raw.out)["locations"]
    (row,) = [row for row in rows if row["function"].endswith("spawn")]
    assert (row["waits"], row["sampled"]) == ([{"state": "future in forever", "count": 3}], 3)


async def test_waits_from_a_sample_say_so(watched, qcfeed_) -> None:
    watched.serve()
    tasks = [asyncio.create_task(asyncio.sleep(3600)) for _ in range(1_200)]
    await asyncio.sleep(0)
    told = await asyncio.to_thread(qcfeed_, "tasks", "--waits", "--by-location", "-o", "csv")
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    (row,) = [row for row in csv.DictReader(io.StringIO(told.out)) if row["live"] == "1200"]
    sampled = int(row["waits"].partition(" sleeping")[0])
    assert 400 <= sampled <= 500
    assert row["waits"] == f"{sampled} sleeping (sampled: {sampled} of 1,200)"


@pytest.mark.parametrize("other", [["--tree"], ["--window", "1s"], ["--by", "label:symbol"]])
def test_waits_are_about_locations(qcfeed_, other: list[str]) -> None:
    left = qcfeed_("tasks", "--waits", *other)
    assert left.status == ExitStatus.USAGE
    assert "apply only to the view by location" in left.err


def test_a_ledger_without_tasks_has_no_waits() -> None:
    assert waits.by_location(Ledger()) == {}
