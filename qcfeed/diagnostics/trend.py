"""Whether a count keeps climbing, judged by its lowest values, which bursts and busy hours do not raise."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple


class Trend(NamedTuple):
    """``lows``: the lowest value of each part of the time, in order. ``spread``: the median range of the
    values within one part, which is the noise that growth must exceed. ``widest``: the largest such
    range, as in a burst."""

    lows: tuple[int, ...]
    spread: float
    widest: int

    @property
    def growth(self) -> int:
        """From the first part's low to the last's: (N - 1)/N of a steady climb over N parts."""
        return self.lows[-1] - self.lows[0]

    @property
    def climbs(self) -> bool:
        """Whether each part's low is above the one before it."""
        return all(earlier < later for earlier, later in pairwise(self.lows))


def trend(values: Sequence[int], parts: int) -> Trend | None:
    """The trend of ``values``, taken at even intervals; None if there are fewer than ``parts``.

    Cost: O(values).
    """
    count = len(values)
    if count < parts:
        return None
    bounds = [count * part // parts for part in range(parts + 1)]
    pieces = [values[start:end] for start, end in pairwise(bounds)]
    spreads = [max(piece) - min(piece) for piece in pieces]
    return Trend(tuple(min(piece) for piece in pieces), median(spreads), max(spreads))
