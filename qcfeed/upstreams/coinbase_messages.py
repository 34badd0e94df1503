"""What the Coinbase Exchange feed says, and what it is told: the forms alone.

https://docs.cdp.coinbase.com/exchange/websocket-feed: ``ticker``, ``heartbeat`` and
``level2_batch`` are public. ``level2_batch`` is the order book in batches of 50 ms; its messages
are those of ``level2``, a snapshot and then updates. Numbers are text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

CHANNELS = ("ticker", "heartbeat", "level2_batch")


class Snapshot(msgspec.Struct, frozen=True):
    """The whole book, as [price, size]. ``time`` is absent from older captures."""

    product_id: str
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]
    time: str | None = None


class L2Update(msgspec.Struct, frozen=True):
    """Levels as they are now (not by how much they changed): [side, price, size]; size 0: gone."""

    product_id: str
    changes: list[tuple[Literal["buy", "sell"], str, str]]
    time: str


class Ticker(msgspec.Struct, frozen=True):
    """A trade (of several at once, the last). Sent once on subscribing, with the last trade."""

    product_id: str
    sequence: int
    price: str
    time: str
    trade_id: int = 0


class Heartbeat(msgspec.Struct, frozen=True):
    """Once a second a product. ``last_trade_id`` is 0 where the exchange does not say."""

    product_id: str
    sequence: int
    last_trade_id: int = 0


class Channel(msgspec.Struct, frozen=True):
    name: str
    product_ids: list[str] = []


class Subscriptions(msgspec.Struct, frozen=True):
    """All that this connection holds now; the answer to subscribe and unsubscribe."""

    channels: list[Channel]


class Refusal(msgspec.Struct, frozen=True):
    """``type: error``: the request it answers had no effect."""

    message: str
    reason: str = ""


class Request(msgspec.Struct, frozen=True):
    """What a client sends."""

    type: Literal["subscribe", "unsubscribe"]
    product_ids: list[str]
    channels: tuple[str, ...] = CHANNELS


ProductMessage = Snapshot | L2Update | Ticker | Heartbeat
Message = ProductMessage | Subscriptions | Refusal


class _TypeOnly(msgspec.Struct):
    type: str


_type_decoder = msgspec.json.Decoder(_TypeOnly)
_decoders: dict[str, msgspec.json.Decoder[Message]] = {
    "snapshot": msgspec.json.Decoder(Snapshot),
    "l2update": msgspec.json.Decoder(L2Update),
    "ticker": msgspec.json.Decoder(Ticker),
    "heartbeat": msgspec.json.Decoder(Heartbeat),
    "subscriptions": msgspec.json.Decoder(Subscriptions),
    "error": msgspec.json.Decoder(Refusal),
}


def decode(text: str | bytes) -> Message | None:
    """What was said; None for a type that is not ours, which a client is asked to ignore.

    Raises msgspec.DecodeError (msgspec.ValidationError among them) for what is not the protocol.
    """
    decoder = _decoders.get(_type_decoder.decode(text).type)
    return None if decoder is None else decoder.decode(text)


def request(kind: Literal["subscribe", "unsubscribe"], products: Iterable[str]) -> str:
    """The text that subscribes to all our channels, or leaves them."""
    return msgspec.json.encode(Request(kind, sorted(products))).decode()
