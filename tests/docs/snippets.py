"""Reads the snippets of the pages: fenced blocks, each with its language, section and line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
NO_SNIPPET = {"text", "{eval-rst}"}
"""Blocks that show something, and blocks of Sphinx."""

_FENCE = re.compile(r"```(.*)$")
_SAVED = re.compile(r"(?:^|.*\b[Ss]ave\b.*?)`([\w./-]+\.\w+)`", re.DOTALL)


class Snippet(NamedTuple):
    """``saved_as``: the file that the page says it is."""

    page: str
    line: int
    section: str
    language: str
    text: str
    saved_as: str | None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


class PageError(Exception):
    """A block that cannot be a snippet."""


def pages() -> list[str]:
    """All pages, relative to the project. Not the runbooks: tests/drills executes each with its fault."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def snippets(page: str) -> list[Snippet]:
    """All snippets of a page of the project."""
    return list(read(page, (ROOT / page).read_text(encoding="utf-8")))


def read(page: str, text: str) -> Iterator[Snippet]:
    """The snippets in a page's text. Raises PageError for code that no fence says the language of."""
    section = paragraph = ""
    blank = True
    numbered = iter(enumerate(text.splitlines(), 1))
    for number, line in numbered:
        where = f"{page}:{number}"
        if fence := _FENCE.match(line):
            block = _block(where, (each for _, each in numbered))
            if not fence[1]:
                raise PageError(f"{where}: the block has no language")
            if fence[1] not in NO_SNIPPET:
                yield Snippet(page, number, section, fence[1], block, _file(paragraph, fence[1]))
        elif blank and line.startswith("    "):
            raise PageError(f"{where}: code that is indented has no language: fence it")
        elif line.startswith("#"):
            section, paragraph = line.lstrip("# "), ""
        elif line:
            paragraph = line if blank else f"{paragraph}\n{line}"
        blank = not line


def _block(where: str, rest: Iterator[str]) -> str:
    """The lines up to the fence's end."""
    found: list[str] = []
    for line in rest:
        if line == "```":
            return "".join(found)
        found.append(f"{line}\n")
    raise PageError(f"{where}: the block has no end")


def _file(paragraph: str, language: str) -> str | None:
    suffixes = {"python": ".py", "toml": ".toml", "yaml": (".yml", ".yaml"), "json": ".json"}
    if (found := _SAVED.match(paragraph)) and language in suffixes:
        return found[1] if found[1].endswith(suffixes[language]) else None
    return None
