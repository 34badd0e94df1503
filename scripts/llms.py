"""docs/llms.txt: the pages of the site for language models, by the convention of llmstxt.org.

docs/index.md is the only list of the pages; docs/conf.py makes the site's navigation from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).resolve().parent.parent / "docs"
_ENTRY = re.compile(r"^- \[([^\]]+)\]\(([^)]+)\.md\)(?: \*)?(?:: (.+))?$", re.MULTILINE)


class Entry(NamedTuple):
    """A page in a list of ``index.md``; ``page`` is relative to ``docs`` and has no suffix."""

    title: str
    page: str
    summary: str


def render() -> str:
    """The file: title, summary, and the pages of each part."""
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    summary = " ".join(index.split("\n\n")[1].split())
    lines = ["# qcfeed", "", f"> {summary}"]
    for part, pages in parts(index):
        lines += ["", f"## {part}", "", *map(_line, pages)]
    return "\n".join(lines)


def parts(index: str) -> Iterator[tuple[str, list[Entry]]]:
    """The sections of ``index.md``, each with the pages that it lists."""
    for section in index.split("\n## ")[1:]:
        yield section.partition("\n")[0], [Entry(*found) for found in _ENTRY.findall(section)]


def _line(entry: Entry) -> str:
    where = (DOCS / f"{entry.page}.md").resolve(strict=True).relative_to(DOCS.parent).as_posix()
    return f"- [{entry.title}]({where}){entry.summary and f': {entry.summary}'}"
