"""The two TOML files: which tests judge which modules, and which mutants are equivalent."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from scripts.mutants import sites
from scripts.mutants.sites import Mutant

HERE = Path(__file__).parent


class Part(NamedTuple):
    """Modules judged by the same tests."""

    name: str
    modules: tuple[str, ...]
    tests: tuple[str, ...]


class TableError(Exception):
    """parts.toml does not match the source tree."""


def parts(project: Path, table: Path = HERE / "parts.toml") -> list[Part]:
    """The table with its patterns resolved. A module belongs to the first part that matches it.

    Raises TableError if a pattern matches no module or a test does not exist.
    """
    taken: set[str] = set()
    found = []
    for entry in tomllib.loads(table.read_text())["part"]:
        modules: list[str] = []
        for pattern in entry["modules"]:
            paths = sorted(str(path.relative_to(project)) for path in project.glob(pattern))
            if not paths:
                raise TableError(f"parts.toml: {entry['name']}: no module matches {pattern}")
            modules += [path for path in paths if path not in taken]
            taken.update(paths)
        missing = [test for test in entry["tests"] if not (project / test).exists()]
        if missing:
            raise TableError(f"parts.toml: {entry['name']}: there is no {', '.join(missing)}")
        found.append(Part(entry["name"], tuple(modules), tuple(entry["tests"])))
    return found


def named(some: list[Part], name: str | None) -> list[Part]:
    """The part of this name; all if none is given. Raises TableError if there is no such part."""
    found = [each for each in some if name in (None, each.name)]
    if not found:
        raise TableError(f"there is no part {name}: {', '.join(each.name for each in some)}")
    return found


def mutants(project: Path, some: list[Part]) -> Iterator[tuple[Part, Mutant]]:
    """Every mutant of every module of these parts."""
    for part in some:
        for module in part.modules:
            for mutant in sites.find(module, (project / module).read_bytes()):
                yield part, mutant


def equivalents(table: Path = HERE / "equivalent.toml") -> dict[str, str]:
    """Key -> reason why no test can notice this mutant."""
    listed = tomllib.loads(table.read_text()).get("mutant", [])
    return {entry["key"]: entry["reason"] for entry in listed}
