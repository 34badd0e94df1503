"""The control plane's handlers for subscribers' connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import NamedTuple, cast

import msgspec

from qcfeed.control import routes
from qcfeed.control.routes import Route
from qcfeed.errors import NeedsConfirmationError, UsageError
from qcfeed.feed import flush
from qcfeed.model import symbol as symbols
from qcfeed.model.messages import CloseCode
from qcfeed.model.subscribers import (
    SYMBOLS_SHOWN,
    Kicked,
    KickRequest,
    Subscribers,
    SubscribersQuery,
    SubscriberStatus,
)
from qcfeed.model.symbol import Symbol
from qcfeed.server import connection_snapshots
from qcfeed.server.service_parts import ServiceParts
from qcfeed.ws.connection import ConnectionState, WebSocketConnection

MAX_CONNECTIONS = 100_000
"""Connections that one request may list or close."""

KICK_GRACE = 2.0
"""Seconds a kicked client has to answer the close frame before its socket is reset."""

_CLOSE_SLICE = 0.001
"""Seconds for which closing connections may occupy the loop before it pauses."""
_CLOSE_PAUSE = 0.004
"""Seconds of the pause, in which the loop handles the kicked clients' close frames too."""


class SubscriberHandlers:
    """The routes for subscribers. Reads run in the control plane's thread."""

    def __init__(self, parts: ServiceParts) -> None:
        self._gateway = parts.gateway
        self._ledger = parts.ledger
        self._loop = parts.loop

    def routes(self) -> Sequence[Route]:
        return [
            routes.ReadRoute(routes.SUBSCRIBERS, SubscribersQuery, self.subscribers),
            routes.ActionRoute(routes.SUBSCRIBERS_KICK, "subscribers kick", KickRequest, self.kick),
        ]

    def subscribers(self, query: SubscribersQuery) -> Subscribers:
        """List connections. Cost: below 1 us per connection, plus 15 us per listed one, in slices.

        Rows are encoded one by one: ten thousand of them, kept as objects, would trigger a full
        garbage collection, which stops the service for longer than everything else here.
        """
        slow, others = self._matching(_filter(query))
        found = slow + others
        most = min(max(query.limit, 0), MAX_CONNECTIONS)
        now = self._loop.time()
        rows = [
            msgspec.Raw(msgspec.json.encode(_row(each, now)))
            for batch in self._ledger.turns.slices(found[:most])
            for each in batch
        ]
        return Subscribers(total=len(found), subscribers=cast("list[SubscriberStatus]", rows))

    def _matching(
        self, wanted: _Filter
    ) -> tuple[list[WebSocketConnection], list[WebSocketConnection]]:
        """Matching connections: the stalled ones by descending lag, and the others, oldest first."""
        now = self._loop.time()
        slow: list[WebSocketConnection] = []
        others: list[WebSocketConnection] = []
        for batch in self._ledger.turns.slices(list(self._gateway.connections)):
            for each in batch:
                if each.state is ConnectionState.OPEN and wanted.matches(each, now):
                    (others if each.stalled_since is None else slow).append(each)
        slow.sort(key=lambda each: (-flush.total_lag(each), each.serial))
        others.sort(key=lambda each: each.serial)
        return slow, others

    async def kick(self, request: KickRequest) -> Kicked:
        """Close connections, in slices of a millisecond, and wait until their sockets are closed."""
        wanted = set(request.ids)
        if not 0 < len(wanted) <= MAX_CONNECTIONS:
            raise UsageError(
                f"{len(wanted)} connections given",
                hint=f"give 1 to {MAX_CONNECTIONS}; `qcfeed subscribers` lists them",
            )
        chosen = [
            each
            for each in self._gateway.connections
            if each.serial in wanted and each.state is ConnectionState.OPEN
        ]
        if chosen and not request.force:
            raise NeedsConfirmationError(
                f"this would close {len(chosen)} connection{'' if len(chosen) == 1 else 's'}",
                hint="they get close code 4411 and may reconnect; add --yes to proceed",
            )
        await self._close(chosen)
        left = await self._wait(chosen, min(request.timeout_s, 60.0))
        return Kicked(kicked=len(chosen), already_gone=len(wanted) - len(chosen), closing=left)

    async def _close(self, chosen: list[WebSocketConnection]) -> None:
        since = time.perf_counter()
        for connection in chosen:
            connection.close(
                CloseCode.KICKED,
                "an operator closed this connection: reconnect after a while",
                within=KICK_GRACE,
            )
            if time.perf_counter() - since > _CLOSE_SLICE:
                await asyncio.sleep(_CLOSE_PAUSE)
                since = time.perf_counter()

    async def _wait(self, chosen: list[WebSocketConnection], timeout: float) -> list[int]:
        """The ids of the connections that are still open after ``timeout`` seconds."""
        deadline = self._loop.time() + timeout
        while chosen and self._loop.time() < deadline:
            await asyncio.sleep(0.02)
            chosen = [each for each in chosen if each.state is not ConnectionState.CLOSED]
        return sorted(each.serial for each in chosen)


class _Filter(NamedTuple):
    """Which connections a query asks for; None and False mean no restriction."""

    ids: set[int] | None
    slow: bool
    symbol: Symbol | None
    unanswered_s: float

    def matches(self, connection: WebSocketConnection, now: float) -> bool:
        return (
            (self.ids is None or connection.serial in self.ids)
            and (self.symbol is None or self.symbol in connection.subscribers)
            and (not self.slow or connection_snapshots.is_slow(connection, now))
            and self.unanswered_s <= connection_snapshots.unanswered(connection, now)
        )


def _filter(query: SubscribersQuery) -> _Filter:
    try:
        ids = {int(each) for each in query.ids.split(",")} if query.ids else None
    except ValueError as error:
        raise UsageError(f"ids={query.ids[:80]!r} must be numbers separated by commas") from error
    symbol = symbols.parse(query.symbol) if query.symbol else None
    return _Filter(ids, query.slow, symbol, query.unanswered_s)


def _row(connection: WebSocketConnection, now: float) -> SubscriberStatus:
    snapshot = connection_snapshots.snapshot(connection, now)
    return SubscriberStatus(
        id=snapshot.serial,
        peer=snapshot.peer,
        name=snapshot.name,
        symbols=[str(each) for each in sorted(snapshot.symbols)[:SYMBOLS_SHOWN]],
        held=len(snapshot.symbols),
        policy=snapshot.policy,
        compressed=snapshot.compressed,
        lag=snapshot.lag,
        lag_bytes=snapshot.lag_bytes,
        kernel_bytes=snapshot.kernel_bytes,
        age_s=snapshot.age,
        stalled_s=snapshot.stalled,
        heard_s=snapshot.since_received,
        unanswered_s=snapshot.unanswered,
        conflated=snapshot.conflated,
        dropped=snapshot.dropped,
        slow=snapshot.slow,
    )
