"""Long messages of the Coinbase feed, decoded and applied in slices.

The snapshot of a large book has several megabytes, and decoding it takes a second. Others must not wait
for that: neither the event loop, nor the other products of the connection. So one slice is handled per
turn of the loop, and only the messages of the same product wait until it is done.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import Literal, NoReturn

import msgspec

from qcfeed.model.json_errors import JSON_ERRORS
from qcfeed.model.messages import Tick
from qcfeed.upstreams.coinbase_book import Product
from qcfeed.upstreams.coinbase_feed import CoinbaseFeed
from qcfeed.upstreams.coinbase_messages import (
    DecimalText,
    ExchangeTime,
    InvalidMessageError,
    ProductMessage,
)

LONG = 16_384
"""Characters from which on a message is handled in slices."""
SLICE = 8_192
"""Bytes of a slice: about two milliseconds."""
MAX_WAITING = 16 * 2**20
"""Bytes of messages that wait to be handled; beyond them nothing more is read from the connection."""
MAX_OTHER = 512 * 1024
"""Characters of a message that is not about a book."""

BookLevel = tuple[DecimalText, DecimalText]
BookChange = tuple[Literal["buy", "sell"], DecimalText, DecimalText]


class _Envelope(msgspec.Struct):
    """A message of any kind whose long parts are not decoded yet, only checked to be JSON."""

    type: str
    product_id: str = ""
    bids: msgspec.Raw = msgspec.Raw()
    asks: msgspec.Raw = msgspec.Raw()
    changes: msgspec.Raw = msgspec.Raw()
    time: ExchangeTime | None = None


_envelopes = msgspec.json.Decoder(_Envelope)
_levels = msgspec.json.Decoder(list[BookLevel])
_changes = msgspec.json.Decoder(list[BookChange])


class BookMessage:
    """A snapshot or an update of ``product_id`` that is not decoded yet. ``size``: its bytes."""

    def __init__(self, envelope: _Envelope, size: int) -> None:
        self.product_id = envelope.product_id
        self.size = size
        self._envelope = envelope

    def apply(self, product: Product, received: str) -> Generator[None, None, Tick | None]:
        """Decode and apply the message in slices; returns the tick that it causes.

        Raises ValueError and msgspec's errors for what is invalid.
        """
        envelope = self._envelope
        if envelope.type == "l2update":
            if envelope.time is None:
                raise ValueError("an update has no time")
            for piece in slices(envelope.changes):
                product.change_levels(_changes.decode(piece))
                yield
            return product.finish_update(envelope.time)
        bids, asks = product.begin_snapshot()
        for side, raw in (bids, envelope.bids), (asks, envelope.asks):
            for piece in slices(raw):
                side.add(_levels.decode(piece))
                yield
            side.settle()
        return product.finish_snapshot(envelope.time or received)


def slices(array: msgspec.Raw) -> Iterator[bytes]:
    """A JSON array of arrays in pieces, each of them such an array again.

    A piece ends behind a bracket. One inside a string cuts the string, which is then no valid JSON; but a
    string with brackets is no number either.
    """
    text = bytes(array).strip()
    if text[:1] != b"[":
        raise ValueError("a list of levels is missing")
    start, end = 1, len(text) - 1
    while start < end:
        cut = text.find(b"]", start + SLICE, end)
        stop = end if cut < 0 else cut + 1
        yield b"[%b]" % text[start:stop].strip(b" \t\r\n,")
        start = stop


def open_long(text: str) -> BookMessage | None:
    """A book's message, to be applied in slices; None for one of another kind.

    Raises InvalidMessageError for what is not JSON or too long. Cost: 2 ns per character.
    """
    try:
        envelope = _envelopes.decode(text)
    except JSON_ERRORS as error:
        raise InvalidMessageError(text, error) from error
    if envelope.type in ("snapshot", "l2update"):
        return BookMessage(envelope, len(text))
    if len(text) > MAX_OTHER:
        raise InvalidMessageError(text, f"a message of {len(text):,} characters is too long")
    return None


class SliceWorker:
    """Handles the messages of products that have a long one: a slice per turn of the loop, in rotation."""

    def __init__(
        self,
        *,
        apply: Callable[[CoinbaseFeed, ProductMessage], None],
        applied: Callable[[CoinbaseFeed, Tick | None], None],
        failed: Callable[[CoinbaseFeed, Exception], None],
        stamp: Callable[[], str],
    ) -> None:
        """``apply`` handles a short message that waited; ``applied`` is told the tick of a long one."""
        self._apply, self._applied, self._failed, self._stamp = apply, applied, failed, stamp
        self._lanes: dict[CoinbaseFeed, _Lane] = {}
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._waiting = 0

    def is_behind(self, feed: CoinbaseFeed) -> bool:
        """Whether messages of the feed must wait for earlier ones."""
        return feed in self._lanes

    def add(self, feed: CoinbaseFeed, message: ProductMessage | BookMessage, size: int) -> None:
        lane = self._lanes.get(feed)
        if lane is None:
            lane = self._lanes[feed] = _Lane()
        lane.messages.append((message, size))
        self._waiting += size
        self._news.set()

    async def has_room(self) -> None:
        """Wait until less than MAX_WAITING bytes wait."""
        while self._waiting > MAX_WAITING:
            self._room.clear()
            await self._room.wait()

    async def run(self) -> NoReturn:
        while True:
            for feed in list(self._lanes):
                self._step(feed, self._lanes[feed])
                await asyncio.sleep(0)
            if not self._lanes:
                self._news.clear()
                await self._news.wait()

    def _step(self, feed: CoinbaseFeed, lane: _Lane) -> None:
        """Handle one slice, or one short message."""
        if feed.failure.done() or not lane.messages:
            self._drop(feed, lane)
            return
        message, size = lane.messages[0]
        try:
            if isinstance(message, BookMessage):
                if lane.steps is None:
                    lane.steps = message.apply(feed.product, self._stamp())
                next(lane.steps)
                return
            self._apply(feed, message)
        except StopIteration as end:
            self._applied(feed, end.value)
        except (ValueError, *JSON_ERRORS) as error:
            self._failed(feed, error)
        lane.steps = None
        lane.messages.popleft()
        self._release(size)

    def _drop(self, feed: CoinbaseFeed, lane: _Lane) -> None:
        del self._lanes[feed]
        self._release(sum(size for _, size in lane.messages))

    def _release(self, size: int) -> None:
        self._waiting -= size
        self._room.set()


class _Lane:
    """The messages of one feed that wait, the first of which is being applied."""

    def __init__(self) -> None:
        self.messages: deque[tuple[ProductMessage | BookMessage, int]] = deque()
        self.steps: Generator[None, None, Tick | None] | None = None
