"""A gateway's one connection to NATS: opened with the first feed that uses it, closed after the last."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from qcfeed.cluster.connection import NatsConnection, connect
from qcfeed.cluster.link_fault import Link
from qcfeed.config import NatsConfig
from qcfeed.errors import UpstreamError
from qcfeed.feed import backoff

_MAX_PAUSE = 5.0
"""The longest backoff between attempts to connect, in seconds."""
_NOT_NEEDED = "not needed yet"
_RETRIES_WITHIN = 40.0
"""Seconds after the end of a feed within which it may be retried: the longest backoff is 30 s."""


class SharedConnection:
    """``begin`` is called with each new connection before it is used. ``current`` is None while there is none."""

    def __init__(
        self,
        urls: Sequence[str],
        config: NatsConfig,
        name: str,
        link: Link,
        begin: Callable[[NatsConnection], Awaitable[None]],
    ) -> None:
        self.current: NatsConnection | None = None
        self.tasks: set[asyncio.Task[None]] = set()
        """Tasks that use it; they are joined when it is closed."""
        self.reconnects = 0
        self.lost_at: float | None = None
        """``time.monotonic()`` when the last loss was noticed."""
        self.detail = _NOT_NEEDED
        """Why there is no connection."""
        self._urls = list(urls)
        self._config = config
        self._name = name
        self._link = link
        self._begin = begin
        self._lock = asyncio.Lock()
        self._users = 0
        self._attempt = 0
        self._not_before = 0.0
        self._last_used_at = -_RETRIES_WITHIN
        self._slow_drops = 0

    @property
    def slow_drops(self) -> int:
        """Messages dropped because too many waited, over all connections since the start."""
        current = self.current
        return self._slow_drops + (0 if current is None else current.slow_drops)

    def needed(self, now: float) -> bool:
        """Whether feeds use the connection, or did a moment ago: they may be waiting to retry."""
        return self._users > 0 or now - self._last_used_at < _RETRIES_WITHIN

    @contextlib.asynccontextmanager
    async def use(self) -> AsyncIterator[NatsConnection]:
        """The connection, which stays while at least one feed uses it. Raises UpstreamError."""
        self._users += 1
        try:
            async with self._lock:
                connection = self.current
                if connection is None or connection.lost:
                    connection = await self._reconnect()
            yield connection
        finally:
            # Noted even if the connection failed: feeds that back off will want it again (``needed``).
            self._users -= 1
            self._last_used_at = time.monotonic()
            if self._users == 0:
                # Checked again under the lock: a feed may have started while another one was connecting.
                async with self._lock:
                    if self._users == 0:
                        await self._disconnect()

    async def close(self) -> None:
        async with self._lock:
            await self._disconnect()

    async def _reconnect(self) -> NatsConnection:
        """Open the connection, not before the backoff is over. Raises UpstreamError."""
        if self.current is not None:
            await self._disconnect()
        loop = asyncio.get_running_loop()
        if self._link.broken:
            raise UpstreamError("the connection to NATS was lost (a drill cuts it)")
        if (pause := self._not_before - loop.time()) > 0:
            raise UpstreamError(f"{self.detail}; next attempt in {pause:.1f} s")
        try:
            connection = await connect(self._urls, self._config, self._name)
            try:
                await self._begin(connection)
            except BaseException:
                await connection.close()
                raise
        except UpstreamError as error:
            wait = backoff.delay(self._attempt, random.random(), cap=_MAX_PAUSE)
            self._not_before, self._attempt = loop.time() + wait, self._attempt + 1
            self.detail = error.message
            raise
        self._urls.append(self._urls.pop(0))  # the next attempt begins with another server
        self._attempt, self.detail = 0, _NOT_NEEDED
        self.current = connection
        return connection

    async def _disconnect(self) -> None:
        """Close the connection, and join what belongs to it."""
        connection, self.current = self.current, None
        if connection is not None:
            self._slow_drops += connection.slow_drops
            if connection.lost:
                self.reconnects += 1
                self.lost_at = time.monotonic()
                self.detail = connection.loss().message
            # The last user of the connection may have ended because its subscription was denied.
            self.detail = connection.denial or self.detail
            await connection.close()
        if self.tasks:
            await asyncio.wait(self.tasks)
