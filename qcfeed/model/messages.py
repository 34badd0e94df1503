"""What goes over the wire: one JSON text message each, and the close codes.

docs/protocol.md tells a client's author the same in prose.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

import msgspec

from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy
from qcfeed.model.symbol import Symbol

# A whole number stays one on the wire: 300, not 300.0.
Size = int | float | None


class Tick(msgspec.Struct, frozen=True, gc=False):
    """What an upstream knows of a symbol at one moment: prices in currency, sizes in units.

    ``ts`` is the upstream's own time, RFC 3339 UTC with up to nanoseconds, kept as a string:
    a double cannot hold it.
    """

    bid: float | None
    bid_size: Size
    ask: float | None
    ask_size: Size
    last: float | None
    ts: str


def fault(tick: Tick) -> str | None:
    """What makes ``tick`` no quote: a price or size that is no number from nought up, a time that is
    none; None for a sound one. A side that is None is missing, which is not wrong. Cost: 0.4 us.
    """
    values = (tick.bid, tick.ask, tick.last, tick.bid_size, tick.ask_size)
    for value in values:
        if value is not None and not 0 <= value < _INFINITY:
            return f"{_CHECKED[values.index(value)]} {value}"
    return None if tick.ts[4:5] == "-" and tick.ts[10:11] == "T" else f"time {tick.ts[:32]!r}"


_CHECKED = ("bid", "ask", "last", "bid size", "ask size")
_INFINITY = float("inf")


class Quote(msgspec.Struct, frozen=True, gc=False, tag="quote", omit_defaults=True):
    """A tick as a subscriber sees it. ``seq`` rises by one a symbol within an epoch.

    ``conflated`` counts the quotes this one stands for besides itself, ``dropped`` those before it
    that will not come.
    """

    symbol: str
    bid: float | None
    bid_size: Size
    ask: float | None
    ask_size: Size
    last: float | None
    ts: str
    epoch: str
    seq: int
    conflated: int = 0
    dropped: int = 0


class Band(StrEnum):
    """How old a symbol's last quote is (feed/staleness.py has the thresholds)."""

    LIVE = "live"
    STALE = "stale"
    VERY_STALE = "very_stale"
    DEAD = "dead"


class Cause(StrEnum):
    """Why a symbol is not live, as far as the service can tell."""

    UPSTREAM_SILENT = "upstream_silent"
    UPSTREAM_DOWN = "upstream_down"
    OWN_LAG = "own_lag"


class Status(msgspec.Struct, frozen=True, tag="status", omit_defaults=True):
    """A symbol entered another staleness band; ``reason`` is absent when it is live again."""

    symbol: str
    state: Band
    age_ms: int
    reason: Cause | None = None


class Error(msgspec.Struct, frozen=True, tag="error", omit_defaults=True):
    """A request was refused; the connection stays. ``retryable``: the same may succeed later."""

    code: str
    message: str
    symbol: str | None = None
    retryable: bool = msgspec.field(default=False)


class GoingAway(msgspec.Struct, frozen=True, tag="going_away"):
    """The service leaves; come back after ``retry_after_ms`` (spread, so that not all do at once)."""

    retry_after_ms: int


class Subscribed(msgspec.Struct, frozen=True, tag="subscribed"):
    """The symbols this connection now holds, after a subscribe or unsubscribe."""

    symbols: list[str]


class Slow(msgspec.Struct, frozen=True, tag="slow"):
    """What becomes of this connection from now on when it reads too slowly, after it asked for it."""

    policy: SlowConsumerPolicy


class Pong(msgspec.Struct, frozen=True, tag="pong"):
    """The answer to ``{"action":"ping"}``."""


ServerMessage = Quote | Status | Error | GoingAway | Subscribed | Slow | Pong


class Action(StrEnum):
    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"
    PING = "ping"
    SLOW = "slow"


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client may say: ``symbols`` of a subscribe or unsubscribe, at /stream; ``policy`` of a slow."""

    action: Action
    symbols: list[str] = []
    policy: str = ""


class CloseCode(IntEnum):
    """Why the service closed. 4000-4399: do not come back; 4400-4999: do (RFC 6455 section 7.4)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    INVALID_TEXT = 1007
    POLICY = 1008
    MESSAGE_TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    RESTART = 1012
    UNAUTHENTICATED = 4001
    FORBIDDEN = 4003
    UNKNOWN_SYMBOL = 4004
    TOO_SLOW = 4408
    FEED_CANCELLED = 4410
    KICKED = 4411
    NO_PONG = 4412


def come_back(code: int) -> bool:
    """Whether a client should reconnect after this close code, also one it does not know.

    1006 stands for a connection that went without one (RFC 6455 section 7.1.5).
    """
    return code in (1001, 1006, 1011, 1012, 1013, 1014) or code >= 4400


_encoder = msgspec.json.Encoder()
_request_decoder = msgspec.json.Decoder(Request)
_quote_decoder = msgspec.json.Decoder(Quote)
_message_decoder: msgspec.json.Decoder[ServerMessage] = msgspec.json.Decoder(ServerMessage)


def quote(symbol: Symbol, tick: Tick, epoch: str, seq: int) -> Quote:
    """``tick`` as the ``seq``-th quote of ``symbol`` in ``epoch``."""
    return Quote(
        symbol, tick.bid, tick.bid_size, tick.ask, tick.ask_size, tick.last, tick.ts, epoch, seq
    )


def encode(message: ServerMessage) -> bytes:
    """The JSON text of ``message``, UTF-8, without white space."""
    return _encoder.encode(message)


def decode(text: str | bytes) -> ServerMessage:
    """What a server said; raises msgspec.ValidationError (a ValueError) for anything else."""
    return _message_decoder.decode(text)


def decode_quote(text: bytes) -> Quote:
    """A quote that ``encode`` made."""
    return _quote_decoder.decode(text)


def decode_request(text: str | bytes) -> Request:
    """What a client said; raises msgspec.ValidationError or msgspec.DecodeError."""
    return _request_decoder.decode(text)
