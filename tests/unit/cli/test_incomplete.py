"""A ledger that does not see all tasks, as each command tells it: with the reason, and exit status 1."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qcfeed.cli.status import findings
from qcfeed.control import routes
from qcfeed.control.handlers import findings as findings_route
from qcfeed.control.handlers import tasks
from qcfeed.diagnostics.ledger import owned_by
from qcfeed.diagnostics.sampler import DiagnosticsSampler
from qcfeed.errors import ExitStatus
from qcfeed.model.status import Memory, ProgramStatus
from qcfeed.model.tasks import TasksByLocation, TaskTotals
from qcfeed.observe import comparison
from tests.support.patience import PATIENCE

from .test_status import status

HIDDEN = 40
REASON = "cannot see 40 of 45 tasks: a reason"
PAGE = "`qcfeed runbook QcfeedLedgerIncomplete`"


def plain(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
    return asyncio.Task(coro, loop=loop, **options)


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


@pytest.fixture
async def blinded(watched, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """A program whose task factory was replaced a moment ago: some tasks, orphans all of them, cannot
    be seen. ``blinded.mend()`` puts the ledger's factory back and ends them."""
    loop = asyncio.get_running_loop()
    check = watched.ledger.check
    monkeypatch.setattr(check, "refresh", partial(check.refresh, PATIENCE))  # on a busy machine too
    sampler = DiagnosticsSampler(watched.ledger, watched.watch, every=3600)
    sampler.start(loop)
    ledger_routes = tasks.routes(watched.ledger, watched.watch)
    watched.serve(routes=[*ledger_routes, *findings_route.routes(sampler)])
    ours = loop.get_task_factory()
    loop.set_task_factory(plain)
    with owned_by(lambda: True):
        hidden = [asyncio.create_task(forever()) for _ in range(HIDDEN)]

    async def mend() -> None:
        loop.set_task_factory(ours)
        for task in hidden:
            task.cancel()
        await asyncio.gather(*hidden, return_exceptions=True)

    watched.mend, watched.factory = mend, ours
    yield watched
    await mend()
    sampler.stop()


def says_so(text: str) -> bool:
    return "cannot see 4" in text and "task factory is " in text and PAGE.strip("`") in text


@pytest.mark.parametrize(
    "command",
    [["orphans"], ["orphans", "--reap"], ["orphans", "--label", "symbol=AAPL"], ["tasks", "findings"]],
    ids=" ".join,
)  # fmt: skip
async def test_an_incomplete_ledger_is_reported_at_once_with_exit_1(
    blinded, qcfeed_, command: list[str]
) -> None:
    left = await asyncio.to_thread(qcfeed_, *command)
    assert left.status == ExitStatus.FINDINGS
    assert says_so(left.out + left.err), left
    assert "no orphans: every" not in left.err
    await blinded.mend()
    left = await asyncio.to_thread(qcfeed_, *command)
    assert left.status == ExitStatus.OK
    assert "cannot see" not in left.out + left.err


@pytest.mark.parametrize(
    "command", [["tasks"], ["tasks", "--by-location"], ["tasks", "--window", "0.1s"]], ids=" ".join
)
async def test_lists_of_tasks_warn(blinded, qcfeed_, command: list[str]) -> None:
    left = await asyncio.to_thread(qcfeed_, *command)
    assert says_so(left.err)
    assert left.err.startswith("INCOMPLETE: ")
    await blinded.mend()
    assert "INCOMPLETE" not in (await asyncio.to_thread(qcfeed_, *command)).err


async def test_orphans_that_can_be_seen_are_listed_and_reaped_all_the_same(
    blinded, qcfeed_, sleepers
) -> None:
    loop = asyncio.get_running_loop()
    factory = loop.get_task_factory()
    loop.set_task_factory(blinded.factory)
    sleepers(3, orphaned=True)
    loop.set_task_factory(factory)
    listed = await asyncio.to_thread(qcfeed_, "orphans")
    assert (listed.status, listed.out.count("is gone")) == (ExitStatus.FINDINGS, 3)
    assert says_so(listed.err)
    reaped = await asyncio.to_thread(qcfeed_, "orphans", "--reap")
    assert reaped.status == ExitStatus.FINDINGS
    assert "cancelled          3 tasks\n" in reaped.out
    assert says_so(reaped.err)
    assert "orphans among the tasks that the ledger cannot see were not cancelled" in reaped.err


async def test_as_json_the_reasons_are_in_the_answer(blinded, qcfeed_) -> None:
    for command in (["orphans"], ["orphans", "--reap"]):
        left = await asyncio.to_thread(qcfeed_, *command, "-o", "json")
        assert left.status == ExitStatus.FINDINGS
        (reason,) = json.loads(left.out)["incomplete"]
        assert reason.startswith("cannot see 4")


async def test_a_saved_snapshot_reports_that_it_is_incomplete(
    blinded, qcfeed_, tmp_path: Path
) -> None:
    """Everything is written while the ledger is blind, and read when it is not any more."""
    whole, orphans = str(tmp_path / "tasks.json"), tmp_path / "orphans.json"
    told = str(tmp_path / "findings.json")
    for command in (["tasks", "--save", whole], ["tasks", "findings", "--save", told]):
        await asyncio.to_thread(qcfeed_, *command)
    orphans.write_text((await asyncio.to_thread(qcfeed_, "orphans", "-o", "json")).out)
    await blinded.mend()
    for command in (["tasks", "--by-location", "--from", whole], ["tasks", "--from", whole]):
        assert says_so(qcfeed_(*command).err), command
    for command in (["orphans", "--from", str(orphans)], ["tasks", "findings", "--from", told]):
        left = qcfeed_(*command)
        assert left.status == ExitStatus.FINDINGS
        assert says_so(left.out + left.err), command


async def test_an_incomplete_ledger_proves_no_fix(blinded, qcfeed_) -> None:
    verify = ["tasks", "verify", "--site", "anywhere.py:1", "--for", "1s", "--min-spawned", "1"]
    left = await asyncio.to_thread(qcfeed_, *verify, "-o", "json")
    assert left.status == ExitStatus.FINDINGS
    answer = json.loads(left.out)
    assert answer["outcome"] == "unproven"
    assert answer["reasons"][0].startswith("cannot see 4")


def snapshot(at: int, *incomplete: str) -> TasksByLocation:
    return TasksByLocation(
        totals=TaskTotals(incomplete=list(incomplete)), locations=[],
        taken_at=f"2026-01-01T00:00:{at:02}.000000Z", pid=1, instance="8006", since="then",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ([], [], []),
        ([REASON], [], [REASON]),
        ([], [REASON], [REASON]),
        (["old"], [REASON], [REASON]),
    ],
)
def test_a_window_is_incomplete_if_either_snapshot_is(
    before: list[str], after: list[str], told: list[str]
) -> None:
    assert comparison.compare(snapshot(0, *before), snapshot(9, *after)).incomplete == told


def test_the_status_of_a_service_and_of_a_program() -> None:
    seen = status(totals=TaskTotals(live=5, incomplete=[REASON]))
    assert list(findings(seen)) == [(REASON, (PAGE,))]


async def test_status_of_a_program_exits_with_1(watched, qcfeed_) -> None:
    sound = ProgramStatus(
        python="3.14.2", attached_at="", attached_s=1.0, loop_lag_ms=0.1,
        memory=Memory(resident_bytes=1, limit_bytes=100, limit_source="cgroup v2"),
        totals=TaskTotals(live=5, incomplete=[REASON]),
    )  # fmt: skip
    program = sound
    watched.serve(routes=[routes.ReadRoute(routes.PROCESS, routes.NoQuery, lambda _: program)])
    left = await asyncio.to_thread(qcfeed_, "status")
    assert left.status == ExitStatus.FINDINGS
    assert f"finding: {REASON}\n  next: {PAGE}\n" in left.err
    program = msgspec.structs.replace(sound, totals=TaskTotals(live=5))
    assert (await asyncio.to_thread(qcfeed_, "status")).status == ExitStatus.OK
