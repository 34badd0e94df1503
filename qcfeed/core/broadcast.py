"""A bounded log of one feed's frames; a subscriber is a cursor in it.

Appending costs nothing a subscriber. Reading joins the frames from a cursor to the head, once for
all who stand at the same place. What everybody has read is let go at once; what a slow one has not
read is kept up to the log's capacity, and then conflated for it: it gets the newest quote, which
says how many others it stands for.
"""

from __future__ import annotations

import itertools
from typing import Any, Generic, TypeVar

import msgspec

from qcfeed.core import frames, messages
from qcfeed.core.messages import Quote
from qcfeed.core.symbol import Symbol

R = TypeVar("R")

_serials = itertools.count(1)


class Subscriber(Generic[R]):
    """One reader's hold on one feed: a cursor, and whether it is still held.

    It is also an owner in the sense of ``qcfeed.diagnostics``: what is spawned on its behalf must
    not outlive it.
    """

    __slots__ = ("closed_at", "cursor", "reader", "serial", "symbol")

    def __init__(self, symbol: Symbol, reader: R) -> None:
        self.serial = next(_serials)
        self.symbol = symbol
        self.reader = reader
        self.cursor = 0
        self.closed_at: float | None = None

    @property
    def closed(self) -> bool:
        return self.closed_at is not None

    def __str__(self) -> str:
        return f"subscriber {self.serial} of {self.symbol}"


class Log:
    """The newest ``capacity`` frames of a feed, numbered from 0; ``head`` is the next number."""

    __slots__ = ("_frames", "_joined", "capacity", "conflated", "first", "head", "latest")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.first = 0
        self.head = 0
        self.latest: Quote | None = None
        self.conflated = 0
        """Quotes that slow subscribers did not get one by one, in all."""
        self._frames: list[bytes] = []
        self._joined: dict[int, bytes] = {}

    def append(self, quote: Quote) -> None:
        """Add a quote as the newest frame: encoded once and framed once, for everybody."""
        self.latest = quote
        self._frames.append(frames.text(messages.encode(quote)))
        self.head += 1
        if self._joined:
            self._joined = {}
        if len(self._frames) > 2 * self.capacity:
            self.release(self.head - self.capacity)

    def read(self, subscriber: Subscriber[Any]) -> bytes:
        """All that ``subscriber`` has not had yet, as frames in one piece; its cursor moves on."""
        cursor = subscriber.cursor
        subscriber.cursor = self.head
        if cursor == self.head or self.latest is None:
            return b""
        if cursor < self.head - self.capacity:
            return self._conflate(self.latest, self.head - cursor - 1)
        data = self._joined.get(cursor)
        if data is None:
            data = b"".join(self._frames[cursor - self.first :])
            self._joined[cursor] = data
        return data

    def rewind(self, subscriber: Subscriber[Any], *, snapshot: bool) -> None:
        """Place a newcomer: at the head, or before the latest quote where that may be replayed."""
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

    def _conflate(self, latest: Quote, skipped: int) -> bytes:
        self.conflated += skipped
        return frames.text(messages.encode(msgspec.structs.replace(latest, conflated=skipped)))
