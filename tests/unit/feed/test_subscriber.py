"""A subscriber is a cursor, and an owner that diagnostics can name."""

from __future__ import annotations

from typing import cast

from qcfeed.diagnostics import orphans
from qcfeed.feed.log import QuoteLog
from qcfeed.feed.subscriber import Consumer, Subscriber
from qcfeed.model.messages import Quote
from qcfeed.model.symbol import Symbol


def subscriber() -> Subscriber:
    return Subscriber(Symbol("AAPL"), cast("Consumer", None))


def test_it_is_closed_from_the_moment_that_is_noted() -> None:
    one = subscriber()
    assert not one.closed
    one.closed_at = 0.0
    assert one.closed


def test_its_lag_is_what_it_has_not_been_sent_of_its_log() -> None:
    one, log = subscriber(), QuoteLog()
    assert one.lag == 0, "it reads no log yet"
    log.start_reading(one, replay_latest=False)
    for seq in (1, 2, 3):
        log.append(Quote("AAPL", 1.0, 100, 1.01, 100, 1.0, "2024-03-20T02:15:00Z", "e", seq))
    assert one.lag == 3
    log.read(one)
    assert one.lag == 0


def test_each_has_a_serial_by_which_diagnostics_name_it() -> None:
    one, two = subscriber(), subscriber()
    assert two.serial == one.serial + 1
    assert orphans.owner_name(one) == f"subscriber {one.serial} of AAPL"
