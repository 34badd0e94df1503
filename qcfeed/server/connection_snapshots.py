"""Snapshots of connections: their symbols, their lag, and where unsent data is buffered.

Callable from any thread; a snapshot is taken while the connection goes on. Cost: about 4 us and one
system call per connection. Go through thousands of them in slices (``Ledger.slices``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from qcfeed.feed import flush
from qcfeed.model.symbol import Symbol
from qcfeed.ws.connection import ConnectionState, WebSocketConnection

SLOW_MEMORY = 60.0
"""Seconds for which a connection still counts as slow after it missed a quote."""


@dataclass(frozen=True, slots=True)
class ConnectionSnapshot:
    """One connection at one moment. Times are in seconds, sizes in bytes.

    ``lag``: quotes not sent to it yet. ``lag_bytes``: the quotes kept for it, plus what was written and
    is not in the kernel yet. ``kernel_bytes``: what the kernel holds until the peer acknowledges it;
    None if the kernel does not say. ``since_received``: time since the peer sent any data.
    ``unanswered``: time since it was pinged, if it has not answered; else 0.
    """

    serial: int
    peer: str
    name: str | None
    symbols: list[Symbol]
    policy: str
    compressed: bool
    lag: int
    lag_bytes: int
    kernel_bytes: int | None
    age: float
    stalled: float
    since_received: float
    unanswered: float
    conflated: int
    dropped: int
    slow: bool


def unanswered(connection: WebSocketConnection, now: float) -> float:
    """Seconds for which a ping has not been answered; 0 if none waits for its pong."""
    since = connection.pinged_at
    return 0.0 if since is None else max(0.0, now - since)


def snapshot(connection: WebSocketConnection, now: float) -> ConnectionSnapshot:
    """A snapshot of ``connection`` at ``now``, in loop time."""
    symbol_count = list(connection.subscribers.values())
    since = connection.stalled_since
    backlog = connection.backlog
    lag_total = unsent = 0
    if since is not None:  # a connection that is not stalled has been sent everything
        unsent = connection.unsent
        for subscriber in symbol_count:
            lag, log = subscriber.lag, subscriber.log
            lag_total += lag
            if lag and log is not None:
                unsent += log.size(backlog.retained(lag, len(symbol_count)))
    return ConnectionSnapshot(
        serial=connection.serial,
        peer=connection.peer,
        name=connection.name,
        symbols=[subscriber.symbol for subscriber in symbol_count],
        policy=backlog.policy,
        compressed=connection.compressed,
        lag=lag_total,
        lag_bytes=unsent,
        kernel_bytes=connection.kernel_queue,
        age=max(0.0, now - connection.opened_at),
        stalled=0.0 if since is None else max(0.0, now - since),
        since_received=max(0.0, now - connection.last_received_at),
        unanswered=unanswered(connection, now),
        conflated=backlog.conflated,
        dropped=backlog.dropped,
        slow=is_slow(connection, now),
    )


def is_slow(connection: WebSocketConnection, now: float) -> bool:
    """Whether the connection is stalled, or missed quotes within the last SLOW_MEMORY seconds."""
    lost_at = connection.missed_at
    return connection.stalled_since is not None or (
        lost_at is not None and now - lost_at < SLOW_MEMORY
    )


@dataclass(slots=True)
class LagTotals:
    """The lag of all connections together."""

    slow: int = 0
    """Connections that are stalled now."""
    quotes: int = 0
    """Quotes not sent yet, summed over connections."""
    maximum: int = 0
    """Quotes not sent yet to the connection that is furthest behind."""
    kernel_bytes: int | None = 0
    """Bytes in the kernel for stalled connections; None if it does not say. Others have almost none."""


def lag_totals(connections: Iterable[WebSocketConnection]) -> LagTotals:
    """The totals over ``connections``. Cost while none is slow: 0.1 us per connection."""
    found = LagTotals()
    for connection in list(connections):
        if connection.stalled_since is None or connection.state is not ConnectionState.OPEN:
            continue
        lag = flush.total_lag(connection)
        found.slow += 1
        found.quotes += lag
        found.maximum = max(found.maximum, lag)
        queued = connection.kernel_queue
        if queued is None or found.kernel_bytes is None:
            found.kernel_bytes = None
        else:
            found.kernel_bytes += queued
    return found
