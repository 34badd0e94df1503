"""How fast memory grows, and how long that can go on. Least squares, as Prometheus' deriv()."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from qcfeed.verdict.evidence import Sample

LEAST_SAMPLES = 5


@dataclass(frozen=True, slots=True)
class Growth:
    """``fit`` is R2: how much of what was seen the straight line explains, 0 to 1."""

    seconds: float
    bytes_per_s: float
    fit: float
    grown_bytes: int
    tasks_per_s: float
    steady: bool
    """Whether each third of the time ended above the one before it."""

    def left_s(self, resident: int, limit: int) -> float | None:
        """Seconds until the limit; None when it is not on the way there."""
        if self.bytes_per_s <= 0 or limit <= 0:
            return None
        return max(0.0, limit - resident) / self.bytes_per_s


def growth(samples: Sequence[Sample]) -> Growth | None:
    """None for too few samples, or all of one moment."""
    if len(samples) < LEAST_SAMPLES or samples[-1].at <= samples[0].at:
        return None
    at = [each.at for each in samples]
    held = [float(each.resident_bytes) for each in samples]
    live = [float(each.live) for each in samples]
    flat = len(set(held)) == 1
    ends = [held[len(held) * part // 3 - 1] for part in (1, 2, 3)]
    return Growth(
        seconds=at[-1] - at[0],
        bytes_per_s=statistics.linear_regression(at, held).slope,
        fit=0.0 if flat else statistics.correlation(at, held) ** 2,
        grown_bytes=round(held[-1] - held[0]),
        tasks_per_s=statistics.linear_regression(at, live).slope,
        steady=all(earlier < later for earlier, later in pairwise(ends)),
    )
