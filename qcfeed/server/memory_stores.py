"""The places where the service keeps data, for ``qcfeed memory``. From any thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from qcfeed.diagnostics.held_memory import held_by
from qcfeed.diagnostics.memory_report import OWN_STORE, Store
from qcfeed.diagnostics.object_sizes import ObjectSizes
from qcfeed.feed import flush
from qcfeed.formats import count, plural, size
from qcfeed.server.service_parts import ServiceParts
from qcfeed.ws.connection import WebSocketConnection

SAMPLE = 64
"""Connections that are measured."""
TLS_BYTES = 13_700
"""What OpenSSL 3.0 allocates for one connection, outside of Python's objects; measured as ADR 36 says."""


def service_stores(
    parts: ServiceParts, own: Callable[[], Sequence[Any]]
) -> Callable[[ObjectSizes], list[Store]]:
    """The stores of a service. ``own``: the objects of its diagnostics: ledger, history, log lines."""

    def stores(sizes: ObjectSizes) -> list[Store]:
        connections = list(parts.gateway.connections)
        stalled = [each for each in connections if each.stalled_since is not None]
        found = [
            _feed_logs(parts, connections),
            _unsent(stalled, sizes),
            _connections(parts, connections, sizes),
            Store(OWN_STORE, own(), outside=[parts.loop, parts.hub, parts.gateway]),
        ]
        if parts.tls() is not None:
            found.append(
                Store(
                    "TLS",
                    items=len(connections),
                    bytes=TLS_BYTES * len(connections),
                    note=f"estimated at {size(TLS_BYTES)} per connection",
                )
            )
        return found

    return stores


def _feed_logs(parts: ServiceParts, connections: list[WebSocketConnection]) -> Store:
    """The quotes that some subscriber still has to read."""
    logs = [feed.log for feed in list(parts.hub.feeds.values())]
    found = Store("feed logs", logs, items=sum(map(len, logs)))
    lag, slowest = 0, None
    for some in parts.ledger.turns.slices(connections if found.items else []):
        for each in some:
            if (behind := flush.total_lag(each)) > lag:
                lag, slowest = behind, each
    if slowest is not None:
        found.note = f"subscriber {slowest.serial} is {count(lag)} quotes behind"
    return found


def _unsent(stalled: list[WebSocketConnection], sizes: ObjectSizes) -> Store:
    """Bytes written to connections that the kernel has not accepted yet, so they are in the process."""
    buffers = [(each, each.transport.unsent_buffer) for each in stalled]
    found = [(sizes.of(buffer), each) for each, buffer in buffers if buffer is not None]
    most = max(found, key=lambda pair: pair[0], default=None)
    return Store(
        "unsent data of slow subscribers",
        items=len(found),
        bytes=sum(taken for taken, _ in found),
        counted=[buffer for _, buffer in buffers if buffer is not None],
        note="" if most is None else f"subscriber {most[1].serial}: {size(most[0])}",
    )


def _connections(parts: ServiceParts, all_: list[WebSocketConnection], sizes: ObjectSizes) -> Store:
    """Connections with their transports, sockets and subscriptions, without what is unsent."""
    step = max(1, len(all_) // SAMPLE)
    sampled, total = 0, 0.0
    for each in all_[::step][:SAMPLE]:
        parts.ledger.turns.let_loop_run()
        held = held_by(each, each.transport, *list(each.subscribers.values()), sizes=sizes)
        unsent = each.transport.unsent_buffer
        total += held.bytes - (0 if unsent is None else sizes.of(unsent))
        sampled += 1
    return Store(
        "connections",
        items=len(all_),
        bytes=total / sampled * len(all_) if sampled else 0.0,
        counted=[*all_, *(each.transport for each in all_)],
        note=f"with {plural(parts.hub.subscriptions, 'subscription')}" if all_ else "",
    )
