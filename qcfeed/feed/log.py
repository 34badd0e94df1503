"""A log of one feed's frames; a subscriber is a cursor in it.

Appending costs nothing a subscriber. Reading joins the frames from a cursor to the head, once for
all who stand at the same place. What everybody has read is let go at once; how much is kept for
those who are slow, and what they get instead of the rest, is feed/slow_consumer.py's to say.
"""

from __future__ import annotations

from typing import cast

import msgspec

from qcfeed.feed.slow_consumer import Backlog
from qcfeed.feed.subscriber import Subscriber
from qcfeed.model import frames, messages
from qcfeed.model.messages import Quote
from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy


class Log:
    """The frames of a feed that somebody has still to read, numbered from 0.

    ``head`` is the next number. The log is as long as the slowest subscriber that it keeps frames
    for is behind: whoever appends must ``release`` in the same turn.
    """

    __slots__ = (
        "_frames",
        "_joined",
        "conflated",
        "delivered",
        "dropped",
        "first",
        "flushed",
        "head",
        "latest",
    )

    def __init__(self) -> None:
        self.first = 0
        self.head = 0
        self.flushed = 0
        """What came before was offered to every subscriber."""
        self.latest: Quote | None = None
        self.delivered = 0
        """Quotes read by subscribers, one by one, in all."""
        self.conflated = 0
        """Quotes that slow subscribers were told of by another's ``conflated``, in all."""
        self.dropped = 0
        """Quotes that slow subscribers were told of by another's ``dropped``, in all."""
        self._frames: list[bytes] = []
        self._joined: dict[int, bytes] = {}

    def __len__(self) -> int:
        return len(self._frames)

    def append(self, quote: Quote) -> None:
        """Add a quote as the newest frame: encoded once and framed once, for everybody."""
        self.latest = quote
        self._frames.append(frames.text(messages.encode(quote)))
        self.head += 1
        if self._joined:
            self._joined = {}

    def read(self, subscriber: Subscriber) -> bytes:
        """All that ``subscriber`` has not had yet, as frames in one piece; its cursor moves on."""
        cursor = subscriber.cursor
        self.delivered += self.head - cursor
        subscriber.cursor = self.head
        data = self._joined.get(cursor)
        if data is None:
            data = self._joined[cursor] = b"".join(self._frames[cursor - self.first :])
        return data

    def catch_up(self, subscriber: Subscriber, backlog: Backlog, holds: int) -> bytes:
        """As ``read``, for a subscriber whose reader was behind: as its policy has it.

        ``holds``: how many symbols its reader holds.
        """
        lag = self.head - subscriber.cursor
        # It may hold less by now, and so be allowed more, than when the log let go of the rest.
        kept = min(backlog.keeps(lag, holds), len(self._frames))
        if kept == lag:
            return self.read(subscriber)
        subscriber.cursor = self.head
        if backlog.policy is SlowConsumerPolicy.DROP_OLDEST and kept:
            backlog.dropped += lag - kept
            return self._drop(lag - kept, kept)
        backlog.conflated += lag - 1
        return self._conflate(lag - 1)

    def rewind(self, subscriber: Subscriber, *, snapshot: bool) -> None:
        """Place a newcomer: at the head, or before the latest quote where that may be replayed."""
        subscriber.log = self
        subscriber.cursor = self.head
        if snapshot and self.latest is not None:
            subscriber.cursor -= 1
            if self.first > subscriber.cursor:
                self._frames.insert(0, frames.text(messages.encode(self.latest)))
                self.first -= 1

    def release(self, position: int) -> None:
        """Let go of what stands before ``position``: nobody will read it any more."""
        if position > self.first:
            del self._frames[: position - self.first]
            self.first = position
            self._joined = {}

    def size(self, newest: int) -> int:
        """Bytes of the ``newest`` frames, as far as they are still here. Cost: O(newest)."""
        kept = self._frames  # may be read from any thread
        return sum(map(len, kept[max(0, len(kept) - newest) :]))

    def _conflate(self, skipped: int) -> bytes:
        self.conflated += skipped
        self.delivered += 1
        newest = cast("Quote", self.latest)
        return frames.text(messages.encode(msgspec.structs.replace(newest, conflated=skipped)))

    def _drop(self, skipped: int, kept: int) -> bytes:
        self.dropped += skipped
        self.delivered += kept
        oldest, *rest = self._frames[-kept:]
        quote = messages.decode_quote(frames.payload(oldest))
        told = msgspec.structs.replace(quote, dropped=skipped)
        return b"".join((frames.text(messages.encode(told)), *rest))
