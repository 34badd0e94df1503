"""Writes new quotes from the logs to the consumers, once per turn of the loop.

A consumer that is writable gets everything appended since its last turn, for all its symbols, in a
single write. A consumer that is not writable falls behind; ``send_backlog`` catches it up once it is
writable again. A write never exceeds ``max_write`` bytes by more than one symbol's quotes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qcfeed.feed.log import QuoteLog
from qcfeed.feed.subscriber import Consumer, QueuedStatus, Subscriber


class _MoreFrames:
    """A consumer's frames of this turn, from its second symbol on; ``size`` counts all of them."""

    __slots__ = ("parts", "size")

    def __init__(self, size: int) -> None:
        self.parts: list[bytes] = []
        self.size = size


class FlushBatch:
    """One turn of the loop: ``gather`` from every log that has new quotes, then ``deliver``.

    ``max_write``: once a write to one consumer has this many bytes, no further symbol is added to it.
    """

    __slots__ = ("_first", "_max_write", "_more_frames", "_unfinished", "to_disconnect")

    def __init__(self, max_write: int) -> None:
        self._max_write = max_write
        # Most consumers have one symbol with news per turn: its frames need no object of their own.
        self._first: dict[Any, bytes] = {}
        self._more_frames: dict[Any, _MoreFrames] = {}
        # Consumers whose write is full before all their symbols are in it. A dict keeps their order.
        self._unfinished: dict[Any, None] = {}
        self.to_disconnect: dict[Any, None] = {}
        """Consumers that exceeded their limit and whose policy is to be disconnected."""

    def gather(self, log: QuoteLog, subscribers: Iterable[Subscriber]) -> None:
        """Collect the new frames of ``log`` for each subscriber; release frames nobody needs."""
        head, first = log.head, self._first
        fresh, log.flushed = head - log.flushed, head
        # The oldest position from which some subscriber still has to read.
        low = head
        for subscriber in subscribers:
            if subscriber.cursor == head:
                continue
            consumer = subscriber.consumer
            if not consumer.writable:
                low = min(low, self._fall_behind(consumer, subscriber, head, fresh))
            elif consumer not in first:
                first[consumer] = log.read(subscriber)
            elif not self._add(consumer, log, subscriber):
                low = min(low, subscriber.cursor)
        log.release(low)

    def send(self, log: QuoteLog, subscribers: Iterable[Subscriber]) -> None:
        """Do ``gather`` and ``deliver`` in one pass, when no other log has new quotes this turn.

        The first consumer need not wait until the last one's frames have been gathered.
        """
        head = log.head
        fresh, log.flushed = head - log.flushed, head
        low = head
        for subscriber in subscribers:
            if subscriber.cursor == head:
                continue
            consumer = subscriber.consumer
            if consumer.writable:
                data = log.read(subscriber)
                try:
                    taken = consumer.push(data)
                except OSError as error:
                    consumer.queue_unsent(data, error)
                else:
                    if taken < len(data):
                        consumer.queue_unsent(data[taken:], None)
            else:
                low = min(low, self._fall_behind(consumer, subscriber, head, fresh))
        log.release(low)

    def deliver(self) -> None:
        """Write each consumer's frames: one write, or several if they exceed ``max_write``."""
        more_frames = self._more_frames
        for consumer, data in self._first.items():
            if more_frames and consumer in more_frames:
                consumer.write(b"".join((data, *more_frames[consumer].parts)))
            else:
                consumer.write(data)
        for consumer in self._unfinished:
            # The write above may have filled its buffer.
            if consumer.writable:
                send_backlog(consumer, self._max_write)
            else:
                self._note_backlog(consumer)

    def _add(self, consumer: Any, log: QuoteLog, subscriber: Subscriber) -> bool:
        """Add a further symbol to the consumer's write; False if the write is full."""
        more_frames = self._more_frames.get(consumer)
        if more_frames is None:
            more_frames = self._more_frames[consumer] = _MoreFrames(len(self._first[consumer]))
        if more_frames.size >= self._max_write:
            self._unfinished[consumer] = None
            return False
        data = log.read(subscriber)
        more_frames.parts.append(data)
        more_frames.size += len(data)
        return True

    def _fall_behind(self, consumer: Any, subscriber: Subscriber, head: int, fresh: int) -> int:
        """Count ``fresh`` quotes as unread; return the position from which the log must keep frames."""
        lag, backlog = head - subscriber.cursor, consumer.backlog
        backlog.behind += min(fresh, lag)
        if backlog.behind > backlog.limit and not backlog.over_limit:
            # ``behind`` may be too high: the consumer may have unsubscribed from symbols since.
            self._note_backlog(consumer)
        elif backlog.must_disconnect:
            self.to_disconnect[consumer] = None
        return head - int(backlog.retained(lag, len(consumer.subscribers)))

    def _note_backlog(self, consumer: Any) -> None:
        """Recount the consumer's unread quotes; mark it if its policy is to be disconnected."""
        backlog = consumer.backlog
        backlog.reset(total_lag(consumer))
        if backlog.must_disconnect:
            self.to_disconnect[consumer] = None


def send_backlog(consumer: Consumer, max_write: int) -> None:
    """Send a writable consumer everything its policy left of the quotes it has not read.

    Writes at most ``max_write`` bytes plus one symbol's quotes at a time, because a consumer of a
    thousand symbols may have a megabyte to receive. Stops when the consumer is no longer writable.
    """
    parts: list[bytes] = []
    size = 0
    # A copy, because the loop reorders the dict.
    for subscriber in list(consumer.subscribers.values()):
        log = subscriber.log
        if log is None or not (subscriber.lag or subscriber.queued_statuses):
            continue
        data = log.catch_up(subscriber, consumer.backlog, len(consumer.subscribers))
        # Move the symbol to the end: a consumer that never catches up still gets every symbol in turn.
        consumer.subscribers[subscriber.symbol] = consumer.subscribers.pop(subscriber.symbol)
        parts.append(data)
        size += len(data)
        if size >= max_write:
            consumer.write(b"".join(parts))
            if not consumer.writable:  # the consumer calls again when it is writable
                consumer.backlog.reset(total_lag(consumer))
                return
            parts, size = [], 0
    if parts:
        consumer.write(b"".join(parts))
    consumer.backlog.reset()


def send_status(subscriber: Subscriber, log: QuoteLog, frame: bytes) -> None:
    """Send a status behind all quotes that ``log`` has so far.

    For a consumer that is not writable it is queued.
    """
    consumer = subscriber.consumer
    if consumer.writable and subscriber.lag:
        consumer.write(log.read(subscriber))
    if consumer.writable:
        consumer.write(frame)
    else:
        subscriber.queue_status(QueuedStatus(frame, log.head))


def total_lag(consumer: Consumer) -> int:
    """Quotes that ``consumer`` has not been sent yet, over all its symbols. Cost: O(symbols)."""
    return sum(subscriber.lag for subscriber in list(consumer.subscribers.values()))
