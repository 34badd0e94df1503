from __future__ import annotations

import asyncio
import json
import re

from qcfeed.diagnostics.ledger import owned_by
from qcfeed.errors import ExitStatus


async def test_orphans_are_findings_and_reaping_ends_exactly_those(
    watched, qcfeed_, sleepers
) -> None:
    watched.serve()
    sleepers(2)
    sleepers(3, orphaned=True)
    found = await asyncio.to_thread(qcfeed_, "orphans")
    assert found.status == ExitStatus.FINDINGS
    assert found.out.count("is gone") == 3
    assert "3 orphans: `qcfeed orphans --reap` cancels exactly these" in found.err
    listed = await asyncio.to_thread(qcfeed_, "orphans", "--limit", "1", "-o", "name")
    assert listed.out.strip().isdigit()
    assert "the 1 oldest of 3 orphans" in listed.err

    reaped = await asyncio.to_thread(qcfeed_, "orphans", "--reap")
    assert reaped.status == ExitStatus.OK, reaped.err
    assert "cancelled          3 tasks\n" in reaped.out
    assert "survived           0\n" in reaped.out
    assert re.search(r"^took +[\d.]+ m?s; the loop stalled [\d.]+ m?s at most$", reaped.out, re.M)
    none = await asyncio.to_thread(qcfeed_, "orphans")
    assert (none.status, none.out) == (ExitStatus.OK, "")
    assert "no orphans" in none.err
    assert sum(1 for task in asyncio.all_tasks() if task.get_name() == "sleeper") == 2


async def test_nothing_is_claimed_about_untracked_tasks(watched, qcfeed_) -> None:
    loop = asyncio.get_running_loop()
    untracked = [asyncio.Task(asyncio.sleep(3600), loop=loop) for _ in range(7)]
    watched.serve()
    found = await asyncio.to_thread(qcfeed_, "orphans")
    assert found.status == ExitStatus.OK
    assert "the owner of 7 untracked tasks is not known" in found.err
    told = await asyncio.to_thread(qcfeed_, "orphans", "-o", "json")
    assert json.loads(told.out)["untracked"] == 7
    for task in untracked:
        task.cancel()
    await asyncio.wait(untracked)


async def test_no_orphans_as_json_is_still_a_document(watched, qcfeed_) -> None:
    watched.serve()
    left = await asyncio.to_thread(qcfeed_, "orphans", "-o", "json")
    assert left.status == ExitStatus.OK
    assert json.loads(left.out)["total"] == 0


async def test_a_surviving_orphan_is_exit_1_and_listed(watched, qcfeed_) -> None:
    watched.serve()
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    with owned_by(lambda: True):
        task = asyncio.create_task(stubborn())
    reap = ("--timeout", "1", "orphans", "--reap")
    try:
        left = await asyncio.to_thread(qcfeed_, *reap)
        document = await asyncio.to_thread(qcfeed_, *reap, "-o", "json")
    finally:  # or the end of the loop would wait for it for ever
        release.set()
        await task
    assert left.status == ExitStatus.FINDINGS, left.err
    assert "survived           1\n" in left.out
    assert "LOCATION" in left.out
    assert "1 task did not end" in left.err
    assert json.loads(document.out)["schema"] == "qcfeed.reap/3"
    assert len(json.loads(document.out)["survivors"]) == 1
