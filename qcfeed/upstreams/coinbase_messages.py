"""The messages of the Coinbase Exchange feed.

See https://docs.cdp.coinbase.com/exchange/websocket-feed. ``ticker``, ``heartbeat`` and
``level2_batch`` are public channels. ``level2_batch`` is the order book in batches of 50 ms; its
messages are those of ``level2``: a snapshot, then updates. Numbers are sent as text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

CHANNELS = ("ticker", "heartbeat", "level2_batch")


class BookSnapshot(msgspec.Struct, frozen=True):
    """The complete book, as [price, size] pairs. ``time`` is missing in older captures."""

    product_id: str
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]
    time: str | None = None


class L2Update(msgspec.Struct, frozen=True):
    """Changed levels as [side, price, size]. The size is the new one, not a difference; 0 removes it."""

    product_id: str
    changes: list[tuple[Literal["buy", "sell"], str, str]]
    time: str


class Ticker(msgspec.Struct, frozen=True):
    """A trade, or the last of several at once. The first one, on subscribing, is the last trade so far."""

    product_id: str
    sequence: int
    price: str
    time: str
    trade_id: int = 0


class Heartbeat(msgspec.Struct, frozen=True):
    """Sent once per second per product. ``last_trade_id`` is 0 if the exchange does not send it."""

    product_id: str
    sequence: int
    last_trade_id: int = 0


class Channel(msgspec.Struct, frozen=True):
    name: str
    product_ids: list[str] = []


class Subscriptions(msgspec.Struct, frozen=True):
    """All subscriptions of this connection; the answer to subscribe and unsubscribe."""

    channels: list[Channel]


class ErrorMessage(msgspec.Struct, frozen=True):
    """``type: error``: the request was refused and had no effect."""

    message: str
    reason: str = ""


class Request(msgspec.Struct, frozen=True):
    """A client's request."""

    type: Literal["subscribe", "unsubscribe"]
    product_ids: list[str]
    channels: tuple[str, ...] = CHANNELS


ProductMessage = BookSnapshot | L2Update | Ticker | Heartbeat
Message = ProductMessage | Subscriptions | ErrorMessage


class _TypeOnly(msgspec.Struct):
    type: str


_type_decoder = msgspec.json.Decoder(_TypeOnly)
_decoders: dict[str, msgspec.json.Decoder[Message]] = {
    "snapshot": msgspec.json.Decoder(BookSnapshot),
    "l2update": msgspec.json.Decoder(L2Update),
    "ticker": msgspec.json.Decoder(Ticker),
    "heartbeat": msgspec.json.Decoder(Heartbeat),
    "subscriptions": msgspec.json.Decoder(Subscriptions),
    "error": msgspec.json.Decoder(ErrorMessage),
}


def decode(text: str | bytes) -> Message | None:
    """Decode a message; None for an unknown type, which clients must ignore.

    Raises msgspec.DecodeError, or its subclass ValidationError, for anything else.
    """
    decoder = _decoders.get(_type_decoder.decode(text).type)
    return None if decoder is None else decoder.decode(text)


def request(kind: Literal["subscribe", "unsubscribe"], products: Iterable[str]) -> str:
    """The request to subscribe to, or unsubscribe from, all channels of these products."""
    return msgspec.json.encode(Request(kind, sorted(products))).decode()
