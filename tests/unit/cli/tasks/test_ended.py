from __future__ import annotations

import asyncio
import json

from qcfeed.errors import ExitStatus

HERE = "tests/unit/cli/tasks/test_ended.py"


async def failing() -> None:
    try:
        int("x")
    except ValueError as error:
        raise RuntimeError("refused\x1b[2J") from error


async def over(*tasks: asyncio.Task[None]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_ended_tasks_are_listed_with_their_total(watched, qcfeed_) -> None:
    watched.serve()
    left = await asyncio.to_thread(qcfeed_, "tasks", "ended", "--site", "none.py:1")
    assert left.out == ""
    assert left.err in ("no task has ended\n", "no remembered task ended like that\n")
    for _ in range(3):
        await over(asyncio.create_task(failing(), name="bad\x1b[2J"))
    left = await asyncio.to_thread(
        qcfeed_, "tasks", "ended", "--outcome", "failed", "--limit", "2", "--site", HERE
    )
    assert left.status == ExitStatus.OK
    assert left.out.count(f"{HERE}:") == 2
    assert "\x1b" not in left.out
    assert "the 2 latest of 3 remembered; 3 have ended" in left.err
    left = await asyncio.to_thread(qcfeed_, "tasks", "ended", "--outcome", "failed", "-o", "name")
    assert all(line.isdigit() for line in left.out.split())


async def test_failures_are_paragraphs_with_causes(watched, qcfeed_) -> None:
    watched.serve()
    left = await asyncio.to_thread(qcfeed_, "tasks", "failures")
    assert (left.out, left.err) == ("", "no task has failed\n")
    for _ in range(2):
        await over(asyncio.create_task(failing()))
    left = await asyncio.to_thread(qcfeed_, "tasks", "failures")
    assert left.out.startswith("RuntimeError: refused")
    assert "\x1b" not in left.out
    assert f"2 times in tasks from {HERE}:" in left.out
    assert 'raise RuntimeError("refused' in left.out
    assert "caused by ValueError: invalid literal" in left.out
    left = await asyncio.to_thread(qcfeed_, "tasks", "failures", "-o", "json")
    assert json.loads(left.out)["schema"] == "qcfeed.tasks.failures/2"
    left = await asyncio.to_thread(qcfeed_, "tasks", "failures", "-o", "csv")
    assert "RuntimeError" in left.out.splitlines()[1]


async def test_ended_tasks_of_a_file_are_read_without_a_service(watched, qcfeed_, tmp_path) -> None:
    server = watched.serve()
    await over(asyncio.create_task(failing()))
    for command in ("ended", "failures"):
        file = str(tmp_path / f"{command}.json")
        await asyncio.to_thread(qcfeed_, "tasks", command, "--save", file)
    await asyncio.to_thread(server.stop)
    for command in ("ended", "failures"):
        file = str(tmp_path / f"{command}.json")
        left = await asyncio.to_thread(qcfeed_, "tasks", command, "--from", file)
        assert left.status == ExitStatus.OK
        assert HERE in left.out
