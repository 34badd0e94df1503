"""All programs, read from their files: what they leak, where, which public bug they show, what they need."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

FOLDER = Path(__file__).parent
KINDS = ("leaky", "sound", "real")

_LINK = re.compile(r"^Public bug: (https://\S+)$", re.MULTILINE)
_PACKAGE = re.compile(r"^Packages?: (.+)$", re.MULTILINE)
_SPAWNED = re.compile(r"^ *spawn\((\w+)\(.*# leak$", re.MULTILINE)
_LIBRARY = re.compile(r"^Library: (\S+), `(.+)`$", re.MULTILINE)


@dataclass(frozen=True)
class Program:
    """``real`` programs are leaky too. ``packages`` are what they need, at the faulty version."""

    name: str
    folder: Literal["leaky", "sound", "real"]
    file: Path
    summary: str
    bug: str = ""
    packages: tuple[str, ...] = ()
    created: tuple[int, ...] = ()
    """Lines that create the leaked tasks, marked ``# leak``."""
    helpers: tuple[int, ...] = ()
    """Lines of a helper function that creates these tasks and others, marked ``# helper``."""
    coroutines: tuple[str, ...] = ()
    """Names of the functions that the leaked tasks run, where a helper creates them."""
    waits: tuple[int, ...] = ()
    """Lines on which the leaked tasks, or the task that holds them up, wait; marked ``# waits``."""
    libraries: tuple[tuple[str, str], ...] = ()
    """File and text of lines of a real library: that creates the leaked tasks, and where they wait."""

    @property
    def leaks(self) -> bool:
        return self.folder != "sound"

    @property
    def module(self) -> str:
        return f"benchmarks.leaks.{self.folder}.{self.name}"


def load(file: Path) -> Program:
    """Read one program's docstring and the comments that mark its lines."""
    source = file.read_text()
    docstring = source.split('"""')[1]
    bug, packages = (each.search(docstring) for each in (_LINK, _PACKAGE))
    return Program(
        name=file.stem,
        folder=file.parent.name,  # type: ignore[arg-type]
        file=file,
        summary=docstring.splitlines()[0],
        bug=bug[1] if bug else "",
        packages=tuple(packages[1].split()) if packages else (),
        created=_marked(source, "leak"),
        helpers=_marked(source, "helper"),
        coroutines=tuple(_SPAWNED.findall(source)),
        waits=_marked(source, "waits"),
        libraries=tuple(_LIBRARY.findall(docstring)),
    )


def _marked(source: str, mark: str) -> tuple[int, ...]:
    lines = enumerate(source.splitlines(), start=1)
    return tuple(number for number, line in lines if line.endswith(f"  # {mark}"))


def catalog() -> list[Program]:
    """All programs: the leaky ones, the sound ones, then those with a real library."""
    files = (sorted((FOLDER / kind).glob("[a-z]*.py")) for kind in KINDS)
    return [load(file) for kind in files for file in kind]


def table() -> str:
    """The catalog in columns: name, kind, guilty line, public bug or package."""
    rows = [("PROGRAM", "KIND", "LEAK", "PUBLIC BUG, PACKAGES")]
    for each in catalog():
        where = ",".join(f"{each.file.name}:{line}" for line in each.created)
        rows.append((each.name, each.folder, where, " ".join((each.bug, *each.packages))))
    return "\n".join(f"{a:26}{b:8}{c:36}{d}".rstrip() for a, b, c, d in rows)
