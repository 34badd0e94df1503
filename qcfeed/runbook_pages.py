"""Parses runbooks: the commands in a page, in order, with the output that each must print."""

from __future__ import annotations

import doctest
import re
from typing import NamedTuple

_SECTION = re.compile(r"^## ([^\n]+)$|^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


_SYMPTOM = re.compile(r"^\| (.+?) \| \[([^\]]+)\]\(\2\.md\) \|$", re.MULTILINE)


class Step(NamedTuple):
    """One command of a page; ``expected`` is its output, with ``...`` for the parts that vary.

    ``prose``: the text of its section in front of it, back to the command before.
    """

    section: str
    command: str
    expected: str
    prose: str = ""


def steps(text: str) -> list[Step]:
    """The commands of a page's ``console`` blocks."""
    found: list[Step] = []
    section, read = "", 0
    for match in _SECTION.finditer(text):
        prose, read = text[read : match.start()].strip(), match.end()
        if match[1]:
            section = match[1]
            continue
        for typed in re.split(r"^\$ ", match[2], flags=re.MULTILINE)[1:]:
            command, _, expected = typed.partition("\n")
            found.append(Step(section, command, expected, prose))
            prose = ""
    return found


def acts(command: str) -> bool:
    """Whether a command of a page may change something. True for everything that is not known to read only.

    ``... > /dev/null && echo WORD`` counts as what stands in front of it.
    """
    words = command.removesuffix(" ").split("#")[0].split()
    words = [word for word in words if word != "--cluster"]
    if words[-4:-1] == ["/dev/null", "&&", "echo"] and words[-5:-4] == [">"]:
        words = words[:-5]
    if words[:1] != ["qcfeed"] or any(_SHELL.search(word) for word in words):
        return True
    typed = " ".join(words[1:])
    return words[1:2] == [] or words[1] not in _READING or _ACTING.search(typed) is not None


_READING = frozenset(
    ("alerts", "diagnose", "doctor", "drill", "explain", "feeds", "growth", "orphans", "report",
     "runbook", "stacks", "status", "subscribers", "tasks")
)  # fmt: skip
_ACTING = re.compile(
    r"--reap\b|--force\b|^(?:feeds|tasks) cancel\b|^subscribers kick\b|^drill (?!list$)"
)
_SHELL = re.compile(r"[;&|<>$`(){}\\]")


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
