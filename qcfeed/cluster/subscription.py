"""A subscription to one subject, whose messages one reader takes in batches."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qcfeed.errors import UpstreamError

if TYPE_CHECKING:
    from nats.aio.subscription import Subscription as NatsSubscription

    from qcfeed.cluster.connection import NatsConnection

_lives = itertools.count(1)


class Subscription:
    """One subject's messages, for one reader."""

    def __init__(self, connection: NatsConnection, inner: NatsSubscription) -> None:
        self.subject = inner.subject
        self.life = str(next(_lives))
        """Identifies this subscription among all of the process, past ones included."""
        self._connection = connection
        self._inner = inner
        self._failure: str | None = None
        # Replaces nats-py's own queue, which drops the newest messages when it is full. Its callbacks and
        # iterators would cost a task per subscription or message; here the reader reads the queue itself.
        self._queue = connection.intake.queue()
        inner._pending_queue = self._queue  # type: ignore[assignment] # noqa: SLF001

    async def batch(self) -> Sequence[bytes]:
        """All messages that wait, at least one. Raises UpstreamError when the connection is lost."""
        first = await self._queue.get()
        found = [first]
        while not self._queue.empty():
            found.append(self._queue.get_nowait())
        if self._failure is not None:
            raise UpstreamError(self._failure)
        if None in found or self._connection.lost:
            raise self._connection.loss()
        return [each.data for each in found if each is not None]

    @property
    def newest(self) -> bytes | None:
        """The newest message that waits; None if there is none."""
        newest = self._queue.newest
        return None if newest is None else newest.data

    def take_dropped(self) -> int:
        """The messages dropped since the last call because too many waited: older than those that wait."""
        return self._queue.take_dropped()

    def fail(self, why: str) -> None:
        """Make the reader raise UpstreamError with ``why``: no more messages will come."""
        self._failure = why
        self.wake()

    def wake(self) -> None:
        """Wake the reader, so that it notices that the connection is lost."""
        self._queue.put_nowait(None)

    async def end(self) -> None:
        """Unsubscribe; nothing happens if the connection is lost already."""
        from nats import errors

        self._connection.subscriptions.discard(self)
        self._queue.discard()
        with contextlib.suppress(errors.Error, OSError):
            await self._inner.unsubscribe()
