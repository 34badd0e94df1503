"""A subscriber: one reader's hold on one feed; and what a feed expects of a reader."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from qcfeed.feed.slow_consumer import Backlog
from qcfeed.model.messages import CloseCode, Status
from qcfeed.model.symbol import Symbol

if TYPE_CHECKING:
    from qcfeed.feed.log import Log

_serials = itertools.count(1)


class Reader(Protocol):
    """Holds subscriptions and is sent quotes; in the service, a WebSocket connection. Calls never block."""

    backlog: Backlog
    held: dict[Symbol, Subscriber]

    writable: bool
    """Whether all that was written before has left for the kernel."""

    @property
    def push(self) -> Callable[[bytes], int]:
        """Gives whole frames to the kernel, past all that would keep them: how many bytes it took.

        For a reader that is writable; what was not taken it is told by ``keep``. Raises OSError when
        nothing was.
        """

    def keep(self, rest: bytes, error: OSError | None) -> None:
        """What a push did not take: to be sent when there is room. ``error``: what it raised."""

    def write(self, data: bytes) -> None:
        """Send whole frames."""

    stalled_since: float | None
    """Since when it is not writable, in loop time; None when it is."""

    @property
    def connected(self) -> bool:
        """Whether it is still there; a hold of one that is not is an orphan."""

    def disconnect_slow(self) -> None:
        """It is further behind than it may be, and its policy is to be disconnected."""

    def tell(self, status: Status) -> None:
        """Send a status; one that waits for the same symbol is replaced."""

    def evict(self, subscriber: Subscriber, code: CloseCode, reason: str) -> None:
        """The feed has let go of ``subscriber``; the reader is told why."""


class Subscriber:
    """One reader's hold on one feed: a cursor in its log, and whether it is still held.

    It is also an owner in the sense of ``qcfeed.diagnostics``: what is spawned on its behalf must
    not outlive it.
    """

    __slots__ = ("closed_at", "cursor", "log", "reader", "serial", "symbol")

    def __init__(self, symbol: Symbol, reader: Reader) -> None:
        self.serial = next(_serials)
        self.symbol = symbol
        self.reader = reader
        self.log: Log | None = None
        """Where it reads, once it was placed there (``Log.rewind``)."""
        self.cursor = 0
        self.closed_at: float | None = None

    @property
    def closed(self) -> bool:
        return self.closed_at is not None

    @property
    def lag(self) -> int:
        """Quotes of its feed that it has not had yet."""
        return 0 if self.log is None else self.log.head - self.cursor

    def __str__(self) -> str:
        return f"subscriber {self.serial} of {self.symbol}"
