"""Spreads the cost of TLS handshakes over the turns of the loop.

A handshake takes 0.3 to 1.5 ms of computing. After a restart thousands of clients connect at once, and
without a limit per turn the others would get no quotes meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

_LEAST_TIME = 0.002
"""Seconds of each turn that handshakes may take. One step is always done."""
_TIME_SHARE = 0.5
"""When turns are long, handshakes may take this share of the time since they were interrupted: a third of all.

With a smaller share, a thousand clients that reconnect after a restart would wait for many seconds.
"""


class Handshaking(Protocol):
    """A connection whose handshake is not complete."""

    def continue_handshake(self) -> None:
        """Do the next step with what the peer has sent. Must not raise."""


class HandshakeQueue:
    """Connections whose peer has sent the next part of its handshake, in the order of arrival."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Handshaking] = deque()
        self._scheduled = False
        self._interrupted_at: float | None = None
        """Loop time at which the last turn stopped although more were waiting."""

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, connection: Handshaking) -> None:
        """Let ``connection`` continue soon. It may be added again only after that."""
        self._waiting.append(connection)
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._run)

    def _run(self) -> None:
        self._scheduled = False
        now, interrupted_at = self._loop.time(), self._interrupted_at
        share = 0.0 if interrupted_at is None else (now - interrupted_at) * _TIME_SHARE
        until = now + max(_LEAST_TIME, share)
        self._interrupted_at = None
        try:
            while self._waiting:
                self._waiting.popleft().continue_handshake()
                if (now := self._loop.time()) >= until:
                    break
        finally:
            # In ``finally``, because a bug in one connection must not end the handshakes of all.
            if self._waiting:
                self._interrupted_at = now
                self._schedule()
