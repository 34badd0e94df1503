"""The tutorial is followed, command by command, on real services and on the program that it shows."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qcfeed.runbook_pages import Step, difference, steps
from tests.support.patience import PATIENCE
from tests.support.program import program
from tests.support.shell import environment, serving

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
TEXT = PAGE.read_text()


def section(number: int) -> list[Step]:
    found = [step for step in steps(TEXT) if step.section.startswith(f"{number}. ")]
    assert found, f"section {number} has no commands"
    return found


def follow(home: Path, number: int, *, patience: float = PATIENCE) -> None:
    """Type the commands of a section, each until it shows what the page says."""
    for step in section(number):
        deadline = time.monotonic() + patience
        while wrong := difference(step.expected, typed(home, step.command)):
            assert time.monotonic() < deadline, f"section {number}, {step.command}\n{wrong}"


def typed(home: Path, command: str) -> str:
    return subprocess.run(
        command, shell=True, env=environment(home), text=True, timeout=3 * PATIENCE, cwd=home,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ).stdout  # fmt: skip


def drill() -> str:
    """The options that the page starts the service with in section 2."""
    (options,) = re.findall(r"make serve ARGS='(.*)'", TEXT)
    return str(options)


def shop() -> str:
    """The program of section 5."""
    (code,) = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    return str(code)


@contextmanager
def running_shop(home: Path) -> Iterator[None]:
    file = home / "shop.py"
    file.write_text(shop())
    with program(home, str(file)):
        yield


def test_every_section_with_commands_is_followed_below() -> None:
    assert {step.section[0] for step in steps(TEXT)} == {"1", "2", "3", "4", "5"}


def test_the_first_quote(tmp_path: Path) -> None:
    with serving(tmp_path):
        follow(tmp_path, 1)


def test_the_incident_is_found_and_ended(tmp_path: Path) -> None:
    with serving(tmp_path, *drill().split()):
        follow(tmp_path, 2, patience=3 * PATIENCE)
        follow(tmp_path, 3)
        for step in section(4):  # once: a second reaping has nothing to do
            assert not difference(step.expected, typed(tmp_path, step.command)), step.command


def test_a_leak_in_a_program_of_ones_own_is_named(tmp_path: Path) -> None:
    with running_shop(tmp_path):
        follow(tmp_path, 5, patience=5 * PATIENCE)
