"""Was a tool right? What it said of a program, against what the program is. No processes here."""

from __future__ import annotations

import itertools
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, Literal

from benchmarks.leaks.catalog import Program

LOOKS = 3
"""Lists that are compared, of a tool that gives no verdict."""

Named = Literal["", "created", "waits"]


@dataclass(frozen=True)
class Place:
    """Where tasks are created or wait, as a tool shows it. It may show no line (0) or no coroutine.

    ``coroutine`` is a name, or all words in which a tool describes these tasks."""

    file: str = ""
    line: int = 0
    coroutine: str = ""

    def __str__(self) -> str:
        where = f"{PurePath(self.file).name}:{self.line}" if self.line else ""
        return f"{where} {self.coroutine}".strip()[:60]


def place(text: str, coroutine: str = "") -> Place:
    """Parse ``path/file.py:12``."""
    match = re.fullmatch(r"(.+):(\d+)", text)
    return Place(match[1], int(match[2]), coroutine) if match else Place(coroutine=coroutine)


@dataclass(frozen=True)
class Said:
    """The first time that a tool blamed a program: where, and seconds after the leak began.

    ``blames`` is false if it never did. ``skipped`` is the reason if it could not be asked.
    """

    blames: bool
    places: tuple[Place, ...] = ()
    seconds: float | None = None
    skipped: str = ""


@dataclass(frozen=True)
class Row:
    """One tool's result for one program."""

    program: str
    leaks: bool
    tool: str
    said: Said
    named: Named = ""

    @property
    def right(self) -> bool:
        return self.said.blames == self.leaks


def judge(program: Program, tool: str, said: Said, library: Sequence[Place] = ()) -> Row:
    """Compare what a tool said with what the program is. ``library``: see `library_places`."""
    names = [named(program, each, library) for each in said.places] if program.leaks else []
    first = next((each for each in ("created", "waits") if each in names), "")
    return Row(program.name, program.leaks, tool, said, first)  # type: ignore[arg-type]


def named(program: Program, blamed: Place, library: Sequence[Place] = ()) -> Named:
    """Is this the line that creates the leaked tasks, or the one on which they wait?

    The line of a helper that creates other tasks as well counts only together with the right coroutine.
    """
    if any(blamed.file.endswith(each.file) and blamed.line == each.line for each in library):
        return "created"
    if PurePath(blamed.file).name != program.file.name:
        return ""
    if blamed.line in program.created:
        return "created"
    spawned = (re.search(rf"\b{name}\b", blamed.coroutine) for name in program.coroutines)
    if blamed.line in program.helpers and any(spawned):
        return "created"
    return "waits" if blamed.line in program.waits else ""


def library_places(program: Program, packages: Path) -> list[Place]:
    """The faulty lines of the real library of a program, found by their text in its installed files."""
    return [
        Place(file, number)
        for file, text in program.libraries
        for number, line in enumerate((packages / file).read_text().splitlines(), start=1)
        if line.strip() == text
    ]


def grew_most(lists: Sequence[Mapping[Place, int]], least: int) -> Place | None:
    """What a person would blame who compares the last lists of a tool that gives no verdict: the group that
    grew most, if it grew from each list to the next and by ``least`` in all."""
    last = lists[-LOOKS:]
    if len(last) < LOOKS:
        return None
    growth = {
        each: last[-1][each] - last[0].get(each, 0)
        for each in last[-1]
        if all(a.get(each, 0) < b.get(each, 0) for a, b in itertools.pairwise(last))
    }
    most = max(growth, key=growth.__getitem__, default=None)
    return most if most is not None and growth[most] >= least else None


@dataclass
class Score:
    """All rows of one tool."""

    tool: str
    rows: list[Row] = field(default_factory=list)

    def _judged(self, *, leaks: bool) -> list[Row]:
        return [each for each in self.rows if each.leaks == leaks and not each.said.skipped]

    @property
    def figures(self) -> dict[str, Any]:
        """Numbers of programs, and the median of the seconds to the first verdict."""
        leaky, sound = self._judged(leaks=True), self._judged(leaks=False)
        seconds = [each.said.seconds for each in leaky if each.said.seconds is not None]
        return {
            "leaky": len(leaky),
            "found": sum(each.said.blames for each in leaky),
            "named": sum(bool(each.named) for each in leaky),
            "sound": len(sound),
            "false_alarms": sum(each.said.blames for each in sound),
            "median_s": statistics.median(seconds) if seconds else None,
            "slowest_s": max(seconds, default=None),
            "skipped": sum(bool(each.said.skipped) for each in self.rows),
        }
