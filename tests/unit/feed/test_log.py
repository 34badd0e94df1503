from __future__ import annotations

import msgspec
import pytest

from qcfeed.feed.log import QuoteLog
from qcfeed.feed.slow_consumer import Backlog
from qcfeed.feed.subscriber import Subscriber
from qcfeed.model import frames, messages
from qcfeed.model.messages import Tick
from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy
from qcfeed.model.symbol import parse
from tests.support.frames import sent_quotes

SYMBOL = parse("AAPL")


def fill(log: QuoteLog, count: int) -> None:
    for _ in range(count):
        tick = Tick(1.0, 100, 1.5, 200, 1.25, "2024-03-20T02:15:00Z")
        log.append(messages.quote(SYMBOL, tick, "e", log.head + 1))


def new_subscriber(log: QuoteLog) -> Subscriber:
    subscriber: Subscriber = Subscriber(SYMBOL, None)
    log.start_reading(subscriber, replay_latest=True)
    return subscriber


def read(log: QuoteLog, subscriber: Subscriber) -> list[tuple[int, int, int]]:
    return sent_quotes(log.read(subscriber))


def test_a_subscriber_gets_every_quote_once_and_in_order() -> None:
    log = QuoteLog()
    subscriber = new_subscriber(log)
    fill(log, 3)
    assert read(log, subscriber) == [(1, 0, 0), (2, 0, 0), (3, 0, 0)]
    assert read(log, subscriber) == []
    fill(log, 1)
    assert read(log, subscriber) == [(4, 0, 0)]
    assert log.delivered == 4


def test_subscribers_at_the_same_cursor_share_the_same_bytes() -> None:
    log = QuoteLog()
    one, other = new_subscriber(log), new_subscriber(log)
    fill(log, 4)
    assert log.read(one) is log.read(other)


def test_a_new_subscriber_gets_the_latest_quote_even_if_all_others_have_read_it() -> None:
    log = QuoteLog()
    subscriber = new_subscriber(log)
    fill(log, 3)
    log.read(subscriber)
    log.release(log.head)
    assert read(log, new_subscriber(log)) == [(3, 0, 0)]


def test_a_new_subscriber_gets_no_quote_that_is_stale() -> None:
    log, subscriber = QuoteLog(), Subscriber(SYMBOL, None)
    fill(log, 3)
    log.start_reading(subscriber, replay_latest=False)
    assert read(log, subscriber) == []


EXPECTED = {
    SlowConsumerPolicy.CONFLATE: [(10, 9, 0)],
    SlowConsumerPolicy.DROP_OLDEST: [(7, 0, 6), (8, 0, 0), (9, 0, 0), (10, 0, 0)],
}


@pytest.mark.parametrize(("policy", "expected"), EXPECTED.items(), ids=EXPECTED)
def test_beyond_the_limit_the_slow_consumer_policy_applies(
    policy: SlowConsumerPolicy, expected: list[tuple[int, int, int]]
) -> None:
    log, backlog = QuoteLog(), Backlog(policy, 4)
    subscriber = new_subscriber(log)
    fill(log, 10)
    backlog.reset(10)
    assert sent_quotes(log.catch_up(subscriber, backlog, 1)) == expected
    missed = sum(conflated + dropped for _, conflated, dropped in expected)
    assert log.conflated + log.dropped == backlog.conflated + backlog.dropped == missed
    assert log.delivered == len(expected)


@pytest.mark.parametrize("policy", SlowConsumerPolicy)
def test_within_the_limit_every_quote_is_sent(policy: SlowConsumerPolicy) -> None:
    log, backlog = QuoteLog(), Backlog(policy, 4)
    subscriber = new_subscriber(log)
    fill(log, 4)
    backlog.reset(4)
    assert [seq for seq, _, _ in sent_quotes(log.catch_up(subscriber, backlog, 1))] == [1, 2, 3, 4]
    assert not backlog.must_disconnect


@pytest.mark.parametrize("size", [0, 125, 126, 0xFFFF, 0x10000])
def test_frames_can_be_read_by_another_library(size: int) -> None:
    from wsproto.frame_protocol import FrameProtocol

    assert frames.payload(frames.text(b"x" * size)) == b"x" * size
    peer = FrameProtocol(client=True, extensions=[])
    peer.receive_bytes(frames.text(b"x" * size))
    assert "".join(frame.payload for frame in peer.received_frames()) == "x" * size


def test_a_long_close_reason_is_cut_at_a_character_boundary() -> None:
    data = frames.close(4410, "é" * 200)
    assert data[1] <= 125
    assert data[4:].decode()


def test_an_integer_size_stays_an_integer_on_the_wire() -> None:
    quote = messages.quote(SYMBOL, Tick(1.0, 300, 2.0, 0.5, None, "t"), "e", 1)
    expected = msgspec.json.decode(messages.encode(quote))
    assert expected["bid_size"] == 300
    assert isinstance(expected["bid_size"], int)
    assert "conflated" not in expected
