"""For each kind of refusal: whether the client retries, and the message for the user."""

from __future__ import annotations

import pytest

from qcfeed.client import refusals
from qcfeed.client.refusals import RetryableError
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
from qcfeed.model.messages import CloseCode

URL = "ws://h:1/quotes/X"


def body(code: str, message: str = "no such thing") -> bytes:
    return messages.encode(messages.Error(code, message))


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (400, body("invalid_symbol"), InvalidSymbolError),
        (404, body("unknown_symbol"), UnknownSymbolError),
        (400, body("bad_handshake"), UsageError),
        (404, b"", NotFoundError),
        (401, b"", NotAllowedError),
        (403, b"", NotAllowedError),
        (200, b"<html>", UnreachableError),
        (426, b"", UnreachableError),
    ],
)
def test_final_statuses(status: int, said: bytes, kind: type[QcfeedError]) -> None:
    answer = refusals.from_http(URL, status, said)
    assert type(answer) is kind
    assert str(status) in str(answer)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
@pytest.mark.parametrize(
    ("header", "wait"), [(None, 0.0), ("", 0.0), ("5", 5.0), ("Wed, 21 Oct", 0.0)]
)
def test_retryable_statuses(status: int, header: str | None, wait: float) -> None:
    answer = refusals.from_http(URL, status, body("busy", "too many"), header)
    assert isinstance(answer, RetryableError)
    assert answer.retry_in == wait
    assert "too many" in answer.reason


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (body("x", "told so"), "told so"),
        (b"plain words\n", "plain words"),
        (b'{"type":"pong"}', '{"type":"pong"}'),
        (b"two\nlines", '"two\\nlines"'),
        (b"\x1b[2J\xff", '"\\u001b[2J\\ufffd"'),
        (b"", "Not Found"),
    ],
)
def test_a_server_s_message_is_shown_without_control_characters(said: bytes, words: str) -> None:
    assert str(refusals.from_http(URL, 404, said)) == f"{URL} answered 404: {words}"


def test_an_unknown_status_has_a_message_too() -> None:
    assert "299: no reason given" in str(refusals.from_http(URL, 299, b""))


@pytest.mark.parametrize("code", [1001, 1006, 1011, 1012, 4400, 4408, 4410, 4412, 4999, None])
def test_retryable_close_codes(code: int | None) -> None:
    answer = refusals.from_close(code, "why", 2.5)
    assert isinstance(answer, RetryableError)
    assert answer.retry_in == 2.5


@pytest.mark.parametrize("code", [1000, 1002, 1008, 1009, 3000, 4000, 4001, 4003, 4004, 4399])
def test_close_codes_that_are_final(code: int) -> None:
    assert isinstance(refusals.from_close(code, ""), QcfeedError)


def test_close_codes_are_named() -> None:
    assert "4408 (too slow): be quicker" in str(
        refusals.from_close(CloseCode.TOO_SLOW, "be quicker")
    )
    assert "4321" in str(refusals.from_close(4321, ""))
    assert isinstance(refusals.from_close(4004, ""), UnknownSymbolError)


def test_errors_in_band() -> None:
    again = refusals.from_error(messages.Error("subscribe_rate", "slowly", retryable=True))
    assert isinstance(again, RetryableError)
    unknown = refusals.from_error(messages.Error("unknown_symbol", "no NOPE here", "NOPE"))
    assert type(unknown) is UnknownSymbolError
    assert type(refusals.from_error(messages.Error("symbol_limit", "at most 2"))) is UsageError


def test_arbitrary_server_text_has_no_control_characters() -> None:
    evil = "\x1b]0;gone\x07"
    answers = [
        refusals.from_http(URL, 404, body("unknown_symbol", evil)),
        refusals.from_error(messages.Error("x", evil)),
        refusals.from_error(messages.Error("x", evil, retryable=True)),
        refusals.from_close(4004, evil),
        refusals.from_close(4408, evil),
    ]
    assert all(str(answer).isprintable() for answer in answers)
