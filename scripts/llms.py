"""docs/llms.txt: the pages of the site for language models, by the convention of llmstxt.org."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"
_PART = re.compile(r"^:caption: (.+)\n\n((?:[^\n`]+\n)+)", re.MULTILINE)


def render() -> str:
    """The file: title, summary, and the pages of each part of the navigation, with their first sentence."""
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    return "\n".join(["# qcfeed", "", f"> {_summary(index)}", *_parts(index)])


def _parts(index: str) -> Iterator[str]:
    for title, pages in _PART.findall(index):
        yield f"\n## {title}\n"
        for page in pages.split():
            path = (DOCS / f"{page}.md").resolve()
            text = path.read_text(encoding="utf-8")
            (heading,) = re.findall(r"\A# (.+)$", text, re.MULTILINE)[:1]
            where = path.relative_to(DOCS.parent).as_posix()
            summary = _summary(text)
            yield f"- [{heading}]({where}){f': {summary}' if summary else ''}"


def _summary(text: str) -> str:
    """The first sentence of a page, as plain text; empty if it begins with something else than a paragraph."""
    block = text.split("\n\n")[1]
    if not block[:1].isalpha():
        return ""
    paragraph = " ".join(block.split())
    plain = re.sub(r"\[([^\]]+)\]\([^)]*\)|[`*]", r"\1", paragraph)
    return re.split(r"(?<=[.:]) (?=[A-Z])", plain)[0].rstrip(":")
