"""Parses runbooks: the commands in a page, in order, with the output that each must print."""

from __future__ import annotations

import doctest
import re
from typing import NamedTuple

_SECTION = re.compile(r"^## ([^\n]+)$|^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


_SYMPTOM = re.compile(r"^\| (.+?) \| \[([^\]]+)\]\(\2\.md\) \|$", re.MULTILINE)


class Step(NamedTuple):
    """One command of a page; ``expected`` is its output, with ``...`` for the parts that vary."""

    section: str
    command: str
    expected: str


def steps(text: str) -> list[Step]:
    """The commands of a page's ``console`` blocks."""
    found: list[Step] = []
    section = ""
    for match in _SECTION.finditer(text):
        if match[1]:
            section = match[1]
            continue
        for typed in re.split(r"^\$ ", match[2], flags=re.MULTILINE)[1:]:
            command, _, expected = typed.partition("\n")
            found.append(Step(section, command, expected))
    return found


def symptoms(index: str) -> dict[str, str]:
    """The symptom for each page, from the table in the index of the runbooks."""
    return {page: symptom for symptom, page in _SYMPTOM.findall(index)}


def difference(expected: str, got: str) -> str | None:
    """A description of how the outputs differ; None if they match, ignoring white space."""
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    checker = doctest.OutputChecker()
    if checker.check_output(expected, got, options):
        return None
    return checker.output_difference(doctest.Example("", expected), got, options)
