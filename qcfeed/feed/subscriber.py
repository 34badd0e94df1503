"""A subscriber is one consumer's subscription to one feed; a consumer is what its quotes are sent to.

In the service a consumer is a WebSocket connection: it has one subscriber per symbol.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from qcfeed.feed.slow_consumer import Backlog
from qcfeed.model.messages import CloseCode
from qcfeed.model.symbol import Symbol

if TYPE_CHECKING:
    from qcfeed.feed.log import QuoteLog

_serials = itertools.count(1)


class Consumer(Protocol):
    """Has subscribers and receives their quotes; in the service, a WebSocket connection.

    No method blocks.
    """

    backlog: Backlog
    subscribers: dict[Symbol, Subscriber]

    writable: bool
    """Whether everything written before has been handed to the kernel."""

    @property
    def push(self) -> Callable[[bytes], int]:
        """Send whole frames straight to the kernel; returns how many bytes the kernel accepted.

        Only for a writable consumer. The caller passes the rest to ``queue_unsent``. Raises OSError
        when the kernel accepted nothing.
        """

    def queue_unsent(self, rest: bytes, error: OSError | None) -> None:
        """Queue what a ``push`` did not send. ``error``: what that push raised, if anything."""

    def write(self, data: bytes) -> None:
        """Send whole frames."""

    stalled_since: float | None
    """Loop time since which the consumer is not writable; None while it is."""

    @property
    def connected(self) -> bool:
        """Whether the consumer is still connected; a subscriber of one that is not is an orphan."""

    def disconnect_slow(self) -> None:
        """Disconnect: the backlog is over its limit and the policy says so."""

    def evict(self, subscriber: Subscriber, code: CloseCode, reason: str) -> None:
        """Remove ``subscriber``, which the feed has ended, and tell the client why."""


class QueuedStatus(NamedTuple):
    """A status frame for a stalled consumer: due before the log's quote number ``position``."""

    frame: bytes
    position: int


class Subscriber:
    """One consumer's subscription to one feed: a cursor in the feed's log.

    It is also an owner in the sense of ``qcfeed.diagnostics``: a task spawned on its behalf is an
    orphan once the subscriber is closed.
    """

    __slots__ = ("closed_at", "consumer", "cursor", "log", "queued_statuses", "serial", "symbol")

    def __init__(self, symbol: Symbol, consumer: Consumer) -> None:
        self.serial = next(_serials)
        self.symbol = symbol
        self.consumer = consumer
        self.log: QuoteLog | None = None
        """The log it reads; set by ``QuoteLog.start_reading``."""
        self.cursor = 0
        self.queued_statuses: tuple[QueuedStatus, ...] = ()
        """Statuses that the consumer could not be sent yet, at most two; see ``queue_status``."""
        self.closed_at: float | None = None

    @property
    def closed(self) -> bool:
        return self.closed_at is not None

    @property
    def lag(self) -> int:
        """Quotes of its feed that the subscriber has not been sent yet."""
        return 0 if self.log is None else self.log.head - self.cursor

    def queue_status(self, status: QueuedStatus) -> None:
        """Keep ``status`` until the consumer is writable.

        At most two are kept. The first stays if quotes come between the two, because it is the `live` that
        announces them; otherwise the new one replaces it. So no quote follows a `stale` directly.
        """
        first = self.queued_statuses[:1]
        keep = first and first[0].position < status.position
        self.queued_statuses = (*first, status) if keep else (status,)

    def __str__(self) -> str:
        return f"subscriber {self.serial} of {self.symbol}"
