"""Reading what the tools print: which places they name, and how many tasks they list at each."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks.leaks.judging import Place, place

_FRAME = re.compile(r'File "(.+?)", line (\d+), in (\S+)')
_LINE = re.compile(r"\S+\.py:\d+")
_TREE = re.compile(r"(?:\(T\) (?P<task>.+)|(?P<function>\S+) (?P<file>\S+):(?P<line>\d+))$")

ABOUT_THE_LOOP = frozenset({"BLOCKED"})
"""Kinds of findings of qcfeed that blame no tasks: a busy machine stalls the loop of any program."""


def of_diagnose(answer: Mapping[str, Any]) -> tuple[Place, ...]:
    """All places that the findings of `qcfeed diagnose` about tasks show, the location of each first.

    Empty if there are none. A finding that shows no place is one place without a line."""
    found: list[Place] = []
    for finding in answer["findings"]:
        if finding["kind"] in ABOUT_THE_LOOP:
            continue
        words = " ".join((finding["headline"], finding["cause"], *finding["evidence"]))
        shown = (finding["location"] or "", *_LINE.findall(words))
        found += (place(each, words) for each in shown)
    return _unique(found)


def of_groups(line: str) -> dict[Place, tuple[int, tuple[Place, ...]]]:
    """A line that a tool inside the program printed: size of each group, and the lines that it shows."""
    return {
        place(where): (size, tuple(place(each) for each in shown))
        for where, size, shown in json.loads(line)
    }


def of_live_tasks(answer: Mapping[str, Any]) -> dict[Place, list[str]]:
    """aiomonitor's live tasks, grouped by coroutine and place of creation, with their identifiers."""
    groups: dict[Place, list[str]] = {}
    for task in answer["tasks"]:
        groups.setdefault(place(task["created_location"], task["coro"]), []).append(task["task_id"])
    return groups


def of_trace(page: str) -> tuple[Place, ...]:
    """All lines in aiomonitor's page about one task: how it was created, and where it is."""
    text = html.unescape(re.sub(r"<[^>]+>", "", page))
    return _unique(Place(file, int(line), name) for file, line, name in _FRAME.findall(text))


def of_ps(table: str) -> dict[Place, list[str]]:
    """Tasks of `python -m asyncio ps`, grouped by their stack, which has no lines, with their names."""
    groups: dict[Place, list[str]] = {}
    for row in table.splitlines()[2:]:
        _, _, name, stack, *_ = [*re.split(r"\s{2,}", row.strip()), "", "", "", ""]
        groups.setdefault(Place(coroutine=stack), []).append(name)
    return groups


def of_pstree(tree: str) -> dict[str, tuple[Place, ...]]:
    """The lines of each task in `python -m asyncio pstree`."""
    tasks: dict[str, list[Place]] = {}
    name = ""
    for row in tree.splitlines():
        if match := _TREE.search(row):
            name = match["task"] or name
            lines = tasks.setdefault(name, [])
            if match["file"]:
                lines.append(Place(match["file"], int(match["line"]), match["function"]))
    return {name: _unique(lines) for name, lines in tasks.items()}


def _unique(places: Iterable[Place]) -> tuple[Place, ...]:
    return tuple(dict.fromkeys(places))
