"""A short soak, in a process of its own; ``make soak`` runs it for as long as wanted."""

from __future__ import annotations

import subprocess
import sys

from benchmarks import soak
from tests.support.patience import PATIENCE
from tests.support.shell import untraced

FORGETFUL = """
import sys
from benchmarks import soak
from qcfeed.diagnostics import task_info
record_end = task_info.record_end
task_info.record_end = lambda info, task: record_end(info, task) if info.serial % 100 else None
sys.argv = ["soak", "--seconds", "0.2", "--readers", "1"]
sys.exit(soak.main())
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=5 * PATIENCE, env=untraced(), check=False
    )


def test_the_ledger_balances_under_twenty_readers() -> None:
    ran = run("-m", "benchmarks.soak", "--seconds", "3")
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout + ran.stderr


def test_a_soak_can_fail() -> None:
    ran = run("-c", FORGETFUL)
    assert ran.returncode == 1
    assert "FAULT expected" in ran.stdout


async def test_the_soak_balances_beside_a_second_ledger() -> None:
    """The suite's own leak check has one, so a task here may be known to two."""
    result = await soak.soak(2.0)
    assert result.faults == []
    assert result.booked == result.expected
