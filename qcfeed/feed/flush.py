"""From the logs to the readers: what one turn of the loop has for each, in one write a reader.

A reader that can be written to gets everything that was appended since its last turn, of all its
symbols. One that cannot falls behind; it is brought up to date when it can be again (``refill``).
No write is longer than a piece, but for the quotes of one symbol.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qcfeed.feed.log import Log
from qcfeed.feed.subscriber import Reader, Subscriber


class _Further:
    """Frames of a reader's second symbol in this turn, and of those after it."""

    __slots__ = ("parts", "size")

    def __init__(self, size: int) -> None:
        self.parts: list[bytes] = []
        self.size = size


class FlushBatch:
    """One turn: ``gather`` from every log that has news, then ``deliver``.

    ``piece``: bytes from which on a reader is given no more in the same write.
    """

    __slots__ = ("_first", "_further", "_piece", "_unfinished", "to_disconnect")

    def __init__(self, piece: int) -> None:
        self._piece = piece
        self._first: dict[Any, bytes] = {}
        self._further: dict[Any, _Further] = {}
        self._unfinished: dict[Any, None] = {}
        self.to_disconnect: dict[Any, None] = {}
        """Readers whose policy it is to be disconnected now."""

    def gather(self, log: Log, subscribers: Iterable[Subscriber]) -> None:
        """Take what is new in ``log`` for each of its subscribers, and let go of the rest."""
        head, first = log.head, self._first
        fresh, log.flushed = head - log.flushed, head
        low = head
        for subscriber in subscribers:
            if subscriber.cursor == head:
                continue
            reader = subscriber.reader
            if not reader.writable:
                low = min(low, self._fall_behind(reader, subscriber, head, fresh))
            elif reader not in first:
                first[reader] = log.read(subscriber)
            elif not self._add(reader, log, subscriber):
                low = min(low, subscriber.cursor)
        log.release(low)

    def send(self, log: Log, subscribers: Iterable[Subscriber]) -> None:
        """As ``gather`` and ``deliver``, where no other log has news: the first need not wait for the
        last to be gathered for.
        """
        head = log.head
        fresh, log.flushed = head - log.flushed, head
        low = head
        for subscriber in subscribers:
            if subscriber.cursor == head:
                continue
            reader = subscriber.reader
            if reader.writable:
                data = log.read(subscriber)
                try:
                    taken = reader.push(data)
                except OSError as error:
                    reader.keep(data, error)
                else:
                    if taken < len(data):
                        reader.keep(data[taken:], None)
            else:
                low = min(low, self._fall_behind(reader, subscriber, head, fresh))
        log.release(low)

    def deliver(self) -> None:
        """One write a reader; more for one that has more than a piece, while it takes it."""
        further = self._further
        for reader, data in self._first.items():
            if further and reader in further:
                reader.write(b"".join((data, *further[reader].parts)))
            else:
                reader.write(data)
        for reader in self._unfinished:
            if reader.writable:
                refill(reader, self._piece)
            else:
                self._note_backlog(reader)

    def _add(self, reader: Any, log: Log, subscriber: Subscriber) -> bool:
        """Whether there was room in the reader's piece."""
        further = self._further.get(reader)
        if further is None:
            further = self._further[reader] = _Further(len(self._first[reader]))
        if further.size >= self._piece:
            self._unfinished[reader] = None
            return False
        data = log.read(subscriber)
        further.parts.append(data)
        further.size += len(data)
        return True

    def _fall_behind(self, reader: Any, subscriber: Subscriber, head: int, fresh: int) -> int:
        """The place from which on the log is kept for ``subscriber``."""
        waiting, backlog = head - subscriber.cursor, reader.backlog
        backlog.behind += min(fresh, waiting)
        if backlog.behind > backlog.limit and not backlog.over_limit:
            self._note_backlog(reader)  # it may hold less by now
        elif backlog.must_disconnect:
            self.to_disconnect[reader] = None
        return head - int(backlog.keeps(waiting, len(reader.held)))

    def _note_backlog(self, reader: Any) -> None:
        """Count what ``reader`` has not read, and mark it if its policy is to be disconnected for it."""
        backlog = reader.backlog
        backlog.settle(lag(reader))
        if backlog.must_disconnect:
            self.to_disconnect[reader] = None


def refill(reader: Reader, piece: int) -> None:
    """``reader`` can be written to again: what its policy left of the meantime, until it is full again.

    In pieces, because one with a thousand symbols may have a megabyte to come. Who is full before
    the end goes on where it stopped.
    """
    parts: list[bytes] = []
    size = 0
    for subscriber in list(reader.held.values()):
        log = subscriber.log
        if log is None or subscriber.cursor == log.head:
            continue
        data = log.catch_up(subscriber, reader.backlog, len(reader.held))
        reader.held[subscriber.symbol] = reader.held.pop(subscriber.symbol)
        parts.append(data)
        size += len(data)
        if size >= piece:
            reader.write(b"".join(parts))
            if not reader.writable:  # it says so again when it has drained
                reader.backlog.settle(lag(reader))
                return
            parts, size = [], 0
    if parts:
        reader.write(b"".join(parts))
    reader.backlog.settle()


def lag(reader: Reader) -> int:
    """Quotes that ``reader`` has not had yet, over all that it holds. Cost: O(held)."""
    return sum(subscriber.lag for subscriber in list(reader.held.values()))
