"""One open connection to the Coinbase Exchange: requests the products that are wanted, and reads about them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NoReturn, Protocol

import aiohttp

from qcfeed.errors import UnknownSymbolError, UpstreamError
from qcfeed.model.messages import Tick
from qcfeed.upstreams import coinbase_messages as protocol
from qcfeed.upstreams import proxy
from qcfeed.upstreams.coinbase_big_messages import LONG, SliceWorker, open_long
from qcfeed.upstreams.coinbase_feed import CoinbaseFeed, WantedFeeds
from qcfeed.upstreams.coinbase_products import ProductList

_CONNECT_TIMEOUT = 10.0
_CLOSE_TIMEOUT = 2.0
_BATCH_DELAY = 0.05
"""Seconds for which subscriptions are collected into one request; the exchange allows 100 per second."""
_MAX_MESSAGE = 16 * 1024 * 1024
"""Maximum bytes of a message; snapshots of the largest books have several megabytes."""
_SINGLE_REQUESTS = 4
"""Requests for one product each that are sent within ``_BATCH_DELAY``: 80 per second."""
_MAX_REASON = 300
"""Characters of the exchange's reason for a refusal that are told."""


class CountFaults(Protocol):
    """Counts faults of the exchange's messages for the upstream's health."""

    def __call__(self, *, gaps: int = 0, invalid: int = 0) -> None: ...


async def connect(
    session: aiohttp.ClientSession, url: str, silence: float
) -> aiohttp.ClientWebSocketResponse:
    """Open the WebSocket. Raises UpstreamError."""
    by = proxy.find(url)
    try:
        async with asyncio.timeout(_CONNECT_TIMEOUT):
            return await session.ws_connect(
                url,
                proxy=by.url,
                proxy_headers=by.headers,
                heartbeat=silence,
                max_msg_size=_MAX_MESSAGE,
                timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_TIMEOUT),
            )
    except TimeoutError as error:
        raise UpstreamError(f"{url} did not answer within {_CONNECT_TIMEOUT:g} s") from error
    except (aiohttp.ClientError, OSError) as error:
        raise UpstreamError(
            f"cannot connect to {url}: {error}",
            hint="check the address, DNS and the network's outbound access"
            + (f" through the proxy {by.url}" if by.url else "; HTTPS_PROXY names a proxy"),
        ) from error


class CoinbaseConnection:
    """An open connection, which serves the feeds of ``wanted`` until it is lost."""

    def __init__(
        self,
        socket: aiohttp.ClientWebSocketResponse,
        url: str,
        wanted: WantedFeeds,
        products: ProductList,
        *,
        silence: Callable[[], float],
        stamp: Callable[[], str],
        count: CountFaults,
    ) -> None:
        """``silence``: the seconds without a message that count as a loss, asked at each check."""
        self._socket = socket
        self._url = url
        self._wanted = wanted
        self._products = products
        self._silence = silence
        self._stamp = stamp
        self._count = count
        self.subscribed: dict[str, CoinbaseFeed] = {}
        """The feeds whose products were requested on this connection."""
        self._pending: dict[str, list[str]] = {}
        """Products whose subscription is not answered yet, each with all products of its request."""
        self._slices = SliceWorker(
            apply=self._apply, applied=self._applied, failed=self._fail, stamp=stamp
        )
        """Messages that are too long for one turn of the loop."""
        self._last_message_at = asyncio.get_running_loop().time()

    async def run(self, session: aiohttp.ClientSession) -> NoReturn:
        """Serve the feeds. Raises UpstreamError when the connection is lost."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read(), name="coinbase read")
                tasks.create_task(self._write(), name="coinbase write")
                tasks.create_task(self._slices.run(), name="coinbase long messages")
                tasks.create_task(self._products.keep_current(session), name="coinbase products")
        except ExceptionGroup as group:
            # The first failure has ended the other tasks.
            raise group.exceptions[0] from None
        raise AssertionError("no task returns")

    # ------------------------------------------------------------ sending

    async def _write(self) -> NoReturn:
        """Keep the subscriptions equal to the wanted feeds, and check for silence."""
        while True:
            # Before the request: a change while it is being sent must not be lost.
            self._wanted.changed.clear()
            await self._subscribe()
            self._check_silence()
            try:
                async with asyncio.timeout(min(1.0, self._silence() / 4)):
                    await self._wanted.changed.wait()
                await asyncio.sleep(_BATCH_DELAY)
            except TimeoutError:
                continue

    async def _subscribe(self) -> None:
        """Send what changed. A new feed for a subscribed symbol needs a new snapshot: resubscribe it.

        The exchange refuses a request as a whole if it does not know one of its products. So products
        that are not known to exist are requested one by one, and cost the others nothing.
        """
        gone = [s for s, feed in self.subscribed.items() if not self._wanted.holds(feed)]
        for symbol in gone:
            del self.subscribed[symbol]
        new = [symbol for symbol in self._wanted.feeds if symbol not in self.subscribed]
        known = [symbol for symbol in new if self._products.exists(symbol)]
        unproved = [symbol for symbol in new if not self._products.exists(symbol)]
        if len(unproved) > _SINGLE_REQUESTS:
            self._wanted.changed.set()  # the others follow in the next turn
        try:
            if gone:
                await self._socket.send_str(protocol.request("unsubscribe", gone))
            for request in (known, *([symbol] for symbol in unproved[:_SINGLE_REQUESTS])):
                if names := [symbol for symbol in request if symbol in self._wanted.feeds]:
                    self._expect_answer(names)
                    await self._socket.send_str(protocol.request("subscribe", names))
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamError(f"lost the connection to {self._url}: {error}") from error

    def _expect_answer(self, names: list[str]) -> None:
        """These products are subscribed from now on; their silence is measured from now on."""
        now = asyncio.get_running_loop().time()
        for name in names:
            feed = self.subscribed[name] = self._wanted.feeds[name]
            feed.last_message_at = now
            self._pending[name] = names

    def _check_silence(self) -> None:
        now = asyncio.get_running_loop().time()
        silence = self._silence()
        if now - self._last_message_at > silence:
            raise UpstreamError(f"{self._url} has been silent for {silence:g} s")
        for feed in list(self.subscribed.values()):
            if now - feed.last_message_at > silence:
                self._wanted.end(
                    feed,
                    UpstreamError(
                        f"no message about {feed.symbol} for {silence:g} s, not even a heartbeat"
                    ),
                )

    # ------------------------------------------------------------ receiving

    async def _read(self) -> NoReturn:
        async for frame in self._socket:
            self._last_message_at = asyncio.get_running_loop().time()
            if frame.type is aiohttp.WSMsgType.TEXT:
                self._handle_text(frame.data)
                await self._slices.has_room()
            elif frame.type is aiohttp.WSMsgType.ERROR:
                raise UpstreamError(f"lost the connection to {self._url}: {frame.data}")
            else:
                raise UpstreamError(f"{self._url} sent a binary message; is it a Coinbase feed?")
        raise UpstreamError(f"{self._url} closed the connection (code {self._socket.close_code})")

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
                        self._products.accept(symbol)
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
        self._count(invalid=1)
        if error.product is None:  # it may have been an update of any book
            raise UpstreamError(f"{self._url} sent an invalid message: {error}") from error
        feed = self._active_feed(error.product)
        if feed is None:
            return
        feed.confirm(self._last_message_at)
        if error.breaks_book:
            self._wanted.end(feed, UpstreamError(f"invalid message: {error}"))
        else:
            feed.pass_over(error)

    def _active_feed(self, symbol: str) -> CoinbaseFeed | None:
        """The feed that is subscribed to ``symbol`` and still wanted; None if there is none."""
        feed = self.subscribed.get(symbol)
        return feed if feed is not None and self._wanted.holds(feed) else None

    def _apply(self, feed: CoinbaseFeed, message: protocol.ProductMessage) -> None:
        try:
            tick = feed.product.apply(message, self._stamp())
        except ValueError as error:
            self._fail(feed, error)
            return
        self._applied(feed, tick)

    def _fail(self, feed: CoinbaseFeed, error: Exception) -> None:
        self._count(invalid=1)
        self._wanted.end(feed, UpstreamError(f"invalid message: {str(error)[:_MAX_REASON]}"))

    def _applied(self, feed: CoinbaseFeed, tick: Tick | None) -> None:
        """Publish the tick of a message that was applied, unless the book has a fault."""
        if not self._wanted.holds(feed):
            return
        if fault := feed.product.fault:
            self._count(gaps=1)
            self._wanted.end(feed, UpstreamError(fault))
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
                self._products.remove(name)
            if feed is not None and name in named:
                self._wanted.end(feed, UnknownSymbolError(f"{name}: {why[:_MAX_REASON]}"))
            elif feed is not None and not named:
                self._wanted.end(feed, UpstreamError(f"{self._url} refused: {why[:_MAX_REASON]}"))
        self._wanted.changed.set()
