"""Renders blocks as Markdown with GitHub tables. Plots are left out; the tables hold their figures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from qcfeed.diagnose.report.blocks import (
    Bars,
    Block,
    Code,
    Curve,
    Facts,
    Grid,
    Heading,
    Items,
    Paragraph,
)

_TICKS = re.compile(r"`+")
_SPECIAL = re.compile(r"([\\`*\[\]<|]|(?<!\w)_|_(?!\w))")
"""Characters that Markdown interprets. An underscore inside a word is literal, as in ``task_info``."""


def render(blocks: Iterable[Block]) -> str:
    parts = [part for part in map(_block, blocks) if part]
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {_plain(text)}"
        case Paragraph(text):
            return _plain(text)
        case Facts(facts):
            return "\n".join(f"- **{_plain(label)}**: {_plain(text)}" for label, text in facts)
        case Grid():
            return _grid(block)
        case Code(text):
            return _code(text)
        case Items(items):
            return "\n".join(f"- {_plain(item)}" for item in items)
        case Curve() | Bars():
            return ""


def _plain(text: str) -> str:
    """``text`` on one line, with Markdown's special characters escaped."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _grid(grid: Grid) -> str:
    rule = ["---:" if place in grid.right else "---" for place in range(len(grid.header))]
    rows: list[Sequence[str]] = [[_plain(c) for c in grid.header], rule]
    rows += [[_plain(cell) for cell in row] for row in grid.rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _code(text: str) -> str:
    # A fence must be longer than every run of backquotes in the text.
    longest = max((len(run) for run in _TICKS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"
