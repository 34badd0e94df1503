"""The parts of a report, independent of Markdown and HTML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Heading(NamedTuple):
    """A heading; ``level`` 1 is the document's title."""

    text: str
    level: int = 2


class Paragraph(NamedTuple):
    """A paragraph."""

    text: str


class Facts(NamedTuple):
    """A list of labels with their values."""

    facts: Sequence[tuple[str, str]]


class Grid(NamedTuple):
    """A table; columns in ``right`` are aligned to the right."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: frozenset[int] = frozenset()


class Code(NamedTuple):
    """Preformatted text."""

    text: str


class Items(NamedTuple):
    """A list."""

    items: Sequence[str]


class Curve(NamedTuple):
    """One quantity over time: (Unix seconds, value). ``labels``: minimum, maximum, first and last time,
    as text."""

    title: str
    points: Sequence[tuple[float, float]]
    labels: tuple[str, str, str, str]


class Bars(NamedTuple):
    """A bar chart; each row is (name, value, value as text)."""

    title: str
    rows: Sequence[tuple[str, float, str]]


Block = Heading | Paragraph | Facts | Grid | Code | Items | Curve | Bars
