"""Whose time is up: a head that does not come, a pong, data that is not taken, a close not answered."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable

from qcfeed.config import Config
from qcfeed.model.messages import CloseCode
from qcfeed.ws.connection import Connection, State
from qcfeed.ws.pending import PendingConnection

_BUCKETS = 8
DUE_A_TURN = 16
"""Connections that a sweep ends or pings in one turn of the loop: with what their ends take, a millisecond."""


class Timeouts:
    """Looks at every connection often enough, and at a few at a time.

    ``pending`` are the newcomers, in the order of their deadlines.
    """

    def __init__(self, config: Config, pending: Iterable[PendingConnection]) -> None:
        self._config = config
        self._pending = pending
        self._loop = asyncio.get_running_loop()
        self._wheel: list[set[Connection]] = [set() for _ in range(_BUCKETS)]
        self._hand = 0
        self._unseen: list[Connection] = []
        """Of those whose turn it is to be looked at."""
        self._next_sweep = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """How many connections it looks at."""
        return sum(map(len, self._wheel))

    def add(self, connection: Connection) -> None:
        self._wheel[connection.serial % _BUCKETS].add(connection)

    def discard(self, connection: Connection) -> None:
        self._wheel[connection.serial % _BUCKETS].discard(connection)

    def start(self) -> None:
        """Sweep from now on, again and again."""
        self._sweep()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _sweep(self) -> None:
        """Look at an eighth of the connections; each is looked at four times in its shortest time.

        Thousands may be due at once (all whom a kick told to go, and who do not answer): only so many
        are ended in one turn of the loop, and the next turn goes on with the rest.
        """
        now = self._loop.time()
        if not self._unseen:
            shortest = min(self._config.stall_timeout, self._config.ping_interval or 60.0, 5.0)
            self._next_sweep = now + shortest / 4 / _BUCKETS
            self._hand = (self._hand + 1) % _BUCKETS
            self._unseen = list(self._wheel[self._hand])
        due = self._end_overdue(now)
        try:
            while self._unseen and due < DUE_A_TURN:
                due += self.look_at(self._unseen.pop(), now)
        finally:
            again = now if self._unseen or due >= DUE_A_TURN else self._next_sweep
            self._timer = self._loop.call_at(again, self._sweep)

    def _end_overdue(self, now: float) -> int:
        """Newcomers who have said nothing whole in time; how many they were."""
        overdue = itertools.takewhile(lambda each: each.deadline <= now, self._pending)
        some = list(itertools.islice(overdue, DUE_A_TURN))
        for pending in some:
            pending.abort()
        return len(some)

    def look_at(self, connection: Connection, now: float) -> bool:
        """Whether its time was up, for one thing or another."""
        patience = self._config.stall_timeout
        if connection.state is not State.OPEN:
            if due := connection.deadline is not None and now >= connection.deadline:
                connection.abort("timeout")
        elif connection.stalled_since is not None:
            connection.look(now)
            if due := now - connection.moved_at >= patience:
                connection.abort(str(int(CloseCode.TOO_SLOW)))
        elif connection.pinged_at is not None:
            if due := now - connection.pinged_at >= patience:
                connection.close(CloseCode.NO_PONG, f"no pong within {patience:g} s")
        else:
            interval = self._config.ping_interval
            if due := bool(interval) and now - connection.heard_at >= interval:
                connection.ping()
        return due
