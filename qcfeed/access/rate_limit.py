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

    def take(self, now: float, n: float = 1) -> bool:
        """Take ``n`` tokens if there are enough; returns whether there were."""
        if self.wait(now, n) > 0:
            return False
        self.charge(now, n)
        return True

    def wait(self, now: float, n: float = 1) -> float:
        """Seconds until ``n`` tokens are there; 0 if they are there now. Takes none."""
        if self._rate == 0:
            return 0.0
        self._refill(now)
        return max(0.0, n - self._tokens) / self._rate

    def charge(self, now: float, n: float) -> None:
        """Take ``n`` tokens even if there are fewer; later events wait correspondingly longer."""
        if self._rate != 0:
            self._refill(now)
            self._tokens -= n

    def is_full(self, now: float) -> bool:
        """Whether the bucket is full, as if it had never been used."""
        if self._rate == 0:
            return True
        self._refill(now)
        return self._tokens >= self._burst

    def _refill(self, now: float) -> None:
        # ``max``: a clock that went back must not take tokens away.
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._at) * self._rate)
        self._at = now
