"""What a document is made of, before it is Markdown or HTML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Heading(NamedTuple):
    """``level`` 1 is the document's title."""

    text: str
    level: int = 2


class Text(NamedTuple):
    """A paragraph."""

    text: str


class Facts(NamedTuple):
    """Labels and what they say."""

    facts: Sequence[tuple[str, str]]


class Grid(NamedTuple):
    """A table; the columns in ``right`` hold numbers."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: frozenset[int] = frozenset()


class Code(NamedTuple):
    """Lines as they are."""

    text: str


class Items(NamedTuple):
    """A list."""

    items: Sequence[str]


class Curve(NamedTuple):
    """One quantity over time: (Unix seconds, value). ``labels``: its least and its greatest value,
    its first time and its last, in words."""

    title: str
    points: Sequence[tuple[float, float]]
    labels: tuple[str, str, str, str]


class Bars(NamedTuple):
    """One length a row: its name, its value, and the value in words."""

    title: str
    rows: Sequence[tuple[str, float, str]]


Block = Heading | Text | Facts | Grid | Code | Items | Curve | Bars
