"""Limits the requests of one connection. Time is an argument."""

from __future__ import annotations

from qcfeed.access.client_limits import BURST_S, Excess, take_unlisted, unlisted_feeds
from qcfeed.access.rate_limit import TokenBucket

STRIKES = 10
"""Refusals after which a connection that goes on is closed."""
STRIKE_MEMORY = 10.0
"""Seconds until one refusal is forgotten."""
SYMBOLS_PER_REQUEST = 10
"""Symbols of a request that cost as much as one more request."""
FRAME_COST = 1 / 8
"""The cost of a ping, a pong or a fragment, in requests."""
LEAST_PAUSE, LONGEST_PAUSE = 0.5, 5.0
"""Seconds for which nothing is read from a connection after a refusal."""


class RequestThrottle:
    """``rate``: requests per second; 0 means no limit."""

    __slots__ = ("_rate", "_requests", "_strikes", "_unlisted")

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._requests = TokenBucket(rate, max(1.0, rate * BURST_S), now)
        self._strikes = TokenBucket(1 / STRIKE_MEMORY, STRIKES, now)
        self._unlisted = unlisted_feeds(now)

    def check(self, now: float) -> Excess | None:
        """The excess, if there is not one token left for a request."""
        if wait := self._requests.wait(now):
            return Excess(
                "request_rate",
                f"this connection sends more than {self._rate:g} requests per second",
                wait,
            )
        return None

    def charge(self, now: float, cost: float) -> None:
        """Charge a request; later ones wait correspondingly longer."""
        self._requests.charge(now, cost)

    def open_unlisted(self, now: float) -> Excess | None:
        """Charge a feed whose symbol the upstream may not have."""
        return take_unlisted(self._unlisted, "this connection", now)

    def strike(self, now: float) -> bool:
        """Count a refusal; returns whether there were too many of them."""
        return not self._strikes.take(now)


def pause(wait: float) -> float:
    """Seconds for which nothing is read after a refusal that asks to wait so long."""
    return min(max(wait, LEAST_PAUSE), LONGEST_PAUSE)
