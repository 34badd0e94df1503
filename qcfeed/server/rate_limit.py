"""A rate limiter."""

from __future__ import annotations


class TokenBucket:
    """Allows ``rate`` events per second in the long run, and up to ``burst`` at once.

    A token bucket as in RFC 2697, refilled on each call. A rate of 0 means no limit.
    """

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = now

    def take(self, now: float, n: int = 1) -> bool:
        """Take ``n`` tokens if there are as many; returns whether there were."""
        if self._rate == 0:
            return True
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < n:
            return False
        self._tokens -= n
        return True
