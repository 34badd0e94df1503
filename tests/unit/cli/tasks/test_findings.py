from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from qcfeed.control.handlers import findings, tasks
from qcfeed.diagnostics import rules as lints
from qcfeed.diagnostics.ledger import owned_by
from qcfeed.diagnostics.sampler import DiagnosticsSampler
from qcfeed.errors import ExitStatus


class Gone:
    closed = True

    def __init__(self, closed_at: float) -> None:
        self.closed_at = closed_at

    def __str__(self) -> str:
        return "subscriber\x1b[2J 812"


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> float:
    """When it is asked, however long a busy machine takes for it."""
    now = time.monotonic() + 1
    monkeypatch.setattr(findings, "time", SimpleNamespace(monotonic=lambda: now))
    return now


@pytest.fixture
async def sampler(watched, now, monkeypatch: pytest.MonkeyPatch):
    # Nor is it asked whether that machine has held the loop up.
    rules = [rule for rule in lints.RULES if rule is not lints.blocked]
    monkeypatch.setattr(lints, "RULES", rules)
    sampler = DiagnosticsSampler(watched.ledger, watched.watch, every=3600)
    sampler.start(asyncio.get_running_loop())
    ledger_routes = tasks.routes(watched.ledger, watched.watch)
    watched.serve(routes=[*ledger_routes, *findings.routes(sampler)])
    yield sampler
    sampler.stop()


@pytest.fixture
async def orphan(now):
    spawned = []

    def spawn(gone_s: float) -> None:
        with owned_by(Gone(now - gone_s)):
            spawned.append(asyncio.create_task(asyncio.sleep(3600)))

    yield spawn
    for task in spawned:
        task.cancel()
    await asyncio.gather(*spawned, return_exceptions=True)


async def test_a_missing_value_is_a_dash(sampler, qcfeed_) -> None:
    left = await asyncio.to_thread(qcfeed_, "tasks", "findings")
    assert (left.status, left.out) == (ExitStatus.OK, "")
    assert left.err.startswith("no findings in 1 snapshot ")


async def test_a_finding_has_its_evidence_and_the_next_command(sampler, orphan, qcfeed_) -> None:
    orphan(60)
    left = await asyncio.to_thread(qcfeed_, "tasks", "findings")
    assert left.status == ExitStatus.FINDINGS
    first, evidence, following = left.out.splitlines()
    assert first.startswith("proved: tests/unit/cli/tasks/test_findings.py:")
    assert first.endswith(": 1 task is alive though the owner is gone")
    assert "owner subscriber\\x1b[2J 812 closed 60." in evidence
    assert following == "  next: qcfeed orphans --reap"
    assert left.err.startswith("1 proved, 0 likely, 0 suspected; from 1 snapshot ")


async def test_a_finding_to_check_again_does_not_set_the_exit_status(
    sampler, orphan, qcfeed_
) -> None:
    orphan(2.5)
    left = await asyncio.to_thread(qcfeed_, "tasks", "findings")
    assert left.status == ExitStatus.OK
    assert left.out.startswith("suspected, check again in 5.0s: ")


@pytest.mark.parametrize("output", ["wide", "json", "csv", "name"])
async def test_every_format_has_it_and_its_exit_status(
    sampler, orphan, qcfeed_, output: str
) -> None:
    orphan(60)
    left = await asyncio.to_thread(qcfeed_, "tasks", "findings", "-o", output)
    assert left.status == ExitStatus.FINDINGS
    assert "orphans" in left.out
    assert left.out.endswith("\n")
    if output == "json":
        answer = json.loads(left.out)
        assert (answer["schema"], answer["proved"]) == ("qcfeed.findings/3", 1)


async def test_skipped_rules_are_reported(sampler, qcfeed_) -> None:
    asyncio.get_running_loop().set_exception_handler(None)
    left = await asyncio.to_thread(qcfeed_, "tasks", "findings")
    assert left.err.startswith("skipped: exceptions never retrieved: ")


async def test_findings_are_saved_and_read_elsewhere(
    sampler, orphan, qcfeed_, tmp_path: Path
) -> None:
    orphan(60)
    file = str(tmp_path / "findings.json")
    told = await asyncio.to_thread(qcfeed_, "tasks", "findings", "--save", file)
    again = qcfeed_("--socket", str(tmp_path / "nobody"), "tasks", "findings", "--from", file)
    assert (told.status, again.status) == (ExitStatus.FINDINGS, ExitStatus.FINDINGS)
    assert again.out.splitlines()[0] == told.out.splitlines()[0]
    assert re.match(
        rf"as of 20.* UTC: 8006 \(pid \d+\), read from {re.escape(str(file))}\n", again.err
    )
