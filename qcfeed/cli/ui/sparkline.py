"""Draws a series of values as one line of block characters."""

from __future__ import annotations

from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.-:=+*#"
"""The same eight levels for a terminal whose encoding has no block characters."""


def sparkline(values: Sequence[float | None], width: int, *, blocks: str = BLOCKS) -> str:
    """At most ``width`` cells, scaled from the smallest value to the largest; None is a blank.

    When there are more values than cells, each cell covers an equal share and shows its last value.
    """
    if len(values) > width:
        values = [values[(cell + 1) * len(values) // width - 1] for cell in range(width)]
    known = [value for value in values if value is not None]
    if not known:
        return ""
    least, span = min(known), max(known) - min(known)
    top = len(blocks) - 1
    return "".join(
        " " if value is None else blocks[round((value - least) / span * top) if span else 0]
        for value in values
    )


def blocks_for(encoding: str | None) -> str:
    """BLOCKS, or ASCII if ``encoding`` cannot encode them."""
    try:
        BLOCKS.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return BLOCKS
