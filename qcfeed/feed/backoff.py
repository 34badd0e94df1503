"""How long to wait before the next try."""

from __future__ import annotations


def delay(attempt: int, draw: float, *, base: float = 0.5, cap: float = 30.0) -> float:
    """Seconds before try ``attempt`` (0 for the first retry), exponential with full jitter.

    ``draw`` is a random number in [0, 1). Full jitter spreads the tries of many clients best
    (M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015).
    """
    return draw * min(cap, base * 2.0 ** min(attempt, 32))
