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


ENOUGH = 3
"""A leaky program has about as many tasks without a leak."""


def start(name: str, seconds: float, rate: float = 20) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.leaks.launch", name, "--tool", "count"]
    return subprocess.Popen(
        [*command, "--seconds", str(seconds), "--rate", str(rate)],
        env=untraced() | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def tasks_left(process: subprocess.Popen[str]) -> int:
    with process:
        output, complaints = process.communicate(timeout=90)
    assert (process.returncode, complaints) == (0, "")
    started, tasks = output.splitlines()
    assert started == "started"
    return int(tasks.removeprefix("tasks "))


@pytest.fixture(scope="module")
def running() -> Iterator[dict[str, subprocess.Popen[str]]]:
    """All programs, started together, because each takes its time and hardly any processor."""
    processes = {name: start(name, seconds=2) for name in PROGRAMS}
    try:
        yield processes
    finally:
        for process in processes.values():
            process.kill()
            process.communicate()


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_it_ends_by_itself_and_leaks_if_it_is_said_to(
    program: Program, running: dict[str, subprocess.Popen[str]]
) -> None:
    left = tasks_left(running[program.name])
    if (
        program.leaks and left <= ENOUGH
    ):  # a busy machine and a slow leak need more time; no time makes up for no leak
        left = tasks_left(start(program.name, seconds=15, rate=100))
    assert left > ENOUGH or not program.leaks


@pytest.mark.parametrize("program", catalog(), ids=lambda each: each.name)
def test_it_says_what_it_shows(program: Program) -> None:
    assert program.summary.endswith(".")
    if not program.leaks:
        assert (program.bug, program.created, program.waits) == ("", (), ())
        assert "\nLooks like: " in program.file.read_text()
        return
    assert LINK.fullmatch(program.bug) or "\nCommon fault: " in program.file.read_text()
    if program.folder == "real":
        assert program.libraries
        assert all("==" in each for each in program.packages)
    else:
        assert len(program.created) == 1


def test_there_are_enough_of_each_kind() -> None:
    numbers = {kind: sum(each.folder == kind for each in catalog()) for kind in ("leaky", "sound")}
    assert numbers["leaky"] >= 40
    assert numbers["sound"] >= 30
