"""Parses a request head with httptools (llhttp), from pieces of any size. No sockets.

Requests for other paths than the WebSocket endpoints are not examined further: their bytes are passed
on unchanged to the HTTP server.
"""

from __future__ import annotations

import re
from http import HTTPStatus

import httptools

from qcfeed.ws.refusal import Refusal

MAX_HEAD = 16_384
"""Maximum bytes of a request head; a larger one is refused with 431."""

QUOTES = b"/quotes/"
STREAM = b"/stream"

_END = b"\r\n\r\n"
_ABSOLUTE_FORM = re.compile(rb"(?:https?|wss?)://([^/?#@]+)(?=[/?]|\Z)", re.IGNORECASE)


class Head:
    """A request head. Header names are lower-cased; repeated headers are joined with commas.

    ``target`` is as sent. In the absolute form (``GET http://host/path``, as clients of a proxy send
    it) its host replaces the Host header, and ``path`` begins behind it (RFC 9112 section 3.2.2).
    """

    __slots__ = ("headers", "method", "path", "query", "target", "version")

    def __init__(
        self, method: bytes, target: bytes, version: str, headers: dict[bytes, bytes]
    ) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.headers = headers
        absolute = _ABSOLUTE_FORM.match(target)
        if absolute is not None:
            if b"," not in headers.get(b"host", b","):  # a missing or second one stays an error
                headers[b"host"] = absolute[1]
            target = target[absolute.end() :]
        path, _, self.query = target.partition(b"?")
        self.path = path or b"/"

    @property
    def is_websocket_endpoint(self) -> bool:
        """Whether the path is a WebSocket endpoint, with or without an upgrade."""
        return self.path.startswith(QUOTES) or self.path == STREAM


class HeadReader:
    """Collects a request head from the pieces in which it arrives.

    ``data`` holds all bytes received so far, for the protocol that takes over the connection.
    """

    __slots__ = ("_headers", "_parser", "_target", "data", "head", "rest")

    def __init__(self) -> None:
        self.data = b""
        self.rest = b""
        """The bytes after the head of an upgrade: the client's first frames."""
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self.head: Head | None = None
        """The head of the first request; pipelined requests are ignored."""
        self._parser = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> Head | Refusal | None:
        """The head once it is complete, a refusal if it is invalid, else None."""
        self.data += data
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.rest = data[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            if (
                self.head is None
            ):  # an error behind a complete head is for the next parser to report
                return Refusal(HTTPStatus.BAD_REQUEST, "bad_request", f"this is not HTTP: {error}")
        # Only the head is limited here: a first frame in the same segment does not count.
        if len(self.data) > MAX_HEAD and self._size() > MAX_HEAD:
            return Refusal(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                "head_too_large",
                f"the request head has more than {MAX_HEAD} bytes",
            )
        return self.head

    def close(self) -> None:
        """End parsing. Breaks the reference cycle with the parser, so no garbage collection is needed."""
        del self._parser

    def _size(self) -> int:
        """Bytes of the head so far, including empty lines before it (RFC 9112 section 2.2)."""
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
