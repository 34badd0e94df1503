"""The opening handshake of RFC 6455 section 4.2, as bytes in and a decision out. No sockets.

The request head is read by httptools (llhttp). What is not for the WebSocket endpoints is not judged
here: its bytes go on, untouched, to the HTTP server.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl

import httptools
import msgspec
from wsproto.utilities import generate_accept_token

from qcfeed.core.fates import Fate
from qcfeed.core.messages import Error
from qcfeed.core.symbol import Symbol, parse_path_segment
from qcfeed.errors import InvalidSymbolError
from qcfeed.service import extensions

MAX_HEAD = 16_384
"""Bytes of a request head; more are refused with 431."""

_END = b"\r\n\r\n"
_QUOTES = b"/quotes/"
_STREAM = b"/stream"
_BODY = {b"content-length", b"transfer-encoding"}


@dataclass(frozen=True, slots=True)
class Head:
    """One request head; header names are lower-cased, repeated values joined by commas."""

    method: bytes
    target: bytes
    version: str
    headers: dict[bytes, bytes]

    @property
    def path(self) -> bytes:
        return self.target.partition(b"?")[0]

    @property
    def query(self) -> bytes:
        return self.target.partition(b"?")[2]

    @property
    def is_ours(self) -> bool:
        """Whether it is for a WebSocket endpoint, upgrade or not."""
        return self.path.startswith(_QUOTES) or self.path == _STREAM


@dataclass(frozen=True, slots=True)
class Accepted:
    """The upgrade may go ahead. ``symbol`` is None at /stream, ``slow`` where nothing was asked for."""

    response: bytes
    symbol: Symbol | None
    slow: Fate | None = None
    compress: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """The upgrade may not go ahead, and why, for the client and for the counters."""

    status: HTTPStatus
    code: str
    message: str
    headers: dict[str, str] = field(default_factory=dict)
    retryable: bool = False

    def response(self) -> bytes:
        """The whole HTTP response; the connection is closed after it."""
        body = msgspec.json.encode(Error(self.code, self.message, retryable=self.retryable)) + b"\n"
        head = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
            **self.headers,
        }
        lines = [f"HTTP/1.1 {self.status.value} {self.status.phrase}"]
        lines += [f"{name}: {value}" for name, value in head.items()]
        return "\r\n".join([*lines, "", ""]).encode("ascii") + body


NOT_HERE = Refusal(
    HTTPStatus.NOT_FOUND, "not_found", "this port has /quotes/{symbol} and /stream, no more"
)
"""For other addresses, where HTTP has a port of its own."""


class HeadReader:
    """Collects a request head from whatever pieces it comes in.

    ``data`` holds all bytes so far, for whoever takes the connection over.
    """

    __slots__ = ("_headers", "_parser", "_target", "data", "head", "rest")

    def __init__(self) -> None:
        self.data = b""
        self.rest = b""
        """What came after the head of an upgrade: the client's first frames."""
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self.head: Head | None = None
        """The first request's head; what is pipelined behind it is not looked at."""
        self._parser = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> Head | Refusal | None:
        """The head once it is complete, a refusal when it cannot become one, else None."""
        self.data += data
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.rest = data[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            if self.head is None:
                return Refusal(HTTPStatus.BAD_REQUEST, "bad_request", f"this is not HTTP: {error}")
        if self._size() > MAX_HEAD:
            return Refusal(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                "head_too_large",
                f"the request head has more than {MAX_HEAD} bytes",
            )
        return self.head

    def close(self) -> None:
        """Nothing will be fed any more. The parser holds us, and we it: let go of it."""
        del self._parser

    def _size(self) -> int:
        """Bytes of the head so far, with the empty lines before it (RFC 9112 section 2.2)."""
        blank = len(self.data) - len(self.data.lstrip(b"\r\n"))
        end = -1 if self.head is None else self.data.find(_END, blank)
        return len(self.data) if end < 0 else end

    def on_url(self, url: bytes) -> None:
        if self.head is None:
            self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.head is None:
            key, value = name.lower(), value.strip(b" \t")
            known = self._headers.get(key)
            self._headers[key] = value if known is None else known + b"," + value

    def on_headers_complete(self) -> None:
        if self.head is None:
            self.head = Head(
                self._parser.get_method(),
                self._target,
                self._parser.get_http_version(),
                self._headers,
            )


def judge(head: Head) -> Accepted | Refusal:
    """Whether ``head``, which is ours, is a good upgrade for a well-formed symbol."""
    if len(head.target) > 1024:
        return Refusal(HTTPStatus.REQUEST_URI_TOO_LONG, "invalid_symbol", "the path is too long")
    symbol = None
    if head.path != _STREAM:
        try:
            symbol = parse_path_segment(head.path[len(_QUOTES) :])
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

    slow: Fate | None = None
    compress: bool = False


NO_WISHES = Wishes()


def read_wishes(query: bytes) -> Wishes | Refusal:
    """``slow=drop-oldest&compress=1``. Names that mean nothing here are left alone; a wrong value is not."""
    try:
        asked = dict(parse_qsl(query.decode("ascii"), keep_blank_values=True))
    except ValueError:
        return _wrong_wish("the query is not ASCII")
    slow = asked.get("slow")
    if slow is not None and slow not in tuple(Fate):
        return _wrong_wish(f"slow={slow[:32]} is none of {', '.join(Fate)}")
    compress = asked.get("compress", "0")
    if compress not in ("0", "1"):
        return _wrong_wish(f"compress={compress[:32]} is neither 0 nor 1")
    return Wishes(None if slow is None else Fate(slow), compress == "1")


def _wrong_wish(message: str) -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, "invalid_option", message)


def _judge_upgrade(head: Head) -> Refusal | None:
    headers = head.headers
    if b"websocket" not in _tokens(headers, b"upgrade"):
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
        else "Connection does not say Upgrade" if b"upgrade" not in _tokens(headers, b"connection")
        else "Sec-WebSocket-Key is not 16 bytes in base64" if not _is_key(headers)
        else None
    )  # fmt: skip
    if wrong is None:
        return None
    return Refusal(HTTPStatus.BAD_REQUEST, "bad_handshake", wrong)


def _is_single(value: bytes | None) -> bool:
    return value is not None and b"," not in value


def _tokens(headers: dict[bytes, bytes], name: bytes) -> set[bytes]:
    return {token.strip().lower() for token in headers.get(name, b"").split(b",")}


def _is_key(headers: dict[bytes, bytes]) -> bool:
    try:
        return len(base64.b64decode(headers[b"sec-websocket-key"], validate=True)) == 16
    except (KeyError, binascii.Error):
        return False
