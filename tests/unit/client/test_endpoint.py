"""Parsing the URL of a server, and the errors for invalid ones."""

from __future__ import annotations

import pytest

from qcfeed.client import endpoint
from qcfeed.client.endpoint import Endpoint
from qcfeed.errors import UsageError
from qcfeed.model.symbol import Symbol


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("ws://127.0.0.1:8006", Endpoint("ws", "127.0.0.1", 8006)),
        ("ws://localhost:8006/", Endpoint("ws", "localhost", 8006)),
        ("WS://Feed.Example", Endpoint("ws", "feed.example", 80)),
        ("wss://feed.example", Endpoint("wss", "feed.example", 443)),
        ("ws://[::1]:9000", Endpoint("ws", "::1", 9000)),
        ("ws://host:0", Endpoint("ws", "host", 0)),
    ],
)
def test_parse(text: str, parsed: Endpoint) -> None:
    assert endpoint.parse(text) == parsed


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1:8006",
        "http://127.0.0.1:8006",
        "ws://",
        "ws://:8006",
        "ws://host:70000",
        "ws://host:eight",
        "ws://[::1",
        "ws://host:8006/quotes/AAPL",
        "ws://host:8006/?x=1",
        "ws://me@host:8006",
        "",
    ],
)
def test_invalid_urls_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        endpoint.parse(text)
    assert "ws://127.0.0.1:8006" in str(caught.value.hint)


def test_urls() -> None:
    assert Endpoint("ws", "::1", 80).quotes(Symbol("BRK.B")) == "ws://[::1]:80/quotes/BRK.B"
    assert Endpoint("wss", "h", 443).stream == "wss://h:443/stream"


@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        ("ws://h:1/quotes/AAPL", "AAPL"),
        ("ws://h:1/quotes/brk%2eb", "BRK.B"),
        ("ws://h:1/stream", None),
        ("ws://h:1", None),
    ],
)
def test_the_url_that_other_clients_take(text: str, symbol: str | None) -> None:
    assert endpoint.parse_url(text) == (Endpoint("ws", "h", 1), symbol)


@pytest.mark.parametrize(
    "text", ["ws://h/quotes", "ws://h/quotes/", "ws://h/quotes/A/B", "ws://h/quotes/!", "ws://h/x"]
)
def test_other_paths_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        endpoint.parse_url(text)
