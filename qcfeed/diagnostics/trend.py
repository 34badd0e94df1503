"""Does a count keep climbing? Judged by its low points, which bursts and busy hours do not lift."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple


class Trend(NamedTuple):
    """``lows``: the least value of each part of the time, in order. ``spread``: how far the values
    of one part usually lie apart, which is the noise that growth has to rise above; ``widest``: how
    far they do at most, as in a burst."""

    lows: tuple[int, ...]
    spread: float
    widest: int

    @property
    def growth(self) -> int:
        """From the first part's low to the last's; a steady climb shows all but one part of it."""
        return self.lows[-1] - self.lows[0]

    @property
    def climbs(self) -> bool:
        """Whether each part's low is above the one before it."""
        return all(earlier < later for earlier, later in pairwise(self.lows))


def trend(values: Sequence[int], parts: int) -> Trend | None:
    """``values``, taken at even intervals, cut in ``parts``. None when there are fewer than that.

    Cost: O(values).
    """
    count = len(values)
    if count < parts:
        return None
    bounds = [count * part // parts for part in range(parts + 1)]
    pieces = [values[start:end] for start, end in pairwise(bounds)]
    spreads = [max(piece) - min(piece) for piece in pieces]
    return Trend(tuple(min(piece) for piece in pieces), median(spreads), max(spreads))
