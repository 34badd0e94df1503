"""Refused authentications fill no log."""

from __future__ import annotations

import logging

import pytest

from qcfeed.access.denial import Reason
from qcfeed.server.refusal_log import MAX_CLIENTS, RefusalLog


def test_a_client_has_one_line_per_minute_and_then_a_number(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = RefusalLog()
    with caplog.at_level(logging.WARNING):
        for n in range(500):
            log.note("203.0.113.7", Reason.UNKNOWN_KEY, n * 0.1)
        assert caplog.messages == ["refused the authentication of 203.0.113.7: unknown_key"]
        log.note("203.0.113.7", Reason.EXPIRED, 60.0)
    assert caplog.messages[1:] == [
        "refused 500 authentications of 203.0.113.7 within a minute",
        "refused the authentication of 203.0.113.7: expired",
    ]


def test_thousands_of_clients_have_a_bounded_number_of_lines(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = RefusalLog()
    with caplog.at_level(logging.WARNING):
        for n in range(10_000):
            log.note(f"10.0.{n >> 8}.{n & 255}", Reason.MISSING, 0.0)
        log.note("10.0.0.1", Reason.MISSING, 60.0)
    assert len(caplog.messages) <= MAX_CLIENTS + 7
    assert (
        f"refused {10_000 - MAX_CLIENTS:d} authentications of other clients as well"
        in caplog.messages
    )
