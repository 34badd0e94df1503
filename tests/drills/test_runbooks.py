"""Every runbook's commands, in order, against the real service with the page's own fault."""

from __future__ import annotations

import doctest
import subprocess
from pathlib import Path

import pytest
from sybil import Example
from sybil.document import Document
from sybil.parsers.markdown import CodeBlockParser

from tests.support.shell import PATIENCE, environment, serving

RUNBOOKS = Path(__file__).parents[2] / "runbooks"
DRILLS = {"orphaned-tasks": "zombie-feeds=1000"}
SECTIONS = [
    "Meaning", "Impact", "Diagnosis", "Mitigation", "Verification", "Escalation", "Rehearsal",
]  # fmt: skip


def type_it(home: Path, block: str) -> str:
    """What a console block's one command prints, stdout and stderr as on a terminal."""
    command = block.splitlines()[0].removeprefix("$ ")
    typed = subprocess.run(
        command, shell=True, env=environment(home), text=True, timeout=PATIENCE,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return typed.stdout


def compare(wanted: str, got: str) -> str | None:
    """The difference, with ``...`` for what varies; None where they agree."""
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    checker = doctest.OutputChecker()
    if checker.check_output(wanted, got, options):
        return None
    return checker.output_difference(doctest.Example("", wanted), got, options)


def follow(page: Path, home: Path) -> int:
    """Do what the page says; how many commands that were."""

    def evaluate(example: Example) -> str | None:
        wanted = example.parsed.partition("\n")[2]
        return compare(wanted, type_it(home, example.parsed))

    document = Document.parse(str(page), CodeBlockParser("console", evaluate))
    count = 0
    for example in document.examples():
        example.evaluate()
        count += 1
    return count


@pytest.mark.parametrize("name", sorted(page.stem for page in RUNBOOKS.glob("*.md")))
def test_the_page_is_right(name: str, tmp_path: Path) -> None:
    page = RUNBOOKS / f"{name}.md"
    headings = [line[3:] for line in page.read_text().splitlines() if line.startswith("## ")]
    assert headings == SECTIONS
    with serving(tmp_path, "--drill", DRILLS[name]) as service:
        service.hear("zombies are alive")
        assert follow(page, tmp_path) == 5


def test_a_page_that_is_wrong_is_found(tmp_path: Path) -> None:
    page = tmp_path / "wrong.md"
    page.write_text("```console\n$ qcfeed orphans\n... 17 orphans\n```\n")
    with serving(tmp_path), pytest.raises(Exception, match="no orphans"):
        follow(page, tmp_path)
