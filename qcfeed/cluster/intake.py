"""The messages that wait for a gateway, bounded per symbol and in total; a symbol's oldest are dropped first.

A gateway that falls behind goes on reading its socket, so that the server does not cut it off, and keeps only the
newest quotes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nats.aio.msg import Msg

    _Queue = asyncio.Queue[Msg | None]
else:
    _Queue = asyncio.Queue

MOST_PER_SYMBOL = 257
"""Messages of one symbol. It is one more than gateway.MAX_BATCH, above which only the newest is served."""
MOST_BYTES = 16 * 1_024 * 1_024
"""Bytes of waiting messages over all symbols; with Python's objects they take three times as much memory."""


class Intake:
    """What all subscriptions of one connection hold. ``waiting``: bytes."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self.waiting = 0

    def queue(self) -> IntakeQueue:
        return IntakeQueue(self)


class IntakeQueue(_Queue):
    """One subscription's messages. None is no message: it wakes the reader."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._dropped = 0
        super().__init__()

    @property
    def newest(self) -> Msg | None:
        """The message that came last, if it waits."""
        return self._messages[-1] if self._messages else None

    def take_dropped(self) -> int:
        """The messages dropped since the last call, which were older than those that wait."""
        dropped, self._dropped = self._dropped, 0
        return dropped

    # The three methods that asyncio.Queue has for subclasses.

    def _init(self, maxsize: int) -> None:  # noqa: ARG002 - it bounds itself
        # asyncio.Queue takes its size from the attribute ``_queue``.
        messages: deque[Msg | None] = deque()
        self._queue = self._messages = messages

    def _put(self, item: Msg | None) -> None:
        self._messages.append(item)
        if item is not None:
            self._intake.waiting += len(item.data)
            while len(self._messages) > MOST_PER_SYMBOL or self._is_too_much():
                self._dropped += self._get() is not None

    def _is_too_much(self) -> bool:
        """Whether to drop another message. The newest one of a symbol always stays."""
        return self._intake.waiting > self._intake.most_bytes and len(self._messages) > 1

    def _get(self) -> Msg | None:
        item = self._messages.popleft()
        if item is not None:
            self._intake.waiting -= len(item.data)
        return item

    def discard(self) -> None:
        """Drop all messages, so that they no longer count towards the limit of the connection."""
        while self._messages:
            self._get()
