"""A row of values as one line of blocks."""

from __future__ import annotations

from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.-:=+*#"
"""For an encoding that has no blocks."""


def sparkline(values: Sequence[float | None], width: int, *, blocks: str = BLOCKS) -> str:
    """At most ``width`` cells, from the least value to the greatest; a blank where there is none.

    A cell stands for an even share of the values and shows the last of them.
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
    """The blocks, or ASCII where ``encoding`` cannot say them."""
    try:
        BLOCKS.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return BLOCKS
