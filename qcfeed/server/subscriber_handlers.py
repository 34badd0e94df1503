"""What the control plane tells and does about subscribers' connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import NamedTuple, cast

import msgspec

from qcfeed.control import routes
from qcfeed.errors import NeedsConfirmationError, UsageError
from qcfeed.feed import flush
from qcfeed.model import symbol as symbols
from qcfeed.model.messages import CloseCode
from qcfeed.model.subscribers import (
    SYMBOLS_SHOWN,
    Kicked,
    KickRequest,
    Subscriber,
    Subscribers,
    SubscribersQuery,
)
from qcfeed.model.symbol import Symbol
from qcfeed.server import connection_snapshots
from qcfeed.server.parts import Parts
from qcfeed.ws.connection import Connection, State

MOST = 100_000
"""Connections that one request may list or end."""

GOODBYE = 2.0
"""Seconds that a kicked peer has to answer the close frame before its socket is reset."""

_TURN = 0.001
"""Seconds of the loop that ending connections takes before everybody else has a turn."""
_REST = 0.004
"""Seconds of that; those who were told to go need the loop too, to be gone."""


class SubscriberViews:
    """The routes about subscribers. Reads look at each connection from the control plane's thread."""

    def __init__(self, parts: Parts) -> None:
        self._gateway = parts.gateway
        self._ledger = parts.ledger
        self._loop = parts.loop

    def table(self) -> Sequence[routes.Route]:
        return [
            routes.Read(routes.SUBSCRIBERS, SubscribersQuery, self.subscribers),
            routes.Action(routes.SUBSCRIBERS_KICK, "subscribers kick", KickRequest, self.kick),
        ]

    def subscribers(self, query: SubscribersQuery) -> Subscribers:
        """Cost: under 1 us a connection, and 15 us each that is listed; in slices.

        Rows are encoded one by one: ten thousand of them, kept as objects, would set off a full
        garbage collection, which stops the service for longer than all the rest.
        """
        slow, others = self._found(_filter(query))
        found = slow + others
        most = min(max(query.limit, 0), MOST)
        now = self._loop.time()
        rows = [
            msgspec.Raw(msgspec.json.encode(_row(each, now)))
            for some in self._ledger.slices(found[:most])
            for each in some
        ]
        return Subscribers(total=len(found), subscribers=cast("list[Subscriber]", rows))

    def _found(self, which: _Filter) -> tuple[list[Connection], list[Connection]]:
        """Those that match: who is behind, the furthest first, and the others, the oldest first."""
        now = self._loop.time()
        slow: list[Connection] = []
        others: list[Connection] = []
        for some in self._ledger.slices(list(self._gateway.connections)):
            for each in some:
                if each.state is State.OPEN and which.matches(each, now):
                    (others if each.stalled_since is None else slow).append(each)
        slow.sort(key=lambda each: (-flush.lag(each), each.serial))
        others.sort(key=lambda each: each.serial)
        return slow, others

    async def kick(self, request: KickRequest) -> Kicked:
        """Tell them to go, a millisecond's worth at a time, and wait until they are gone."""
        wanted = set(request.ids)
        if not 0 < len(wanted) <= MOST:
            raise UsageError(
                f"{len(wanted)} connections were named",
                hint=f"name 1 to {MOST}; `qcfeed subscribers` lists them",
            )
        chosen = [
            each
            for each in self._gateway.connections
            if each.serial in wanted and each.state is State.OPEN
        ]
        if chosen and not request.force:
            raise NeedsConfirmationError(
                f"this would end {len(chosen)} connection{'' if len(chosen) == 1 else 's'}",
                hint="they would get close 4411 and may come back; add --yes to do it",
            )
        await self._close(chosen)
        left = await self._wait(chosen, min(request.timeout_s, 60.0))
        return Kicked(kicked=len(chosen), already_gone=len(wanted) - len(chosen), closing=left)

    async def _close(self, chosen: list[Connection]) -> None:
        since = time.perf_counter()
        for connection in chosen:
            connection.close(
                CloseCode.KICKED,
                "an operator ended this connection: come back after a while",
                within=GOODBYE,
            )
            if time.perf_counter() - since > _TURN:
                await asyncio.sleep(_REST)
                since = time.perf_counter()

    async def _wait(self, chosen: list[Connection], timeout: float) -> list[int]:
        """The numbers of those that are still there after ``timeout`` seconds."""
        deadline = self._loop.time() + timeout
        while chosen and self._loop.time() < deadline:
            await asyncio.sleep(0.02)
            chosen = [each for each in chosen if each.state is not State.CLOSED]
        return sorted(each.serial for each in chosen)


class _Filter(NamedTuple):
    """What is None or false is not asked for."""

    ids: set[int] | None
    slow: bool
    symbol: Symbol | None

    def matches(self, connection: Connection, now: float) -> bool:
        return (
            (self.ids is None or connection.serial in self.ids)
            and (self.symbol is None or self.symbol in connection.held)
            and (not self.slow or connection_snapshots.is_slow(connection, now))
        )


def _filter(query: SubscribersQuery) -> _Filter:
    try:
        ids = {int(each) for each in query.ids.split(",")} if query.ids else None
    except ValueError as error:
        raise UsageError(f"ids={query.ids[:80]!r} are no numbers with commas between") from error
    return _Filter(ids, query.slow, symbols.parse(query.symbol) if query.symbol else None)


def _row(connection: Connection, now: float) -> Subscriber:
    stands = connection_snapshots.stand(connection, now)
    return Subscriber(
        id=stands.serial,
        peer=stands.peer,
        symbols=[str(each) for each in sorted(stands.symbols)[:SYMBOLS_SHOWN]],
        held=len(stands.symbols),
        policy=stands.policy,
        compressed=stands.compressed,
        lag=stands.lag,
        lag_bytes=stands.lag_bytes,
        kernel_bytes=stands.kernel_bytes,
        age_s=stands.age,
        stalled_s=stands.stalled,
        heard_s=stands.heard,
        conflated=stands.conflated,
        dropped=stands.dropped,
        slow=stands.slow,
    )
