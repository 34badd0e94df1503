"""Applies the limits of requests per second: of the connection, and of its clients.

A refused request is answered with one error, and nothing is read from the connection for a moment. So
a client that floods the service costs one message per pause, and its data waits in its own kernel.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import ParamSpec

from qcfeed.access.client_limits import Excess
from qcfeed.access.rate_limit import TokenBucket
from qcfeed.access.request_throttle import RequestThrottle, pause
from qcfeed.config import Config
from qcfeed.model.messages import CloseCode, Error
from qcfeed.ws.connection import WebSocketConnection

TIME_SHARE, TIME_BURST = 0.2, 0.02
"""The share of the loop's time that all requests together may take, and the seconds at once.

The rest is for quotes. Requests above it wait unread, without an error: the client need not be at fault.
"""
LEAST_WAIT = 0.01
"""Seconds that a request waits at least, so that the timers of thousands of waiting requests cost little."""
CLOSE_WITHIN = 2.0
"""Seconds that a connection has to answer the close frame for too many requests."""

Params = ParamSpec("Params")


class RequestLimits:
    """``count``: counts a refusal, by its code."""

    def __init__(
        self, config: Config, now: Callable[[], float], count: Callable[[str], None]
    ) -> None:
        self._rate = config.request_rate
        self._now = now
        self._count = count
        self._time = TokenBucket(TIME_SHARE, TIME_BURST, now())
        """The seconds that requests may take."""

    def timed(
        self, answer: Callable[Params, object], *request: Params.args, **no: Params.kwargs
    ) -> None:
        """Answer a request, and charge the processor time that it takes."""
        since = time.thread_time()
        try:
            answer(*request, **no)
        finally:
            self._time.charge(self._now(), time.thread_time() - since)

    def busy_for(self) -> float:
        """Seconds for which requests should wait, because they have used their share of the time; or 0."""
        wait = self._time.wait(self._now(), 0)
        return wait and max(wait, LEAST_WAIT)

    def admit(self, connection: WebSocketConnection, cost: float = 1.0) -> bool:
        """Charge a request; if there were too many, tell the client, and pause or close it."""
        excess = self._excess(connection, cost)
        if excess is None:
            return True
        self._count(excess.code)
        if self._throttle(connection).strike(self._now()):
            connection.close(CloseCode.TOO_MANY_REQUESTS, excess.message, within=CLOSE_WITHIN)
            connection.pause_input(2 * CLOSE_WITHIN)  # what it still sends is never read
        else:
            connection.send(error(excess))
            connection.pause_input(pause(excess.wait))
        return False

    def charge(self, connection: WebSocketConnection, cost: float) -> None:
        """Charge a request that turned out to cost more; the next one waits for as much longer."""
        now = self._now()
        self._throttle(connection).charge(now, cost)
        for client in connection.clients:
            client.charge_request(now, cost)

    def _excess(self, connection: WebSocketConnection, cost: float) -> Excess | None:
        now = self._now()
        throttle = self._throttle(connection)
        if excess := throttle.check(now):
            return excess
        for client in connection.clients:
            if excess := client.check_request(now):
                return excess
        self.charge(connection, cost)
        return None

    def _throttle(self, connection: WebSocketConnection) -> RequestThrottle:
        if connection.throttle is None:
            connection.throttle = RequestThrottle(self._rate, self._now())
        return connection.throttle


def error(excess: Excess, symbol: str | None = None) -> Error:
    """The error message for a limit that is reached."""
    return Error(
        excess.code,
        excess.message,
        symbol,
        retryable=excess.wait > 0,
        retry_after_ms=math.ceil(excess.wait * 1000),
    )
