"""A log of one feed's frames; each subscriber is a cursor in it.

The cost of appending does not depend on the number of subscribers. Frames from a cursor to the head
are joined once for all subscribers at the same cursor. Frames that every subscriber has read are
released at once. How many are kept for slow consumers is decided in feed/slow_consumer.py.
"""

from __future__ import annotations

from collections import deque

from qcfeed.feed.slow_consumer import Backlog
from qcfeed.feed.subscriber import Subscriber
from qcfeed.model import frames, messages
from qcfeed.model.encoded import EncodedQuote
from qcfeed.model.messages import Quote
from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy


class QuoteLog:
    """The frames of a feed that some subscriber still has to read, numbered from 0.

    ``first`` is the number of the oldest frame kept, ``head`` the number of the next one. The log
    itself has no bound: whoever appends must call ``release`` in the same turn of the loop.
    """

    __slots__ = (
        "_frames",
        "_joined",
        "_marked",
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
        """Frames before this number have been offered to every subscriber."""
        self.latest: bytes | None = None
        """The text of the latest quote, without marks."""
        self.delivered = 0
        """Quotes sent individually, summed over subscribers."""
        self.conflated = 0
        """Quotes reported to slow subscribers in another quote's ``conflated``, in total."""
        self.dropped = 0
        """Quotes reported to slow subscribers in another quote's ``dropped``, in total."""
        self._frames: list[bytes] = []
        # Frames from a cursor to the head, joined; valid until the next append or release.
        self._joined: dict[int, bytes] = {}
        # The numbers of frames that report quotes skipped by the upstream, with those quotes.
        self._marked: deque[tuple[int, EncodedQuote]] = deque(maxlen=_MAX_MARKED)

    def __len__(self) -> int:
        return len(self._frames)

    def append(self, quote: Quote) -> None:
        """Append a quote; it is encoded and framed once for all subscribers."""
        self._append(messages.encode(quote))

    def relay(self, quote: EncodedQuote) -> None:
        """Append a quote that is encoded already; it is framed, not decoded."""
        if quote.skipped:
            self._marked.append((self.head, quote))
            self._append(quote.marked())
            self.latest = quote.text
        else:
            self._append(quote.text)

    def _append(self, text: bytes) -> None:
        self.latest = text
        self._frames.append(frames.text(text))
        self.head += 1
        if self._joined:
            self._joined = {}

    def read(self, subscriber: Subscriber) -> bytes:
        """All frames from the subscriber's cursor on, joined; moves the cursor to the head."""
        cursor = subscriber.cursor
        self.delivered += self.head - cursor
        subscriber.cursor = self.head
        # Most subscribers have the same cursor and share one bytes object.
        data = self._joined.get(cursor)
        if data is None:
            data = self._joined[cursor] = b"".join(self._frames[cursor - self.first :])
        return data

    def catch_up(self, subscriber: Subscriber, backlog: Backlog, symbol_count: int) -> bytes:
        """Like ``read``, for a subscriber whose consumer was behind: applies the backlog's policy, and
        puts the queued statuses in their places.

        ``symbol_count``: how many symbols the consumer is subscribed to.
        """
        lag = self.head - subscriber.cursor
        # The consumer may have unsubscribed since frames were released, and its share per symbol
        # grown: no more frames can be kept than are still here.
        kept = min(backlog.retained(lag, symbol_count), len(self._frames))
        statuses, subscriber.queued_statuses = subscriber.queued_statuses, ()
        if not statuses and kept == lag:
            return self.read(subscriber)
        subscriber.cursor = self.head
        chosen = self._apply_policy(lag, kept, backlog)
        quotes = len(chosen)
        for status in reversed(statuses):
            # Older quotes come before the status and newer ones after it. Counted from the end,
            # because a policy leaves out the oldest.
            chosen.insert(max(0, quotes - (self.head - status.position)), status.frame)
        return b"".join(chosen)

    def _apply_policy(self, lag: int, kept: int, backlog: Backlog) -> list[bytes]:
        """The frames to send for ``lag`` unread quotes, of which the newest ``kept`` are still in the log."""
        if kept == lag:
            self.delivered += lag
            return self._frames[len(self._frames) - lag :]
        if backlog.policy is SlowConsumerPolicy.DROP_OLDEST and kept:
            skipped = lag - kept + self._skipped_upstream(lag, kept)
            backlog.dropped += skipped
            return self._drop(skipped, kept)
        # CONFLATE, or too many symbols for DROP_OLDEST: the newest quote stands for all others.
        skipped = lag - 1 + self._skipped_upstream(lag, 0)
        backlog.conflated += skipped
        return [self._conflate(skipped)]

    def start_reading(self, subscriber: Subscriber, *, replay_latest: bool) -> None:
        """Place a new subscriber at the head, or just before the latest quote if asked to replay it."""
        subscriber.log = self
        subscriber.cursor = self.head
        if replay_latest and self.latest is not None:
            subscriber.cursor -= 1
            # If all subscribers had read it, its frame was released.
            if self.first > subscriber.cursor:
                self._frames.insert(0, frames.text(self.latest))
                self.first -= 1

    def release(self, position: int) -> None:
        """Drop the frames before ``position``; no subscriber will read them any more."""
        if position > self.first:
            del self._frames[: position - self.first]
            self.first = position
            self._joined = {}

    def size(self, newest: int) -> int:
        """Bytes of the ``newest`` frames, as far as they are still kept. Cost: O(newest)."""
        kept = self._frames  # one read of the attribute: other threads call this
        return sum(map(len, kept[max(0, len(kept) - newest) :]))

    def _conflate(self, skipped: int) -> bytes:
        """The latest quote, which also stands for the ``skipped`` before it."""
        self.conflated += skipped
        self.delivered += 1
        return frames.text(EncodedQuote(self.latest or b"", conflated=skipped).marked())

    def _drop(self, skipped: int, kept: int) -> list[bytes]:
        """The newest ``kept`` quotes, the first of which reports the ``skipped`` before it."""
        self.dropped += skipped
        self.delivered += kept
        oldest, *rest = self._frames[-kept:]
        first = dict(self._marked).get(self.head - kept) or EncodedQuote(frames.payload(oldest))
        marked = first._replace(dropped=first.dropped + skipped).marked()
        return [frames.text(marked), *rest]

    def _skipped_upstream(self, lag: int, kept: int) -> int:
        """The quotes that the newest ``lag`` frames, but not the ``kept`` newest, report as skipped."""
        first, end = self.head - lag, self.head - kept
        return sum(quote.skipped for number, quote in self._marked if first <= number < end)


_MAX_MARKED = 1_024
"""Frames with marks that are remembered; a consumer that is behind further back sees a gap in ``seq``."""
