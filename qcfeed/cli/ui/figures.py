"""An answer that is no list: labelled figures for people, every leaf of the JSON for CSV."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from qcfeed.cli.context import Format
from qcfeed.cli.ui.render import draw, show
from qcfeed.cli.ui.table import Column, Table

LABEL_GAP = 28
"""Cells that a figure's text may be squeezed to before the terminal has to wrap it."""


class Figure(NamedTuple):
    """One line: a label, what there is to say, and the colour of it."""

    label: str
    text: str
    colour: str | None = None


FIGURES: Table[Figure] = Table(
    (
        Column(key="item", value=lambda f: f.label),
        Column(key="value", value=lambda f: f.text, least=LABEL_GAP, colour=lambda f: f.colour),
    ),
    identity=lambda figure: figure.label,
)

_LEAVES: Table[tuple[str, Any]] = Table(
    (
        Column(key="item", value=lambda leaf: leaf[0]),
        Column(key="value", value=lambda leaf: leaf[1]),
    ),
    identity=lambda leaf: leaf[0],
)


def show_figures(
    output: Format, figures: Sequence[Figure], *, raw: bytes, names: Sequence[str]
) -> None:
    """Print figures on stdout; ``names`` are the identifiers for ``-o name``."""
    if output in (Format.TABLE, Format.WIDE):
        draw(FIGURES, figures, wide=output is Format.WIDE, header=False)
    elif output is Format.NAME:
        show(output, _LEAVES, [(name, None) for name in names], raw=raw)
    else:
        show(output, _LEAVES, list(_leaves("", json.loads(raw))), raw=raw)


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Every scalar of a JSON document, by its dotted path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(f"{path}.{key}" if path else key, inner)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _leaves(f"{path}.{number}", inner)
    else:
        yield path, value
