"""Enforces the timeouts of connections: request head, pong, write and close."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable

from qcfeed.config import Config
from qcfeed.model.messages import CloseCode
from qcfeed.ws.connection import ConnectionState, WebSocketConnection
from qcfeed.ws.pending import PendingConnection

_BUCKETS = 8
"""Parts into which the connections are divided; each sweep checks one."""
MAX_DUE_PER_TURN = 16
"""Connections a sweep closes or pings per turn of the loop: about a millisecond, with their closing."""


class Timeouts:
    """Checks every connection regularly, an eighth of them per sweep.

    ``pending`` must iterate in the order of the deadlines. ``check_session`` checks a connection that has
    a session, and returns whether something was due.
    """

    def __init__(
        self,
        config: Config,
        pending: Iterable[PendingConnection],
        check_session: Callable[[WebSocketConnection], bool],
    ) -> None:
        self._check_session = check_session
        self._config = config
        self._pending = pending
        self._loop = asyncio.get_running_loop()
        self._wheel: list[set[WebSocketConnection]] = [set() for _ in range(_BUCKETS)]
        self._hand = 0
        self._to_check: list[WebSocketConnection] = []
        """Connections of the current bucket that are not checked yet."""
        self._next_sweep = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """The number of connections under watch."""
        return sum(map(len, self._wheel))

    def add(self, connection: WebSocketConnection) -> None:
        # By serial number: thousands that connect at once are spread over all sweeps.
        self._wheel[connection.serial % _BUCKETS].add(connection)

    def discard(self, connection: WebSocketConnection) -> None:
        self._wheel[connection.serial % _BUCKETS].discard(connection)

    def start(self) -> None:
        """Start the periodic sweeps."""
        self._sweep()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _sweep(self) -> None:
        """Check one bucket; each connection is checked four times within its shortest timeout.

        Thousands may be due at once, for example when none answers the close frame of `subscribers kick`. Only
        MAX_DUE_PER_TURN are closed per turn of the loop; the next turn continues with the rest.
        """
        now = self._loop.time()
        if not self._to_check:
            shortest = min(self._config.stall_timeout, self._config.ping_interval or 60.0, 5.0)
            self._next_sweep = now + shortest / 4 / _BUCKETS
            self._hand = (self._hand + 1) % _BUCKETS
            self._to_check = list(self._wheel[self._hand])
        due = self._end_overdue(now)
        try:
            while self._to_check and due < MAX_DUE_PER_TURN:
                due += self.check(self._to_check.pop(), now)
        finally:
            # In ``finally``, because a bug in one check must not end all timeouts.
            again = now if self._to_check or due >= MAX_DUE_PER_TURN else self._next_sweep
            self._timer = self._loop.call_at(again, self._sweep)

    def _end_overdue(self, now: float) -> int:
        """Abort pending connections past their deadline; returns how many."""
        overdue = itertools.takewhile(lambda each: each.deadline <= now, self._pending)
        due = list(itertools.islice(overdue, MAX_DUE_PER_TURN))
        for pending in due:
            pending.expire()
        return len(due)

    def check(self, connection: WebSocketConnection, now: float) -> bool:
        """Enforce the timeouts of one connection; returns whether one of them was due."""
        patience = self._config.stall_timeout
        if connection.state is not ConnectionState.OPEN:
            if due := connection.deadline is not None and now >= connection.deadline:
                connection.abort("timeout")
        elif connection.session is not None and self._check_session(connection):
            due = True
        elif connection.stalled_since is not None:
            # Before the pong: a ping waits behind unread quotes, so only progress shows that the peer is there.
            connection.check_progress(now)
            if due := now - connection.progress_at >= patience:
                connection.abort(str(int(CloseCode.TOO_SLOW)))
        elif connection.pinged_at is not None:
            if due := now - connection.pinged_at >= patience:
                connection.close(CloseCode.NO_PONG, f"no pong within {patience:g} s")
        else:
            interval = self._config.ping_interval
            if due := bool(interval) and now - connection.last_received_at >= interval:
                connection.ping()
        return due
