"""A backlog is sent in writes of limited size."""

from __future__ import annotations

from typing import Any

from qcfeed.feed import flush
from qcfeed.feed.log import QuoteLog
from qcfeed.feed.slow_consumer import Backlog
from qcfeed.feed.subscriber import Subscriber
from qcfeed.model import messages
from qcfeed.model.messages import Tick
from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy
from qcfeed.model.symbol import Symbol

SYMBOLS = [Symbol(f"S{number}") for number in range(10)]


class Reader:
    """A consumer that accepts everything and keeps each write."""

    writable = True

    def __init__(self) -> None:
        self.backlog = Backlog(SlowConsumerPolicy.CONFLATE, limit=100)
        self.subscribers: dict[Symbol, Subscriber] = {}
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)


def reader_behind() -> tuple[Any, int]:
    """A consumer of ten symbols with one unread quote each, and the bytes of one quote."""
    reader: Any = Reader()
    size = 0
    for symbol in SYMBOLS:
        log, subscriber = QuoteLog(), Subscriber(symbol, reader)
        log.start_reading(subscriber, replay_latest=False)
        tick = Tick(1.0, 100, 1.5, 200, 1.25, "2024-03-20T02:15:00Z")
        log.append(messages.quote(symbol, tick, "e", 1))
        size = log.size(1)
        reader.subscribers[symbol] = subscriber
    return reader, size


def test_a_backlog_is_sent_in_writes_of_limited_size() -> None:
    reader, size = reader_behind()
    flush.send_backlog(reader, max_write=3 * size - 1)
    assert [len(each) for each in reader.writes] == [3 * size, 3 * size, 3 * size, size]
    assert flush.total_lag(reader) == 0


def test_a_backlog_below_the_limit_is_one_write() -> None:
    reader, size = reader_behind()
    flush.send_backlog(reader, max_write=100 * size)
    assert [len(each) for each in reader.writes] == [10 * size]
