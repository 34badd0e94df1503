"""Every promise of the threat model names a test, and the test is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "explanation" / "threat-model.md").read_text()
_REFERENCE = re.compile(r"`(tests/[a-z0-9_/]+\.py)::(test_[a-z0-9_]+)`")
_PROMISES = re.compile(r"may not\n\n((?:- .*\n)+)")


def promises(page: str) -> list[str]:
    """The lines below each "may not"."""
    return [line for block in _PROMISES.findall(page) for line in block.splitlines()]


def unproved(page: str) -> list[str]:
    """Promises without a reference to a test."""
    return [line for line in promises(page) if not _REFERENCE.search(line)]


def missing(page: str) -> list[str]:
    """References to tests that are not there."""
    return [
        f"{file}::{test}"
        for file, test in _REFERENCE.findall(page)
        if not (ROOT / file).is_file() or test not in _tests(ROOT / file)
    ]


def _tests(file: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_every_promise_has_a_test() -> None:
    assert len(promises(PAGE)) >= 30
    assert unproved(PAGE) == []
    assert missing(PAGE) == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("- fly\n", "unproved"),
        ("- fly (`tests/unit/config/test_loading.py`)\n", "unproved"),
        ("- fly (`tests/unit/config/test_loading.py::test_that_nobody_wrote`)\n", "missing"),
        ("- fly (`tests/unit/test_that_nobody_wrote.py::test_it`)\n", "missing"),
    ],
)
def test_a_promise_without_a_test_is_noticed(line: str, fault: str) -> None:
    page = f"A stranger may not\n\n{line}\n"
    assert bool(unproved(page)) == (fault == "unproved")
    assert bool(missing(page)) == (fault == "missing")


def test_no_promise_stands_elsewhere() -> None:
    """A sentence with "may not" in other words would have no test."""
    listed = "".join(f"{line}\n" for line in promises(PAGE))
    rest = [
        line
        for line in PAGE.splitlines()
        if re.search(r"\bmay not\b(?!$)|must not be able", line) and line not in listed
    ]
    assert rest == ["## What they may not do"] or rest == []
