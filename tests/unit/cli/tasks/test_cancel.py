from __future__ import annotations

import asyncio
import csv
import io
import json

from qcfeed.errors import ExitStatus


async def serials(qcfeed_, *args: str) -> list[str]:
    left = await asyncio.to_thread(qcfeed_, "tasks", "--name", "sleeper", "-o", "name", *args)
    return left.out.split()


async def test_show_prints_all_facts_and_the_stack(watched, qcfeed_, sleepers) -> None:
    watched.serve()
    sleepers(1, orphaned=True)
    await asyncio.sleep(0)
    (serial,) = await serials(qcfeed_)
    left = await asyncio.to_thread(qcfeed_, "tasks", "show", serial)
    assert left.status == ExitStatus.OK, left.err
    said = dict(line.split(maxsplit=1) for line in left.out.partition("\n\n")[0].splitlines())
    assert said["task"] == f"{serial} sleeper: forever"
    assert said["spawned"].endswith(" in sleepers.<locals>.spawn")
    assert "this task is an orphan" in said["owner"]
    assert "await asyncio.get_running_loop().create_future()" in left.out
    answer = json.loads(
        (await asyncio.to_thread(qcfeed_, "tasks", "show", serial, "-o", "json")).out
    )
    assert answer["schema"] == "qcfeed.tasks.show/2"
    assert answer["owner_gone"] is True


async def test_a_serial_without_a_live_task_is_reported(watched, qcfeed_) -> None:
    watched.serve()
    left = await asyncio.to_thread(qcfeed_, "tasks", "show", "999999999")
    assert left.status == ExitStatus.USAGE
    assert "there is no live task 999999999" in left.err


async def test_by_label_and_filters(watched, qcfeed_, sleepers) -> None:
    watched.serve()
    sleepers(2, orphaned=True)
    sleepers(1)
    await asyncio.sleep(0)
    left = await asyncio.to_thread(
        qcfeed_, "tasks", "--by", "label:symbol", "--name", "sleeper", "-o", "csv"
    )
    assert [
        (r["value"], r["live"], r["orphaned"]) for r in csv.DictReader(io.StringIO(left.out))
    ] == [("", "3", "2")]
    assert len(await serials(qcfeed_, "--waiting-on", "future")) == 3
    left = await asyncio.to_thread(qcfeed_, "tasks", "--by-location", "--name", "sleeper")
    assert left.out.split()[:2] == ["LOCATION", "MATCHING"]
    left = await asyncio.to_thread(qcfeed_, "tasks", "--older-than", "5m")
    assert (left.status, left.out, left.err) == (ExitStatus.OK, "", "no live task matches\n")
    left = await asyncio.to_thread(qcfeed_, "orphans", "--name", "sleeper", "-o", "name")
    assert len(left.out.split()) == 2
    for wrong in (
        ("tasks", "--by", "age"),
        ("tasks", "--by", "label:"),
        ("tasks", "--older-than", "soon"),
        ("tasks", "--label", "=x"),
        ("tasks", "--window", "1s", "--tree"),
        ("orphans", "--reap", "--name", "sleeper"),
    ):
        left = await asyncio.to_thread(qcfeed_, *wrong)
        assert left.status == ExitStatus.USAGE, wrong


async def test_a_dry_run_and_a_refusal_cancel_nothing(watched, qcfeed_, sleepers) -> None:
    watched.serve()
    sleepers(3)
    await asyncio.sleep(0)
    left = await asyncio.to_thread(qcfeed_, "tasks", "cancel", "--name", "sleeper", "--dry-run")
    assert left.status == ExitStatus.OK, left.err
    assert len(left.out.splitlines()) == 1 + 3
    assert left.err == "3 tasks would be cancelled\n"
    left = await asyncio.to_thread(qcfeed_, "tasks", "cancel", "--name", "sleeper")
    assert left.status == ExitStatus.REFUSED
    assert "this would cancel 3 tasks" in left.err
    assert len(await serials(qcfeed_)) == 3


async def test_exactly_these_are_cancelled_and_audited(
    watched, qcfeed_, sleepers, tmp_path
) -> None:
    watched.serve()
    sleepers(3)
    await asyncio.sleep(0)
    first, second, third = await serials(qcfeed_)
    left = await asyncio.to_thread(qcfeed_, "tasks", "cancel", first, third, "--yes", "-o", "json")
    assert left.status == ExitStatus.OK, left.err
    assert json.loads(left.out)["cancelled"] == 2
    assert await serials(qcfeed_) == [second]
    left = await asyncio.to_thread(qcfeed_, "tasks", "cancel", first, third)
    assert left.status == ExitStatus.USAGE
    assert left.err.startswith(f"qcfeed: error: there is no live task {first}, {third}\n")
    lines = [json.loads(line) for line in (tmp_path / "8006.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["intent", "outcome"]
    assert lines[0]["request"]["serials"] == [int(first), int(third)]
    assert lines[1]["after"]["cancelled"] == 2


async def test_a_survivor_is_shown_with_what_it_waits_on(watched, qcfeed_) -> None:
    watched.serve()
    end = asyncio.Event()

    async def stubborn() -> None:
        while not end.is_set():
            try:
                await end.wait()
            except asyncio.CancelledError:
                continue

    task = asyncio.create_task(stubborn(), name="sleeper")
    await asyncio.sleep(0)
    try:
        left = await asyncio.to_thread(
            qcfeed_, "--timeout", "1", "tasks", "cancel", "--name", "sleeper", "--yes"
        )
    finally:  # or the end of the loop would wait for it for ever
        end.set()
        await task
    assert left.status == ExitStatus.FINDINGS, left.err
    assert "still alive: Event.wait" in left.out
    assert "    await end.wait()" in left.out
    assert "1 task did not end in time" in left.err


async def test_cancel_needs_serials_or_a_filter_but_not_both(watched, qcfeed_) -> None:
    watched.serve()
    for args in ((), ("12", "--name", "x")):
        left = await asyncio.to_thread(qcfeed_, "tasks", "cancel", *args, "--yes")
        assert left.status == ExitStatus.USAGE
        assert "name the tasks to cancel" in left.err
