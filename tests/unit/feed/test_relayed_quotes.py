"""Quotes that come encoded: framed, never decoded, and still counted right for slow consumers."""

from __future__ import annotations

import msgspec
import pytest

from qcfeed.feed.log import QuoteLog
from qcfeed.feed.slow_consumer import Backlog
from qcfeed.feed.subscriber import Subscriber
from qcfeed.model import frames, messages
from qcfeed.model.encoded import EncodedQuote
from qcfeed.model.messages import Tick
from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy
from qcfeed.model.symbol import parse
from tests.support.frames import sent_quotes

SYMBOL = parse("AAPL")


def text(seq: int) -> bytes:
    tick = Tick(1.0, 100, 1.5, 200, 1.25, "2024-03-20T02:15:00Z")
    return messages.encode(messages.quote(SYMBOL, tick, "7.1", seq))


def subscribed(log: QuoteLog) -> Subscriber:
    subscriber: Subscriber = Subscriber(SYMBOL, None)
    log.start_reading(subscriber, replay_latest=True)
    return subscriber


@pytest.mark.parametrize(("conflated", "dropped"), [(0, 0), (3, 0), (0, 4), (3, 4)])
def test_a_marked_text_is_what_the_encoder_would_have_written(conflated: int, dropped: int) -> None:
    quote = messages.decode_quote(text(9))
    marked = msgspec.structs.replace(quote, conflated=conflated, dropped=dropped)
    assert EncodedQuote(text(9), conflated, dropped).marked() == messages.encode(marked)


def test_the_bytes_of_the_feeder_reach_the_subscriber_unchanged() -> None:
    log = QuoteLog()
    subscriber = subscribed(log)
    odd = b'{"type":"quote","symbol":"AAPL","x":[1, 2]}'
    log.relay(EncodedQuote(odd))
    assert log.read(subscriber) == frames.text(odd)


def test_a_newcomer_gets_the_latest_quote_without_the_marks_of_others() -> None:
    log = QuoteLog()
    log.relay(EncodedQuote(text(9), dropped=8))
    log.release(log.head)  # all others have read it
    assert sent_quotes(log.read(subscribed(log))) == [(9, 0, 0)]


def relay_with_a_gap(log: QuoteLog) -> None:
    """Quotes 1, 2, 5 and 6: two were lost before 5."""
    for quote in (
        EncodedQuote(text(1)),
        EncodedQuote(text(2)),
        EncodedQuote(text(5), dropped=2),
        EncodedQuote(text(6)),
    ):
        log.relay(quote)


def test_a_reader_that_keeps_up_is_told_of_the_gap() -> None:
    log = QuoteLog()
    subscriber = subscribed(log)
    relay_with_a_gap(log)
    assert sent_quotes(log.read(subscriber)) == [(1, 0, 0), (2, 0, 0), (5, 0, 2), (6, 0, 0)]


def test_a_conflated_quote_stands_for_the_lost_ones_too() -> None:
    log = QuoteLog()
    subscriber = subscribed(log)
    relay_with_a_gap(log)
    backlog = Backlog(SlowConsumerPolicy.CONFLATE, 2)
    backlog.reset(4)
    assert sent_quotes(log.catch_up(subscriber, backlog, 1)) == [(6, 5, 0)]
    assert backlog.conflated == 5


@pytest.mark.parametrize(
    ("limit", "sent"),
    [(1, [(6, 0, 5)]), (2, [(5, 0, 4), (6, 0, 0)]), (3, [(2, 0, 1), (5, 0, 2), (6, 0, 0)])],
)
def test_dropped_quotes_include_the_lost_ones_before_them(
    limit: int, sent: list[tuple[int, int, int]]
) -> None:
    log = QuoteLog()
    subscriber = subscribed(log)
    relay_with_a_gap(log)
    backlog = Backlog(SlowConsumerPolicy.DROP_OLDEST, limit)
    backlog.reset(4)
    assert sent_quotes(log.catch_up(subscriber, backlog, 1)) == sent
