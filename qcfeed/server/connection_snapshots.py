"""How each connection stands: what it holds, how far it is behind, and what waits for it where.

Callable from any thread: each connection is looked at as it is just then. Cost: about 4 us each and
a system call; thousands are to be gone through in slices (``Ledger.slices``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from qcfeed.feed import flush
from qcfeed.model.symbol import Symbol
from qcfeed.ws.connection import Connection, State

LATELY = 60.0
"""Seconds for which a connection counts as slow after it missed a quote."""


@dataclass(frozen=True, slots=True)
class ConnectionSnapshot:
    """One connection. Times are in seconds, sizes in bytes.

    ``lag``: quotes it has not had yet; ``lag_bytes``: what of them is kept for it, and what was
    written and has not left for the kernel. ``kernel_bytes``: what the kernel keeps until its peer
    has taken it; None where the kernel does not say. ``heard``: since it said anything, a pong too.
    """

    serial: int
    peer: str
    symbols: list[Symbol]
    policy: str
    compressed: bool
    lag: int
    lag_bytes: int
    kernel_bytes: int | None
    age: float
    stalled: float
    heard: float
    conflated: int
    dropped: int
    slow: bool


def stand(connection: Connection, now: float) -> ConnectionSnapshot:
    """How ``connection`` stands at ``now``, in loop time."""
    holds = list(connection.held.values())
    since = connection.stalled_since
    backlog = connection.backlog
    waiting = unsent = 0
    if since is not None:  # else it has had everything
        unsent = connection.unsent
        for hold in holds:
            lag, log = hold.lag, hold.log
            waiting += lag
            if lag and log is not None:
                unsent += log.size(backlog.keeps(lag, len(holds)))
    return ConnectionSnapshot(
        serial=connection.serial,
        peer=connection.peer,
        symbols=[hold.symbol for hold in holds],
        policy=backlog.policy,
        compressed=connection.compressed,
        lag=waiting,
        lag_bytes=unsent,
        kernel_bytes=connection.kernel_queue,
        age=max(0.0, now - connection.opened_at),
        stalled=0.0 if since is None else max(0.0, now - since),
        heard=max(0.0, now - connection.heard_at),
        conflated=backlog.conflated,
        dropped=backlog.dropped,
        slow=is_slow(connection, now),
    )


def is_slow(connection: Connection, now: float) -> bool:
    """Whether it is behind, or missed quotes lately."""
    lost_at = connection.lost_at
    return connection.stalled_since is not None or (lost_at is not None and now - lost_at < LATELY)


@dataclass(slots=True)
class Lags:
    """All connections together: who is slow now, and what waits for them."""

    slow: int = 0
    """Connections that take nothing just now."""
    quotes: int = 0
    most: int = 0
    """Quotes that the one furthest behind has not had."""
    kernel_bytes: int | None = 0
    """Over those that are slow, and None where the kernel does not say; the others have next to nothing."""


def lags(connections: Iterable[Connection]) -> Lags:
    """Cheap while nobody is slow: 0.1 us a connection."""
    found = Lags()
    for connection in list(connections):
        if connection.stalled_since is None or connection.state is not State.OPEN:
            continue
        lag = flush.lag(connection)
        found.slow += 1
        found.quotes += lag
        found.most = max(found.most, lag)
        queued = connection.kernel_queue
        if queued is None or found.kernel_bytes is None:
            found.kernel_bytes = None
        else:
            found.kernel_bytes += queued
    return found
