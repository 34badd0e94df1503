"""The messages on the wire, one JSON text message each, and the close codes.

docs/reference/protocol.md describes them for authors of clients.
"""

from __future__ import annotations

import re
from enum import IntEnum, StrEnum
from functools import lru_cache
from typing import Annotated

import msgspec
from msgspec import Meta

from qcfeed.formats import decimal
from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy
from qcfeed.model.symbol import Symbol

# An integer stays an integer on the wire: 300, not 300.0.
Size = int | float | None
Count = Annotated[int, Meta(ge=0, le=2**53)]


MAX_MESSAGE = 256 * 1024
"""Bytes that a client accepts in one message. The longest of a service names 1,000 symbols of 16 characters."""


# gc=False: ticks and quotes refer to no containers, so the garbage collector need not track them.
class Tick(msgspec.Struct, frozen=True, gc=False):
    """A price update from an upstream: prices in the symbol's currency, sizes in units, not lots.

    ``ts`` is the upstream's own time, RFC 3339 UTC with up to nanoseconds. It stays a string because
    a double cannot hold nanoseconds.
    """

    bid: float | None
    bid_size: Size
    ask: float | None
    ask_size: Size
    last: float | None
    ts: str


TIMESTAMP = (
    r"^(19[7-9][0-9]|2[01][0-9][0-9])-"
    r"((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|[12][0-9]))"
    r"T([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]{1,9})?Z\Z"
)
"""The form of ``ts``: RFC 3339, UTC, the years 1970 to 2199, up to nanoseconds."""
SMALLEST, LARGEST = 1e-24, 1e24
"""The range of a price or size other than 0. Each has a plain decimal form of at most 50 digits."""

_LARGEST_WHOLE = int(LARGEST)
_timestamp = re.compile(TIMESTAMP)


def is_valid_number(value: float) -> bool:
    """Whether ``value`` can be a price or size: 0, or within ``SMALLEST`` and ``LARGEST``."""
    return SMALLEST <= value <= LARGEST or value == 0


def find_fault(tick: Tick) -> str | None:
    """The reason why ``tick`` is invalid, or None for a valid one. Cost: 0.25 us.

    None means that a price or size is missing, which is valid.
    """
    # Written out, and sizes compared with whole numbers: this runs for every quote, and a loop that
    # compares all of them with floats takes twice as long.
    bid, ask, last = tick.bid, tick.ask, tick.last
    bid_size, ask_size = tick.bid_size, tick.ask_size
    if (
        (bid is None or SMALLEST <= bid <= LARGEST or bid == 0)
        and (ask is None or SMALLEST <= ask <= LARGEST or ask == 0)
        and (last is None or SMALLEST <= last <= LARGEST or last == 0)
        and ((type(bid_size) is int and 0 <= bid_size <= _LARGEST_WHOLE) or _is_size(bid_size))
        and ((type(ask_size) is int and 0 <= ask_size <= _LARGEST_WHOLE) or _is_size(ask_size))
    ):
        return None if _is_timestamp(tick.ts) else f"time {tick.ts[:32]!r}"
    values = (bid, ask, last, bid_size, ask_size)
    wrong = next(i for i, value in enumerate(values) if not _is_size(value))
    return f"{_CHECKED[wrong]} {values[wrong]}"[:64]


def _is_size(value: Size) -> bool:
    return value is None or is_valid_number(value)


# The ticks of one message or batch mostly have one timestamp.
@lru_cache(maxsize=16)
def _is_timestamp(text: str) -> bool:
    return _timestamp.match(text) is not None


_CHECKED = ("bid", "ask", "last", "bid size", "ask size")


class Quote(msgspec.Struct, frozen=True, gc=False, tag="quote", omit_defaults=True):
    """A tick as it is sent to subscribers. ``seq`` rises by one per symbol within an epoch.

    ``conflated``: how many earlier quotes this one also stands for. ``dropped``: how many quotes just
    before this one will not be sent.
    """

    symbol: str
    bid: float | None
    bid_size: Size
    ask: float | None
    ask_size: Size
    last: float | None
    ts: str
    epoch: str
    seq: Count
    conflated: Count = 0
    dropped: Count = 0


class Band(StrEnum):
    """Staleness bands: how old a symbol's last quote is (thresholds: feed/staleness.py)."""

    LIVE = "live"
    STALE = "stale"
    VERY_STALE = "very_stale"
    DEAD = "dead"


class StaleReason(StrEnum):
    """Why a symbol is not live, as far as the service can tell."""

    UPSTREAM_SILENT = "upstream_silent"
    """The upstream is connected but sends nothing."""
    UPSTREAM_DOWN = "upstream_down"
    """The upstream is not connected."""
    OWN_LAG = "own_lag"
    """The service itself did not run in time."""


class Status(msgspec.Struct, frozen=True, tag="status", omit_defaults=True):
    """A symbol entered another staleness band; ``reason`` is absent when it is live again."""

    symbol: str
    state: Band
    age_ms: Count
    reason: StaleReason | None = None


class RefusedSymbol(msgspec.Struct, frozen=True):
    """One symbol of a request that was refused, and why."""

    symbol: str
    code: str


class Error(msgspec.Struct, frozen=True, tag="error", omit_defaults=True):
    """A request was refused, or a part of it; the connection stays open.

    ``retryable``: it may succeed later, after ``retry_after_ms`` if that is known. ``symbol``: the first
    symbol that was refused. ``refused``: if there are several, the first of them; ``refused_total``:
    how many there are.
    """

    code: str
    message: str
    symbol: str | None = None
    retryable: bool = msgspec.field(default=False)
    retry_after_ms: Count = 0
    refused: list[RefusedSymbol] = []
    refused_total: Count = 0


class GoingAway(msgspec.Struct, frozen=True, tag="going_away"):
    """The service is shutting down; reconnect after ``retry_after_ms``, which differs per client."""

    retry_after_ms: Count


class Subscribed(msgspec.Struct, frozen=True, tag="subscribed"):
    """All symbols of this connection, after a subscribe or unsubscribe."""

    symbols: list[str]


class SlowPolicy(msgspec.Struct, frozen=True, tag="slow"):
    """The answer to ``{"action":"slow"}``: the connection's slow-consumer policy from now on."""

    policy: SlowConsumerPolicy


class Pong(msgspec.Struct, frozen=True, tag="pong"):
    """The answer to ``{"action":"ping"}``."""


class Authenticated(msgspec.Struct, frozen=True, tag="authenticated"):
    """The answer to ``{"action":"authenticate"}``. ``name``: of the API key, or the token's subject.

    Null if the service authenticates nobody. ``expires_in_ms``: null if the token does not expire.
    """

    name: str | None
    expires_in_ms: Count | None


class AuthExpiring(msgspec.Struct, frozen=True, tag="auth_expiring"):
    """The token expires; the connection is then closed with 4001, unless the client sends a new one."""

    expires_in_ms: Count


ServerMessage = (
    Quote
    | Status
    | Error
    | GoingAway
    | Subscribed
    | SlowPolicy
    | Pong
    | Authenticated
    | AuthExpiring
)


class Action(StrEnum):
    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"
    PING = "ping"
    SLOW = "slow"
    AUTHENTICATE = "authenticate"


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A client's request. ``symbols``: for subscribe and unsubscribe; ``policy``: for slow; ``token``: for
    authenticate.
    """

    action: Action
    symbols: list[str] = []
    policy: str = ""
    token: str = ""


class CloseCode(IntEnum):
    """Close codes (RFC 6455 section 7.4). 4000-4399: do not reconnect; 4400-4999: reconnect."""

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
    TOO_MANY_REQUESTS = 4429


def should_reconnect(code: int) -> bool:
    """Whether a client should reconnect after this close code; it also decides for unknown codes.

    1006 stands for a connection that ended without a close frame (RFC 6455 section 7.1.5).
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


def as_tick(sent: Quote) -> Tick:
    """The tick that ``quote`` made ``sent`` of."""
    return Tick(sent.bid, sent.bid_size, sent.ask, sent.ask_size, sent.last, sent.ts)


def encode(message: ServerMessage) -> bytes:
    """The JSON text of ``message``, UTF-8, without white space; numbers are plain decimals."""
    text = _encoder.encode(message)
    if type(message) is Quote:
        bid, ask, last = message.bid, message.ask, message.last
        bid_size, ask_size = message.bid_size, message.ask_size
        # Written out as in find_fault.
        if not (
            (not bid or _PLAIN_FROM <= bid < _PLAIN_BELOW)
            and (not ask or _PLAIN_FROM <= ask < _PLAIN_BELOW)
            and (not last or _PLAIN_FROM <= last < _PLAIN_BELOW)
            and (type(bid_size) is int or not bid_size or _PLAIN_FROM <= bid_size < _PLAIN_BELOW)
            and (type(ask_size) is int or not ask_size or _PLAIN_FROM <= ask_size < _PLAIN_BELOW)
        ):
            return _WITH_EXPONENT.sub(lambda found: decimal(float(found[0])).encode(), text)
    return text


_PLAIN_FROM, _PLAIN_BELOW = 1e-5, 1e16
"""msgspec writes whole numbers, numbers in this range, and 0, without an exponent."""
_WITH_EXPONENT = re.compile(rb'(?<=":)[0-9.]+e-?[0-9]+')


def decode(text: str | bytes) -> ServerMessage:
    """Decode a server's message. Raises msgspec.ValidationError, a ValueError, for anything else."""
    return _message_decoder.decode(text)


def decode_quote(text: bytes) -> Quote:
    """Decode a quote that ``encode`` made."""
    return _quote_decoder.decode(text)


def decode_request(text: str | bytes) -> Request:
    """Decode a client's request. Raises msgspec.ValidationError or msgspec.DecodeError."""
    return _request_decoder.decode(text)
