"""The messages of the Coinbase Exchange feed.

See https://docs.cdp.coinbase.com/exchange/websocket-feed. ``ticker``, ``heartbeat`` and
``level2_batch`` are public channels. ``level2_batch`` is the order book in batches of 50 ms; its
messages are those of ``level2``: a snapshot, then updates. Numbers are sent as text.

Every field is bounded: what the exchange sends is checked here, before anything else sees it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from qcfeed.model.json_errors import JSON_ERRORS
from qcfeed.model.messages import TIMESTAMP

CHANNELS = ("ticker", "heartbeat", "level2_batch")

DecimalText = Annotated[
    str, Meta(max_length=64, pattern=r"^[0-9]{1,24}(\.[0-9]{1,24})?([eE][+-]?[0-9]{1,2})?\Z")
]
ExchangeTime = Annotated[str, Meta(max_length=32, pattern=TIMESTAMP)]
SequenceNumber = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class BookSnapshot(msgspec.Struct, frozen=True):
    """The complete book, as [price, size] pairs. ``time`` is missing in older captures."""

    product_id: str
    bids: list[tuple[DecimalText, DecimalText]]
    asks: list[tuple[DecimalText, DecimalText]]
    time: ExchangeTime | None = None


class L2Update(msgspec.Struct, frozen=True):
    """Changed levels as [side, price, size]. The size is the new one, not a difference; 0 removes it."""

    product_id: str
    changes: list[tuple[Literal["buy", "sell"], DecimalText, DecimalText]]
    time: ExchangeTime


class Ticker(msgspec.Struct, frozen=True):
    """A trade, or the last of several at once. The first one, on subscribing, is the last trade so far.

    A product that has never traded sends one without ``sequence`` and ``time``, which is invalid here.
    """

    product_id: str
    sequence: SequenceNumber
    price: DecimalText
    time: ExchangeTime
    trade_id: SequenceNumber = 0


class Heartbeat(msgspec.Struct, frozen=True):
    """Sent once per second per product. ``last_trade_id`` is 0 if the exchange does not send it."""

    product_id: str
    sequence: SequenceNumber
    last_trade_id: SequenceNumber = 0


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


class SubscriptionRequest(msgspec.Struct, frozen=True):
    """A client's request."""

    type: Literal["subscribe", "unsubscribe"]
    product_ids: list[str]
    channels: tuple[str, ...] = CHANNELS


ProductMessage = BookSnapshot | L2Update | Ticker | Heartbeat
Message = ProductMessage | Subscriptions | ErrorMessage


class InvalidMessageError(ValueError):
    """A message that cannot be decoded.

    ``product``: the product that it is about; None if that cannot be told. ``breaks_book``: whether
    the product's book may be wrong without it; a ticker or heartbeat changes no book.
    """

    def __init__(self, text: str | bytes, why: object) -> None:
        super().__init__(str(why)[:_MAX_REASON])
        self.product = _find(_PRODUCT_ID, text)
        self.breaks_book = _find(_TYPE, text) not in ("ticker", "heartbeat")


class _TypeOnly(msgspec.Struct):
    type: str


_MAX_REASON = 200
_PRODUCT_ID = re.compile(r'"product_id"\s{0,8}:\s{0,8}"([A-Z0-9]{1,32}-[A-Z0-9]{1,32})"')
_TYPE = re.compile(r'"type"\s{0,8}:\s{0,8}"([a-z0-9_]{1,32})"')
_WORD = re.compile(r"[A-Z0-9-]+")

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

    Raises InvalidMessageError for anything else. Cost: proportional to the length.
    """
    try:
        decoder = _decoders.get(_type_decoder.decode(text).type)
        return None if decoder is None else decoder.decode(text)
    except JSON_ERRORS as error:
        if _find(_TYPE, text) not in {None, *_decoders}:
            return None
        raise InvalidMessageError(text, error) from error


def words(text: str) -> set[str]:
    """The words of ``text`` that may be names of products. Cost: proportional to the length."""
    return set(_WORD.findall(text))


def _find(pattern: re.Pattern[str], text: str | bytes) -> str | None:
    found = pattern.search(text if isinstance(text, str) else text.decode("utf-8", "replace"))
    return found[1] if found else None


def request(kind: Literal["subscribe", "unsubscribe"], products: Iterable[str]) -> str:
    """The request to subscribe to, or unsubscribe from, all channels of these products."""
    return msgspec.json.encode(SubscriptionRequest(kind, sorted(products))).decode()
