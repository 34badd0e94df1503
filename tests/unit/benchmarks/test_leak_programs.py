"""Each program of the leak benchmark runs, ends by itself, and leaks if and only if it is said to leak."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.leaks.catalog import Program, catalog
from tests.support.shell import untraced

ROOT = Path(__file__).parents[3]
PROGRAMS = {each.name: each for each in catalog() if not each.packages}
LINK = re.compile(r"https://github\.com/[\w.-]+/[\w.-]+/(issues|pull)/\d+")


@pytest.fixture(scope="module")
def running() -> Iterator[dict[str, subprocess.Popen[str]]]:
    """All programs, started together, because each takes its time and hardly any processor."""
    environment = untraced() | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "benchmarks.leaks.launch"]
    processes = {
        name: subprocess.Popen(
            [*command, name, "--tool", "count", "--seconds", "2", "--rate", "20"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in PROGRAMS
    }
    try:
        yield processes
    finally:
        for process in processes.values():
            process.kill()
            process.communicate()


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_it_ends_by_itself_and_complains_of_nothing(
    program: Program, running: dict[str, subprocess.Popen[str]]
) -> None:
    process = running[program.name]
    output, complaints = process.communicate(timeout=90)
    assert (process.returncode, complaints) == (0, "")
    started, tasks = output.splitlines()
    assert started == "started"
    if program.leaks:
        assert int(tasks.removeprefix("tasks ")) > 3, "it has about that many without a leak"


@pytest.mark.parametrize("program", catalog(), ids=lambda each: each.name)
def test_it_says_what_it_shows(program: Program) -> None:
    assert program.summary.endswith(".")
    if not program.leaks:
        assert (program.bug, program.created, program.waits) == ("", (), ())
        assert "\nLooks like: " in program.file.read_text()
        return
    assert LINK.fullmatch(program.bug)
    if program.folder == "real":
        assert program.library
        assert all("==" in each for each in program.packages)
    else:
        assert len(program.created) == 1


def test_there_are_enough_of_each_kind() -> None:
    numbers = {kind: sum(each.folder == kind for each in catalog()) for kind in ("leaky", "sound")}
    assert numbers["leaky"] >= 24
    assert numbers["sound"] >= 16
