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
from typing import NoReturn

import aiohttp

from qcfeed.diagnostics import label, owned_by
from qcfeed.errors import QcfeedError, UnknownSymbolError, UpstreamError
from qcfeed.feed import backoff
from qcfeed.model.messages import Tick
from qcfeed.model.symbol import Symbol
from qcfeed.upstreams import coinbase_messages as protocol
from qcfeed.upstreams import coinbase_products, proxy
from qcfeed.upstreams.base import Sink, Upstream, UpstreamHealth
from qcfeed.upstreams.coinbase_big_messages import LONG, SliceWorker, open_long
from qcfeed.upstreams.coinbase_feed import CoinbaseFeed
from qcfeed.upstreams.coinbase_products import ProductList
from qcfeed.upstreams.timestamps import Timestamps

ENDPOINT = "wss://ws-feed.exchange.coinbase.com"

_CONNECT_TIMEOUT = 10.0
_CLOSE_TIMEOUT = 2.0
_MAX_PAUSE = 5.0
_BATCH_DELAY = 0.05
"""Seconds for which subscriptions are collected into one request; the exchange allows 100 per second."""
_MAX_MESSAGE = 16 * 1024 * 1024
"""Maximum bytes of a message; snapshots of the largest books have several megabytes."""
_SINGLE_REQUESTS = 4
"""Requests for one product each that are sent within ``_BATCH_DELAY``: 80 per second."""
_MAX_REASON = 300
"""Characters of the exchange's reason for a refusal that are told."""
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
        self._accepted: set[str] = set()
        """Products that the exchange has accepted before."""
        self.silence = silence
        self._stamp = Timestamps(clock)
        self._draw = draw
        self.closed = False
        self._feeds: dict[str, CoinbaseFeed] = {}
        self.subscribed: dict[str, CoinbaseFeed] = {}
        """The feeds whose products were requested on the current connection."""
        self._pending: dict[str, list[str]] = {}
        """Products whose subscription is not answered yet, each with all products of its request."""
        self._slices = self._slice_worker()
        """Of the current connection: messages that are too long for one turn of the loop."""
        self._changed = asyncio.Event()
        self._connection: asyncio.Task[UpstreamError] | None = None
        self._connection_lock = asyncio.Lock()
        self._attempt = 0
        self._not_before = 0.0
        self._last_message_at = 0.0
        self._lost = False
        self._health = UpstreamHealth(connected=False, detail="not needed yet")

    def knows(self, symbol: Symbol) -> bool:
        """Whether the exchange lists the symbol; while its list is not known, whether it is a pair."""
        if self._products.names is not None:
            return symbol in self._products.names
        return _PRODUCT.fullmatch(symbol) is not None

    def lists(self, symbol: Symbol) -> bool:
        return self._exists(symbol)

    def health(self) -> UpstreamHealth:
        return self._health

    async def run(self, symbol: Symbol, sink: Sink) -> None:
        feed = self._feeds[symbol] = CoinbaseFeed(symbol, sink, asyncio.get_running_loop())
        self._changed.set()
        connection = self._ensure_connection()
        try:
            # ``wait`` leaves the connection alone when this feed is cancelled; awaiting it would
            # cancel it for all feeds.
            await asyncio.wait((connection, feed.failure), return_when=asyncio.FIRST_COMPLETED)
            raise (
                feed.failure.result() if feed.failure.done() else self._connection_error(connection)
            )
        finally:
            # A newer run for the same symbol may have taken its place.
            if self._feeds.get(symbol) is feed:
                del self._feeds[symbol]
            self._changed.set()
            if not self._feeds:
                await self._close_connection()

    async def close(self) -> None:
        self.closed = True
        await self._close_connection()

    def __str__(self) -> str:
        return f"upstream {self.name}"

    # ------------------------------------------------------------ the connection's task

    def _ensure_connection(self) -> asyncio.Task[UpstreamError]:
        """The connection's task; starts a new one if there is none or it is ending."""
        connection = self._connection
        if connection is None or connection.done() or connection.cancelling():
            # The task serves all feeds, so it must not inherit owner and label of the feed that starts it.
            with owned_by(self), label(symbol=None):
                connection = self._connection = asyncio.create_task(
                    self._run_connection(), name="coinbase"
                )
        return connection

    async def _close_connection(self) -> None:
        if self._connection is not None:
            self._connection.cancel()
            await asyncio.wait((self._connection,))

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
                self.subscribed.clear()
                self._pending.clear()
                self._set_health(connected=False, detail=ended)

    async def _exchange(self) -> NoReturn:
        async with aiohttp.ClientSession() as session, await self._connect(session) as socket:
            self._last_message_at = asyncio.get_running_loop().time()
            self._slices = self._slice_worker()
            is_reconnect, self._lost = self._lost, False
            self._set_health(connected=True, reconnects=int(is_reconnect))
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._read(socket), name="coinbase read")
                    tasks.create_task(self._write(socket), name="coinbase write")
                    tasks.create_task(self._slices.run(), name="coinbase long messages")
                    tasks.create_task(
                        self._products.keep_current(session), name="coinbase products"
                    )
            except ExceptionGroup as group:
                # The first failure has ended the other tasks.
                raise group.exceptions[0] from None
        raise AssertionError("no task returns")

    def _slice_worker(self) -> SliceWorker:
        return SliceWorker(
            apply=self._apply, applied=self._applied, failed=self._fail, stamp=self._stamp
        )

    async def _connect(self, session: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
        by = proxy.find(self._url)
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT):
                return await session.ws_connect(
                    self._url,
                    proxy=by.url,
                    proxy_headers=by.headers,
                    heartbeat=self.silence,
                    max_msg_size=_MAX_MESSAGE,
                    timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_TIMEOUT),
                )
        except TimeoutError as error:
            raise UpstreamError(
                f"{self._url} did not answer within {_CONNECT_TIMEOUT:g} s"
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamError(
                f"cannot connect to {self._url}: {error}",
                hint="check the address, DNS and the network's outbound access"
                + (f" through the proxy {by.url}" if by.url else "; HTTPS_PROXY names a proxy"),
            ) from error

    # ------------------------------------------------------------ sending

    async def _write(self, socket: aiohttp.ClientWebSocketResponse) -> NoReturn:
        """Keep the subscriptions equal to the wanted feeds, and check for silence."""
        while True:
            # Before the request: a change while it is being sent must not be lost.
            self._changed.clear()
            await self._subscribe(socket)
            self._check_silence()
            try:
                async with asyncio.timeout(min(1.0, self.silence / 4)):
                    await self._changed.wait()
                await asyncio.sleep(_BATCH_DELAY)
            except TimeoutError:
                continue

    async def _subscribe(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Send what changed. A new feed for a subscribed symbol needs a new snapshot: resubscribe it.

        The exchange refuses a request as a whole if it does not know one of its products. So products
        that are not known to exist are requested one by one, and cost the others nothing.
        """
        gone = [s for s, feed in self.subscribed.items() if self._feeds.get(s) is not feed]
        for symbol in gone:
            del self.subscribed[symbol]
        new = [symbol for symbol in self._feeds if symbol not in self.subscribed]
        known = [symbol for symbol in new if self._exists(symbol)]
        unproved = [symbol for symbol in new if not self._exists(symbol)]
        if len(unproved) > _SINGLE_REQUESTS:
            self._changed.set()  # the others follow in the next turn
        try:
            if gone:
                await socket.send_str(protocol.request("unsubscribe", gone))
            for request in (known, *([symbol] for symbol in unproved[:_SINGLE_REQUESTS])):
                if names := [symbol for symbol in request if symbol in self._feeds]:
                    self._expect_answer(names)
                    await socket.send_str(protocol.request("subscribe", names))
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamError(f"lost the connection to {self._url}: {error}") from error

    def _exists(self, symbol: str) -> bool:
        """Whether the exchange is known to have the product. Its list decides as soon as it is known."""
        names = self._products.names
        return symbol in (self._accepted if names is None else names)

    def _expect_answer(self, names: list[str]) -> None:
        """These products are subscribed from now on; their silence is measured from now on."""
        now = asyncio.get_running_loop().time()
        for name in names:
            feed = self.subscribed[name] = self._feeds[name]
            feed.last_message_at = now
            self._pending[name] = names

    def _check_silence(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._last_message_at > self.silence:
            raise UpstreamError(f"{self._url} has been silent for {self.silence:g} s")
        for feed in list(self.subscribed.values()):
            if now - feed.last_message_at > self.silence:
                self._end(
                    feed,
                    UpstreamError(
                        f"no message about {feed.symbol} for {self.silence:g} s, not even a heartbeat"
                    ),
                )

    # ------------------------------------------------------------ receiving

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> NoReturn:
        async for frame in socket:
            self._last_message_at = asyncio.get_running_loop().time()
            if frame.type is aiohttp.WSMsgType.TEXT:
                self._handle_text(frame.data)
                await self._slices.has_room()
            elif frame.type is aiohttp.WSMsgType.ERROR:
                raise UpstreamError(f"lost the connection to {self._url}: {frame.data}")
            else:
                raise UpstreamError(f"{self._url} sent a binary message; is it a Coinbase feed?")
        raise UpstreamError(f"{self._url} closed the connection (code {socket.close_code})")

    def _handle_text(self, text: str) -> None:
        try:
            if len(text) > LONG and (book := open_long(text)) is not None:
                if feed := self._active_feed(book.product_id):
                    feed.confirm(self._last_message_at)
                    self._slices.add(feed, book, book.size)
                return
            message = protocol.decode(text)
            if isinstance(message, protocol.ErrorMessage):
                self._refused(message)
            elif isinstance(message, protocol.Subscriptions):
                for symbol in {s for channel in message.channels for s in channel.product_ids}:
                    self._pending.pop(symbol, None)
                    if feed := self._active_feed(symbol):
                        self._accepted.add(symbol)
                        feed.confirm(self._last_message_at)
            elif message is not None and (feed := self._active_feed(message.product_id)):
                feed.confirm(self._last_message_at)
                if self._slices.is_behind(feed):
                    self._slices.add(feed, message, len(text))
                else:
                    self._apply(feed, message)
        except protocol.InvalidMessageError as error:
            self._handle_invalid(error)

    def _handle_invalid(self, error: protocol.InvalidMessageError) -> None:
        """Count an invalid message. It ends the feed of its product if its book may now be wrong."""
        self._set_health(connected=True, invalid=1)
        if error.product is None:  # it may have been an update of any book
            raise UpstreamError(f"{self._url} sent an invalid message: {error}") from error
        feed = self._active_feed(error.product)
        if feed is None:
            return
        feed.confirm(self._last_message_at)
        if error.breaks_book:
            self._end(feed, UpstreamError(f"invalid message: {error}"))
        else:
            feed.pass_over(error)

    def _active_feed(self, symbol: str) -> CoinbaseFeed | None:
        """The feed that is subscribed to ``symbol`` and still wanted; None if there is none."""
        feed = self.subscribed.get(symbol)
        return feed if feed is not None and self._feeds.get(symbol) is feed else None

    def _apply(self, feed: CoinbaseFeed, message: protocol.ProductMessage) -> None:
        try:
            tick = feed.product.apply(message, self._stamp())
        except ValueError as error:
            self._fail(feed, error)
            return
        self._applied(feed, tick)

    def _fail(self, feed: CoinbaseFeed, error: Exception) -> None:
        self._set_health(connected=True, invalid=1)
        self._end(feed, UpstreamError(f"invalid message: {str(error)[:_MAX_REASON]}"))

    def _applied(self, feed: CoinbaseFeed, tick: Tick | None) -> None:
        """Publish the tick of a message that was applied, unless the book has a fault."""
        if self._feeds.get(feed.symbol) is not feed:
            return
        if fault := feed.product.fault:
            self._set_health(connected=True, gaps=1)
            self._end(feed, UpstreamError(fault))
        elif tick is not None:
            feed.sink.publish((tick,))

    def _refused(self, refusal: protocol.ErrorMessage) -> None:
        """End the feeds that a refusal names, and request the other products of that request again.

        A refusal that names no product ends all feeds that wait for an answer.
        """
        why = f"{refusal.message}: {refusal.reason}" if refusal.reason else refusal.message
        named = protocol.words(why) & self._pending.keys()
        if not named and not self._pending:
            raise UpstreamError(f"{self._url} refused: {why[:_MAX_REASON]}")
        refused = {name for each in named for name in self._pending[each]} or {*self._pending}
        for name in refused:
            self._pending.pop(name, None)  # an answer to an older request may have listed it
            feed = self._active_feed(name)
            self.subscribed.pop(name, None)
            if name in named:
                self._accepted.discard(name)
                self._products.remove(name)
            if feed is not None and name in named:
                self._end(feed, UnknownSymbolError(f"{name}: {why[:_MAX_REASON]}"))
            elif feed is not None and not named:
                self._end(feed, UpstreamError(f"{self._url} refused: {why[:_MAX_REASON]}"))
        self._changed.set()

    def _end(self, feed: CoinbaseFeed, error: QcfeedError) -> None:
        if self._feeds.get(feed.symbol) is feed:
            del self._feeds[feed.symbol]
        feed.end(error)
        self._changed.set()

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
