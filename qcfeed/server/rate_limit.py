"""How much of something may happen in a time."""

from __future__ import annotations


class TokenBucket:
    """At most ``rate`` a second in the long run, at most ``burst`` at once.

    The token bucket of RFC 2697's meters, filled when looked at. A rate of 0 means no limit.
    """

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = now

    def take(self, now: float, n: int = 1) -> bool:
        """Whether ``n`` more may happen now; if so, they count as happened."""
        if self._rate == 0:
            return True
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < n:
            return False
        self._tokens -= n
        return True
