"""Turns a server's refusal into an exception: retry later, or an error for the user. No I/O.

docs/reference/protocol.md lists the statuses, error codes and close codes.
"""

from __future__ import annotations

import json
from http.client import responses

from qcfeed.errors import (
    InvalidSymbolError,
    NotAllowedError,
    NotFoundError,
    QcfeedError,
    UnknownSymbolError,
    UnreachableError,
    UsageError,
)
from qcfeed.model import messages
from qcfeed.model.json_errors import JSON_ERRORS
from qcfeed.model.messages import CloseCode

_RETRY = frozenset({429, 500, 502, 503, 504})
_BY_STATUS: dict[int, type[QcfeedError]] = {
    400: UsageError,
    401: NotAllowedError,
    403: NotAllowedError,
    404: NotFoundError,
}
_BY_CODE: dict[str, type[QcfeedError]] = {
    "invalid_symbol": InvalidSymbolError,
    "unknown_symbol": UnknownSymbolError,
    "unauthenticated": NotAllowedError,
    "invalid_token": NotAllowedError,
    "forbidden": NotAllowedError,
}
_HINTS: dict[str, str] = {
    "unauthenticated": "give its API key or token: --token-file FILE, or set QCFEED_TOKEN",
    "invalid_token": "is it the right one? `qcfeed keys list` on the service's side shows the valid names",
    "forbidden": "ask the operator of the service for a key that allows it",
}
_BY_CLOSE: dict[int, type[QcfeedError]] = {
    CloseCode.UNAUTHENTICATED: NotAllowedError,
    CloseCode.FORBIDDEN: NotAllowedError,
    CloseCode.UNKNOWN_SYMBOL: UnknownSymbolError,
}
_MAX_TEXT = 200
MAX_RETRY_IN = 300.0
"""The most seconds to wait because a server asks for it."""


class RetryableError(Exception):
    """The connection was lost or refused, and a retry may succeed.

    ``retry_in``: minimum seconds to wait, if the server sent one. Caught inside the client package.
    """

    def __init__(self, reason: str, retry_in: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_in = min(retry_in, MAX_RETRY_IN)


def from_http(
    url: str, status: int, body: bytes, retry_after: str | None = None
) -> QcfeedError | RetryableError:
    """The exception for an HTTP response instead of the upgrade. ``retry_after``: that header, if any."""
    code, why = _parse_error(status, body)
    if status in _RETRY:
        wait = float(retry_after) if retry_after and retry_after.isdecimal() else 0.0
        return RetryableError(f"refused with {status}: {why}", wait)
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status, UnreachableError)
    hint = _HINTS.get(code)
    if kind is UnreachableError:
        hint = "is this the port for quotes? see `qcfeed status`"
    return kind(f"{url} answered {status}: {why}", hint=hint)


def from_error(error: messages.Error) -> QcfeedError | RetryableError:
    """The exception for an ``error`` message that answers our only request."""
    if error.retryable:
        wait = error.retry_after_ms / 1000
        return RetryableError(f"refused: {_printable(error.message)}", wait)
    kind = _BY_CODE.get(error.code, UsageError)
    return kind(_printable(error.message), hint=_HINTS.get(error.code))


def from_close(
    code: int | None, reason: str, retry_in: float = 0.0
) -> QcfeedError | RetryableError:
    """The exception for a close frame; ``code`` is None if the connection ended without one."""
    if code is None:
        return RetryableError("the connection was lost", retry_in)
    why = f"the server closed with {_close_code_name(code)}" + (
        f": {_printable(reason)}" if reason else ""
    )
    if messages.should_reconnect(code):
        return RetryableError(why, retry_in)
    return _BY_CLOSE.get(code, UnreachableError)(why)


def _close_code_name(code: int) -> str:
    try:
        return f"{code} ({CloseCode(code).name.lower().replace('_', ' ')})"
    except ValueError:
        return str(code)


def _parse_error(status: int, body: bytes) -> tuple[str, str]:
    """The error code ("" if there is none) and the message of a response."""
    try:
        message = messages.decode(body)
    except JSON_ERRORS:
        return "", _body_text(status, body)
    if isinstance(message, messages.Error):
        return message.code, _printable(message.message)
    return "", _body_text(status, body)


def _body_text(status: int, body: bytes) -> str:
    text = body.decode("utf-8", "replace").strip()
    return _printable(text) if text else responses.get(status, "no reason given")


def _printable(text: str) -> str:
    """Text from a server, made safe for a terminal: no control characters, limited length."""
    return text if text.isprintable() and len(text) <= _MAX_TEXT else json.dumps(text[:_MAX_TEXT])
