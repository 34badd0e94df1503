"""The messages that wait for a gateway: bounded per symbol and in all, the oldest of a symbol first to go.

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
"""One more than are served one by one: of more, a gateway serves only the newest in any case."""
MOST_BYTES = 16 * 1_024 * 1_024
"""Bytes of messages that wait, over all symbols; with their objects, three times as much memory."""


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
        # asyncio.Queue counts what waits by the attribute `_queue`.
        messages: deque[Msg | None] = deque()
        self._queue = self._messages = messages

    def _put(self, item: Msg | None) -> None:
        self._messages.append(item)
        if item is not None:
            self._intake.waiting += len(item.data)
            while len(self._messages) > MOST_PER_SYMBOL or self._is_too_much():
                self._dropped += self._get() is not None

    def _is_too_much(self) -> bool:
        """The newest message stays, whatever others hold."""
        return self._intake.waiting > self._intake.most_bytes and len(self._messages) > 1

    def _get(self) -> Msg | None:
        item = self._messages.popleft()
        if item is not None:
            self._intake.waiting -= len(item.data)
        return item

    def discard(self) -> None:
        """Nobody reads it any more."""
        while self._messages:
            self._get()
