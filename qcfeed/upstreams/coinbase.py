"""The Coinbase Exchange public feed: one connection, shared by all feeds.

Reconnecting: when the connection is lost, every feed's ``run`` raises UpstreamError, so each feed
shows the failure and backs off by itself. The first feed that retries opens a new connection, which
the others share. The connection has a backoff of its own (jittered, at most 5 s), so any number of
retrying feeds make only one attempt at a time. After the last feed has ended, the connection is closed
and its task is joined.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Callable
from functools import partial
from typing import NoReturn

import aiohttp

from qcfeed.diagnostics import label, owned_by
from qcfeed.errors import UpstreamError
from qcfeed.feed import backoff
from qcfeed.model.symbol import Symbol
from qcfeed.upstreams import coinbase_products
from qcfeed.upstreams.base import Sink, Upstream, UpstreamHealth
from qcfeed.upstreams.coinbase_connection import CoinbaseConnection, connect
from qcfeed.upstreams.coinbase_feed import CoinbaseFeed, WantedFeeds
from qcfeed.upstreams.coinbase_products import ProductList
from qcfeed.upstreams.timestamps import Timestamps

ENDPOINT = "wss://ws-feed.exchange.coinbase.com"

_MAX_PAUSE = 5.0
"""The longest backoff of the connection, in seconds."""
_PRODUCT = re.compile(r"[A-Z0-9]+-[A-Z0-9]+")


class Coinbase(Upstream):
    """``coinbase:``, see the module. ``silence``: seconds without a message that count as a loss.

    ``products``: the URL of the list of products of another server than Coinbase's.

    ``closed`` is true after ``close``; it tells diagnostics that a task still alive is an orphan.
    """

    def __init__(
        self,
        url: str = ENDPOINT,
        *,
        products: str | None = None,
        silence: float = 10.0,
        clock: Callable[[], int] = time.time_ns,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.name = "coinbase:" if url == ENDPOINT else f"coinbase+{url}"
        self._url = url
        self._products = ProductList(coinbase_products.ENDPOINT if url == ENDPOINT else products)
        self.silence = silence
        self._stamp = Timestamps(clock)
        self._draw = draw
        self.closed = False
        self._wanted = WantedFeeds()
        self._connection: CoinbaseConnection | None = None
        """The open connection; None while there is none."""
        self._task: asyncio.Task[UpstreamError] | None = None
        self._connection_lock = asyncio.Lock()
        self._attempt = 0
        self._not_before = 0.0
        self._lost = False
        self._health = UpstreamHealth(connected=False, detail="not needed yet")

    def knows(self, symbol: Symbol) -> bool:
        """Whether the exchange lists the symbol; while its list is not known, whether it is a pair."""
        if self._products.names is not None:
            return symbol in self._products.names
        return _PRODUCT.fullmatch(symbol) is not None

    def lists(self, symbol: Symbol) -> bool:
        return self._products.exists(symbol)

    @property
    def subscribed(self) -> dict[str, CoinbaseFeed]:
        """The feeds whose products were requested on the current connection."""
        return {} if self._connection is None else self._connection.subscribed

    def health(self) -> UpstreamHealth:
        return self._health

    async def run(self, symbol: Symbol, sink: Sink) -> None:
        feed = CoinbaseFeed(symbol, sink, asyncio.get_running_loop())
        self._wanted.add(feed)
        connection = self._ensure_connection()
        try:
            # ``wait`` leaves the connection alone when this feed is cancelled; awaiting it would
            # cancel it for all feeds.
            await asyncio.wait((connection, feed.failure), return_when=asyncio.FIRST_COMPLETED)
            raise (
                feed.failure.result() if feed.failure.done() else self._connection_error(connection)
            )
        finally:
            self._wanted.remove(feed)
            if not self._wanted.feeds:
                await self._close_connection()

    async def close(self) -> None:
        self.closed = True
        await self._close_connection()

    def __str__(self) -> str:
        return f"upstream {self.name}"

    # ------------------------------------------------------------ the connection's task

    def _ensure_connection(self) -> asyncio.Task[UpstreamError]:
        """The connection's task; starts a new one if there is none or it is ending."""
        connection = self._task
        if connection is None or connection.done() or connection.cancelling():
            # The task serves all feeds, so it must not inherit owner and label of the feed that starts it.
            with owned_by(self), label(symbol=None):
                connection = self._task = asyncio.create_task(
                    self._run_connection(), name="coinbase"
                )
        return connection

    async def _close_connection(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    def _connection_error(self, connection: asyncio.Task[UpstreamError]) -> UpstreamError:
        """The error with which one feed ends after the connection has ended.

        Each feed raises its own: a shared exception would accumulate the tracebacks of all feeds.
        """
        if connection.cancelled():
            return UpstreamError(f"the connection to {self._url} was closed")
        error = connection.result()
        return UpstreamError(error.message, hint=error.hint)

    async def _run_connection(self) -> UpstreamError:
        """Wait for the backoff, run one connection, and return the error that ended it."""
        loop = asyncio.get_running_loop()
        ended = "not needed now"
        # The previous task may still be closing its socket.
        async with self._connection_lock:
            await asyncio.sleep(self._not_before - loop.time())
            began = loop.time()
            try:
                return await self._exchange()
            except UpstreamError as error:
                ended = error.message
                self._lost = True
                attempt = 0 if loop.time() - began > _MAX_PAUSE else self._attempt
                self._attempt = attempt + 1
                pause = backoff.delay(attempt, self._draw(), cap=_MAX_PAUSE)
                self._not_before = loop.time() + pause
                return error
            finally:
                self._connection = None
                self._set_health(connected=False, detail=ended)

    async def _exchange(self) -> NoReturn:
        async with (
            aiohttp.ClientSession() as session,
            await connect(session, self._url, self.silence) as socket,
        ):
            is_reconnect, self._lost = self._lost, False
            self._set_health(connected=True, reconnects=int(is_reconnect))
            self._connection = CoinbaseConnection(
                socket,
                self._url,
                self._wanted,
                self._products,
                silence=lambda: self.silence,
                stamp=self._stamp,
                count=partial(self._set_health, connected=True),
            )
            await self._connection.run(session)

    def _set_health(
        self,
        *,
        connected: bool,
        reconnects: int = 0,
        gaps: int = 0,
        invalid: int = 0,
        detail: str = "",
    ) -> None:
        """Replace the health object as a whole, so other threads always read a consistent one."""
        was = self._health
        self._health = UpstreamHealth(
            connected,
            was.reconnects + reconnects,
            was.gaps + gaps,
            was.invalid_messages + invalid,
            detail,
        )
