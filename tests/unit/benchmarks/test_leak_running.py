"""The leak benchmark starts programs, and says why when it cannot."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.leaks.catalog import catalog
from benchmarks.leaks.running import NotAvailableError, environment_of, running

PYTHON = Path(sys.executable)
PROGRAM = next(each for each in catalog() if each.name == "lock_pile_up")


async def test_a_program_runs_until_its_time_is_over() -> None:
    async with running(PROGRAM, "count", PYTHON, seconds=0.5, rate=20) as started:
        lines = [line async for line in started.lines()]
    assert lines[0].startswith("tasks ")
    assert started.process.returncode == 0


async def test_a_program_ends_with_the_block() -> None:
    async with running(PROGRAM, "nothing", PYTHON, seconds=600, rate=5) as started:
        assert started.process.returncode is None
    assert started.process.returncode is not None


async def test_a_program_that_does_not_start_is_reported_with_its_last_words() -> None:
    unknown = replace(PROGRAM, name="nobody")
    with pytest.raises(NotAvailableError, match="invalid choice: 'nobody'"):
        async with running(unknown, "nothing", PYTHON, seconds=1, rate=5):
            pass


async def test_a_program_that_fails_is_not_taken_for_one_without_a_leak() -> None:
    with pytest.raises(NotAvailableError, match="it failed, exit status 1: ZeroDivisionError"):
        async with running(PROGRAM, "nothing", PYTHON, seconds=1, rate=0) as started:
            await started.process.wait()


def test_a_program_without_packages_needs_no_environment_of_its_own() -> None:
    assert environment_of(PROGRAM, PYTHON) == PYTHON
