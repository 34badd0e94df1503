"""Whether a client reconnects after each close code, as in docs/reference/protocol.md's table."""

from __future__ import annotations

import pytest

from qcfeed.model.messages import CloseCode, should_reconnect


@pytest.mark.parametrize(
    "code", [4400, 4408, 4410, 4411, 4412, 4999, 1001, 1006, 1011, 1012, 1013, 1014]
)
def test_clients_reconnect_after_these_codes(code: int) -> None:
    assert should_reconnect(code)


@pytest.mark.parametrize(
    "code", [1000, 1002, 1003, 1007, 1008, 1009, 1010, 1015, 4000, 4001, 4003, 4004, 4399]
)
def test_clients_do_not_reconnect_after_these_codes(code: int) -> None:
    assert not should_reconnect(code)


def test_our_close_codes_match_the_documentation() -> None:
    told = {each.name: int(each) for each in CloseCode if each >= 4000}
    assert told == {
        "UNAUTHENTICATED": 4001,
        "FORBIDDEN": 4003,
        "UNKNOWN_SYMBOL": 4004,
        "TOO_SLOW": 4408,
        "FEED_CANCELLED": 4410,
        "KICKED": 4411,
        "NO_PONG": 4412,
        "TOO_MANY_REQUESTS": 4429,
    }
