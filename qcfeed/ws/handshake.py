"""The opening handshake (RFC 6455 section 4.2): takes a request head, returns a decision. No sockets."""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import parse_qsl

from wsproto.utilities import generate_accept_token

from qcfeed.access.grants import Identity
from qcfeed.access.session import Session
from qcfeed.errors import InvalidSymbolError
from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy
from qcfeed.model.symbol import Symbol, parse_path_segment
from qcfeed.ws import extensions
from qcfeed.ws.refusal import Refusal
from qcfeed.ws.request_head import QUOTES, STREAM, Head

SUBPROTOCOL = b"qcfeed.v1.json"
"""The subprotocol of this service: the messages of docs/reference/protocol.md as JSON texts."""
_MAX_PATH = 1024
"""Bytes of a path. The longest valid one, with every character of the symbol percent-encoded, has 56."""


class Accepted(NamedTuple):
    """The upgrade is accepted. ``symbol`` is None at /stream; ``slow`` is None if not requested.

    ``session``: None in a service without authentication.
    """

    response: bytes
    symbol: Symbol | None
    slow: SlowConsumerPolicy | None = None
    compress: bool = False
    session: Session | None = None

    @property
    def identity(self) -> Identity | None:
        """The authenticated client; None before it authenticates, and in a service without authentication."""
        return None if self.session is None else self.session.identity


def check_upgrade(head: Head) -> Accepted | Refusal:
    """Check that ``head``, sent to a WebSocket endpoint, is a valid upgrade for a well-formed symbol."""
    if len(head.path) > _MAX_PATH:
        return Refusal(HTTPStatus.REQUEST_URI_TOO_LONG, "invalid_symbol", "the path is too long")
    symbol = None
    if head.path != STREAM:
        try:
            symbol = parse_path_segment(head.path[len(QUOTES) :])
        except InvalidSymbolError as error:
            return Refusal(HTTPStatus.BAD_REQUEST, error.code, f"{error.message}: {error.hint}")
    options = parse_query(head.query) if head.query else DEFAULT_OPTIONS
    if isinstance(options, Refusal):
        return options
    refusal = _check_headers(head)
    if refusal is not None:
        return refusal
    agreed = (
        extensions.negotiate(head.headers.get(b"sec-websocket-extensions", b""))
        if options.compress
        else None
    )
    return Accepted(_switching(head, agreed), symbol, options.slow, agreed is not None)


def _switching(head: Head, agreed: str | None) -> bytes:
    accept = generate_accept_token(head.headers[b"sec-websocket-key"])
    if agreed is not None:
        accept += b"\r\nSec-WebSocket-Extensions: " + agreed.encode()
    if _lists(head.headers.get(b"sec-websocket-protocol", b""), SUBPROTOCOL):
        accept += b"\r\nSec-WebSocket-Protocol: " + SUBPROTOCOL
    return _SWITCHING + accept + b"\r\n\r\n"


_SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\n"
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
)


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """The options in the query of a client's URL. ``slow``: None means the service's default."""

    slow: SlowConsumerPolicy | None = None
    compress: bool = False


DEFAULT_OPTIONS = QueryOptions()


def parse_query(query: bytes) -> QueryOptions | Refusal:
    """Parse ``slow=drop-oldest&compress=1``. Unknown names are ignored; invalid values are refused."""
    try:
        given = dict(parse_qsl(query.decode("ascii"), keep_blank_values=True))
    except ValueError:
        return _invalid_option("the query is not ASCII")
    slow = given.get("slow")
    if slow is not None and slow not in tuple(SlowConsumerPolicy):
        return _invalid_option(f"slow={slow[:32]} is not one of {', '.join(SlowConsumerPolicy)}")
    compress = given.get("compress", "0")
    if compress not in ("0", "1"):
        return _invalid_option(f"compress={compress[:32]} must be 0 or 1")
    return QueryOptions(None if slow is None else SlowConsumerPolicy(slow), compress == "1")


def _invalid_option(message: str) -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, "invalid_option", message)


def _check_headers(head: Head) -> Refusal | None:
    headers = head.headers
    if not _lists_token(headers, b"upgrade", b"websocket"):
        return Refusal(
            HTTPStatus.UPGRADE_REQUIRED,
            "upgrade_required",
            "this is a WebSocket endpoint: try `qcfeed watch` or wscat",
            {"Upgrade": "websocket"},
        )
    if headers.get(b"sec-websocket-version") != b"13":
        return Refusal(
            HTTPStatus.UPGRADE_REQUIRED,
            "bad_version",
            "only WebSocket version 13 is supported",
            {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"},
        )
    problem = (
        "the method must be GET" if head.method != b"GET"
        else "HTTP/1.1 is required" if head.version != "1.1"
        else "exactly one Host header is required" if not _is_single(headers.get(b"host"))
        else "an upgrade must not have a body" if _has_body(headers)
        else "the Connection header must contain Upgrade" if not _lists_token(headers, b"connection", b"upgrade")
        else "Sec-WebSocket-Key must be 16 bytes in base64" if not _is_key(headers)
        else None
    )  # fmt: skip
    if problem is None:
        return None
    return Refusal(HTTPStatus.BAD_REQUEST, "bad_handshake", problem)


def _is_single(value: bytes | None) -> bool:
    return value is not None and b"," not in value


def _has_body(headers: dict[bytes, bytes]) -> bool:
    """Whether a body follows. Some proxies add a Content-Length of 0, which means that none does."""
    if b"transfer-encoding" in headers:
        return True
    return headers.get(b"content-length", b"0").strip(b"0") != b""


def _lists_token(headers: dict[bytes, bytes], name: bytes, token: bytes) -> bool:
    """Whether the header lists ``token``; case is ignored (RFC 6455 section 4.2.1)."""
    return _lists(headers.get(name, b"").lower(), token)


def _lists(value: bytes, token: bytes) -> bool:
    """Whether the list ``value`` contains ``token``."""
    # Nearly always it is the whole value, so the list is rarely split.
    return value == token or token in map(bytes.strip, value.split(b","))


def _is_key(headers: dict[bytes, bytes]) -> bool:
    try:
        return len(binascii.a2b_base64(headers[b"sec-websocket-key"], strict_mode=True)) == 16
    except (KeyError, binascii.Error):
        return False
