"""The delay before the next retry."""

from __future__ import annotations


def delay(attempt: int, draw: float, *, base: float = 0.5, cap: float = 30.0) -> float:
    """Seconds to wait before retry ``attempt`` (0 is the first), exponential with full jitter.

    ``draw`` is a random number in [0, 1). Full jitter spreads the retries of many clients best
    (M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015).
    """
    # The exponent is bounded: 2.0 ** 1024 would raise OverflowError.
    return draw * min(cap, base * 2.0 ** min(attempt, 32))
