"""A runbook as something that can be done: its commands, in order, and what each must print."""

from __future__ import annotations

import doctest
import re
from typing import NamedTuple

_SECTION = re.compile(r"^## ([^\n]+)$|^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


_SYMPTOM = re.compile(r"^\| (.+?) \| \[([^\]]+)\]\(\2\.md\) \|$", re.MULTILINE)


class Step(NamedTuple):
    """One command of a page; ``wanted`` has ``...`` for what varies."""

    section: str
    command: str
    wanted: str


def steps(text: str) -> list[Step]:
    """The commands of a page's ``console`` blocks."""
    found: list[Step] = []
    section = ""
    for match in _SECTION.finditer(text):
        if match[1]:
            section = match[1]
            continue
        for typed in re.split(r"^\$ ", match[2], flags=re.MULTILINE)[1:]:
            command, _, wanted = typed.partition("\n")
            found.append(Step(section, command, wanted))
    return found


def symptoms(index: str) -> dict[str, str]:
    """What is to be seen, by the page for it, from the table of the index."""
    return {page: symptom for symptom, page in _SYMPTOM.findall(index)}


def difference(wanted: str, got: str) -> str | None:
    """How they differ; None where they agree, white space apart."""
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    checker = doctest.OutputChecker()
    if checker.check_output(wanted, got, options):
        return None
    return checker.output_difference(doctest.Example("", wanted), got, options)
