"""Prints an answer that is not a list: labelled values for people, every scalar of the JSON for CSV."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from qcfeed.cli.context import Format
from qcfeed.cli.ui.render import draw_list, show
from qcfeed.cli.ui.table import Column, Row, Table
from qcfeed.model.status import SavedEvidence

LEAST_VALUE_WIDTH = 18
"""The narrowest the value column may get, in cells, before the terminal wraps the line itself."""


class LabelledValue(NamedTuple):
    """One labelled value, and its colour on a terminal."""

    label: str
    text: str
    colour: str | None = None


FIGURES: Table[LabelledValue] = Table(
    (
        Column("item", "label"),
        Column("value", "text", least=LEAST_VALUE_WIDTH, colour=lambda f: f.colour),
    ),
    identity=lambda figure: figure.label,
)

_LEAVES: Table[tuple[str, Any]] = Table(
    (
        Column("item", value=lambda leaf: leaf[0]),
        Column("value", value=lambda leaf: leaf[1]),
    ),
    identity=lambda leaf: leaf[0],
)


def show_figures(
    output: Format, figures: Sequence[LabelledValue], *, raw: bytes, names: Sequence[str]
) -> None:
    """Print figures on stdout in the format asked for.

    ``raw`` is the answer's JSON, for JSON and CSV; ``names`` are the identifiers for ``-o name``.
    """
    if output in (Format.TABLE, Format.WIDE):
        draw_list(FIGURES, figures, wide=output is Format.WIDE, header=False)
    elif output is Format.NAME:
        show(output, _LEAVES, [(name, None) for name in names], raw=raw)
    else:
        show(output, _LEAVES, list(_leaves("", json.loads(raw))), raw=raw)


def show_columns(output: Format, table: Table[Row], row: Row) -> None:
    """Print every column of one row, also those that its list does not show."""
    figures = [
        LabelledValue(column.title.lower(), column.text(row), column.style(row))
        for column in table.columns
    ]
    show_figures(output, figures, raw=msgspec.json.encode(row), names=[table.identity(row)])


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Every scalar of a JSON document with its dotted path: ``memory.limit_bytes``."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(f"{path}.{key}" if path else key, inner)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _leaves(f"{path}.{number}", inner)
    else:
        yield path, value


def told_evidence(saved: SavedEvidence) -> str:
    """Where the service saved evidence by itself, when and why."""
    at = saved.saved_at.replace("T", " ").removesuffix("Z")
    return f"{saved.file}, {at} UTC ({saved.why})"
