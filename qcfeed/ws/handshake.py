"""The opening handshake of RFC 6455 section 4.2: a request head in and a decision out. No sockets."""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import parse_qsl

from wsproto.utilities import generate_accept_token

from qcfeed.errors import InvalidSymbolError
from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy
from qcfeed.model.symbol import Symbol, parse_path_segment
from qcfeed.ws import extensions
from qcfeed.ws.refusal import Refusal
from qcfeed.ws.request_head import QUOTES, STREAM, Head

_BODY = {b"content-length", b"transfer-encoding"}


class Accepted(NamedTuple):
    """The upgrade may go ahead. ``symbol`` is None at /stream, ``slow`` where nothing was asked for."""

    response: bytes
    symbol: Symbol | None
    slow: SlowConsumerPolicy | None = None
    compress: bool = False


def judge(head: Head) -> Accepted | Refusal:
    """Whether ``head``, which is ours, is a good upgrade for a well-formed symbol."""
    if len(head.target) > 1024:
        return Refusal(HTTPStatus.REQUEST_URI_TOO_LONG, "invalid_symbol", "the path is too long")
    symbol = None
    if head.path != STREAM:
        try:
            symbol = parse_path_segment(head.path[len(QUOTES) :])
        except InvalidSymbolError as error:
            return Refusal(HTTPStatus.BAD_REQUEST, error.code, f"{error.message}: {error.hint}")
    wishes = read_wishes(head.query) if head.query else NO_WISHES
    if isinstance(wishes, Refusal):
        return wishes
    refusal = _judge_upgrade(head)
    if refusal is not None:
        return refusal
    agreed = (
        extensions.agree(head.headers.get(b"sec-websocket-extensions", b""))
        if wishes.compress
        else None
    )
    return Accepted(_switching(head, agreed), symbol, wishes.slow, agreed is not None)


def _switching(head: Head, agreed: str | None) -> bytes:
    accept = generate_accept_token(head.headers[b"sec-websocket-key"])
    if agreed is not None:
        accept += b"\r\nSec-WebSocket-Extensions: " + agreed.encode()
    return _SWITCHING + accept + b"\r\n\r\n"


_SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\n"
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a client asks for in the query of its address; None: the service's default."""

    slow: SlowConsumerPolicy | None = None
    compress: bool = False


NO_WISHES = Wishes()


def read_wishes(query: bytes) -> Wishes | Refusal:
    """``slow=drop-oldest&compress=1``. Names that mean nothing here are left alone; a wrong value is not."""
    try:
        asked = dict(parse_qsl(query.decode("ascii"), keep_blank_values=True))
    except ValueError:
        return _wrong_wish("the query is not ASCII")
    slow = asked.get("slow")
    if slow is not None and slow not in tuple(SlowConsumerPolicy):
        return _wrong_wish(f"slow={slow[:32]} is none of {', '.join(SlowConsumerPolicy)}")
    compress = asked.get("compress", "0")
    if compress not in ("0", "1"):
        return _wrong_wish(f"compress={compress[:32]} is neither 0 nor 1")
    return Wishes(None if slow is None else SlowConsumerPolicy(slow), compress == "1")


def _wrong_wish(message: str) -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, "invalid_option", message)


def _judge_upgrade(head: Head) -> Refusal | None:
    headers = head.headers
    if not _names(headers, b"upgrade", b"websocket"):
        return Refusal(
            HTTPStatus.UPGRADE_REQUIRED,
            "upgrade_required",
            "this address speaks WebSocket: try `qcfeed watch` or wscat",
            {"Upgrade": "websocket"},
        )
    if headers.get(b"sec-websocket-version") != b"13":
        return Refusal(
            HTTPStatus.UPGRADE_REQUIRED,
            "bad_version",
            "only WebSocket version 13 is spoken here",
            {"Sec-WebSocket-Version": "13"},
        )
    wrong = (
        "the method is not GET" if head.method != b"GET"
        else "HTTP/1.1 is needed" if head.version != "1.1"
        else "there is no Host, or more than one" if not _is_single(headers.get(b"host"))
        else "an upgrade has no body" if headers.keys() & _BODY
        else "Connection does not say Upgrade" if not _names(headers, b"connection", b"upgrade")
        else "Sec-WebSocket-Key is not 16 bytes in base64" if not _is_key(headers)
        else None
    )  # fmt: skip
    if wrong is None:
        return None
    return Refusal(HTTPStatus.BAD_REQUEST, "bad_handshake", wrong)


def _is_single(value: bytes | None) -> bool:
    return value is not None and b"," not in value


def _names(headers: dict[bytes, bytes], name: bytes, token: bytes) -> bool:
    """Whether ``token`` is among those that the header lists; it mostly is the only one."""
    value = headers.get(name, b"").lower()
    return value == token or token in map(bytes.strip, value.split(b","))


def _is_key(headers: dict[bytes, bytes]) -> bool:
    try:
        return len(binascii.a2b_base64(headers[b"sec-websocket-key"], strict_mode=True)) == 16
    except (KeyError, binascii.Error):
        return False
