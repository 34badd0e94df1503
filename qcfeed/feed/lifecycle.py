"""The lifecycle of a feed: a state machine over demand x upstream, defined by one table.

Everything that affects the state machine is in this file. ``TABLE`` is complete: an event that it does
not list for a pair of states changes nothing. Time is an argument; the methods return commands.

- When the last subscriber leaves, the feed lingers, then closes. A subscriber that arrives in the
  meantime cancels the closing.
- A subscriber that arrives while the upstream is closing waits until the old task has been joined.
- When the upstream task ends by itself, the feed backs off, and reopens only if there is demand. The
  backoff outlasts the subscribers, so a client that reconnects in a loop cannot cause a reopen loop.
- An event of another generation than the current one changes nothing.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Generic, TypeVar

from qcfeed.feed import backoff

S = TypeVar("S", bound=Hashable)

STABLE_AFTER = 10.0
"""Seconds an upstream must have been open for its next failure to reset the backoff."""


class Demand(StrEnum):
    """Whether the feed has subscribers, or lingers after the last one left."""

    NONE = "none"
    WANTED = "wanted"
    LINGERING = "lingering"


class UpstreamState(StrEnum):
    """The state of the feed's upstream task."""

    CLOSED = "closed"
    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"
    BACKOFF = "backoff"


class LifecycleEvent(Enum):
    """What can happen to a feed."""

    FIRST_SUBSCRIBED = auto()
    """The feed got its first subscriber."""
    LAST_UNSUBSCRIBED = auto()
    """The feed lost its last subscriber."""
    LINGER_ENDED = auto()
    """The linger time is over."""
    OPENED = auto()
    """The upstream reports that quotes can be expected."""
    ENDED = auto()
    """The upstream task has ended and was joined, whatever the cause."""
    BACKOFF_ENDED = auto()
    """The backoff is over."""
    STOPPED = auto()
    """The feed is forced down, with or without subscribers."""


class Operation(Enum):
    """What the caller has to do."""

    OPEN = auto()
    """Start an upstream task for ``generation``."""
    CLOSE = auto()
    """Cancel the task of ``generation``, join it, and report that it ENDED."""
    DROP = auto()
    """Remove the feed with its log and its latest quote."""


@dataclass(frozen=True, slots=True)
class Command:
    """An operation to carry out, for one generation of the feed."""

    operation: Operation
    generation: int


_N, _W, _L = Demand.NONE, Demand.WANTED, Demand.LINGERING
_CLOSED, _OPENING, _OPEN, _CLOSING, _BACKOFF = UpstreamState
_E = LifecycleEvent

LifecycleState = tuple[Demand, UpstreamState]

TABLE: dict[
    tuple[Demand, UpstreamState, LifecycleEvent], tuple[Demand, UpstreamState, Operation | None]
] = {
    (_N, _CLOSED, _E.FIRST_SUBSCRIBED): (_W, _OPENING, Operation.OPEN),
    (_N, _CLOSED, _E.STOPPED): (_N, _CLOSED, Operation.DROP),
    (_N, _CLOSING, _E.FIRST_SUBSCRIBED): (_W, _CLOSING, None),
    (_N, _CLOSING, _E.ENDED): (_N, _CLOSED, Operation.DROP),
    (_N, _BACKOFF, _E.FIRST_SUBSCRIBED): (_W, _BACKOFF, None),
    (_N, _BACKOFF, _E.BACKOFF_ENDED): (_N, _CLOSED, Operation.DROP),
    (_N, _BACKOFF, _E.STOPPED): (_N, _CLOSED, Operation.DROP),
    (_W, _OPENING, _E.OPENED): (_W, _OPEN, None),
    (_W, _OPENING, _E.ENDED): (_W, _BACKOFF, None),
    (_W, _OPENING, _E.LAST_UNSUBSCRIBED): (_L, _OPENING, None),
    (_W, _OPENING, _E.STOPPED): (_N, _CLOSING, Operation.CLOSE),
    (_W, _OPEN, _E.ENDED): (_W, _BACKOFF, None),
    (_W, _OPEN, _E.LAST_UNSUBSCRIBED): (_L, _OPEN, None),
    (_W, _OPEN, _E.STOPPED): (_N, _CLOSING, Operation.CLOSE),
    (_W, _CLOSING, _E.ENDED): (_W, _OPENING, Operation.OPEN),
    (_W, _CLOSING, _E.LAST_UNSUBSCRIBED): (_N, _CLOSING, None),
    (_W, _CLOSING, _E.STOPPED): (_N, _CLOSING, None),
    (_W, _BACKOFF, _E.BACKOFF_ENDED): (_W, _OPENING, Operation.OPEN),
    (_W, _BACKOFF, _E.LAST_UNSUBSCRIBED): (_N, _BACKOFF, None),
    (_W, _BACKOFF, _E.STOPPED): (_N, _CLOSED, Operation.DROP),
    (_L, _OPENING, _E.FIRST_SUBSCRIBED): (_W, _OPENING, None),
    (_L, _OPENING, _E.OPENED): (_L, _OPEN, None),
    (_L, _OPENING, _E.ENDED): (_N, _BACKOFF, None),
    (_L, _OPENING, _E.LINGER_ENDED): (_N, _CLOSING, Operation.CLOSE),
    (_L, _OPENING, _E.STOPPED): (_N, _CLOSING, Operation.CLOSE),
    (_L, _OPEN, _E.FIRST_SUBSCRIBED): (_W, _OPEN, None),
    (_L, _OPEN, _E.ENDED): (_N, _BACKOFF, None),
    (_L, _OPEN, _E.LINGER_ENDED): (_N, _CLOSING, Operation.CLOSE),
    (_L, _OPEN, _E.STOPPED): (_N, _CLOSING, Operation.CLOSE),
}


class Lifecycle(Generic[S]):
    """One feed's state machine, and the set of its subscribers.

    ``linger`` is in seconds. Each method returns the commands to carry out, in order. After each call
    ``deadline`` says when ``tick`` must be called next (None: not at all). There is no counter of
    subscribers beside the set: the two could disagree.
    """

    __slots__ = (
        "_attempt",
        "_linger",
        "_opened_at",
        "demand",
        "generation",
        "lingers_until",
        "retries_at",
        "subscribers",
        "upstream",
    )

    def __init__(self, linger: float) -> None:
        self.subscribers: set[S] = set()
        self.demand = Demand.NONE
        self.upstream = UpstreamState.CLOSED
        self.generation = 0
        self._linger = linger
        self.lingers_until = 0.0
        """When the linger time ends, if the feed lingers."""
        self.retries_at = 0.0
        """When the upstream is opened again, if the feed backs off."""
        self._opened_at = 0.0
        self._attempt = 0

    @property
    def deadline(self) -> float | None:
        """When ``tick`` is due next. The table rules out that linger and backoff run at once."""
        if self.demand is Demand.LINGERING:
            return self.lingers_until
        if self.upstream is UpstreamState.BACKOFF:
            return self.retries_at
        return None

    def subscribe(self, subscriber: S, now: float) -> list[Command]:
        """Add ``subscriber``; idempotent."""
        first = not self.subscribers
        self.subscribers.add(subscriber)
        return self._on(LifecycleEvent.FIRST_SUBSCRIBED, now) if first else []

    def unsubscribe(self, subscriber: S, now: float) -> list[Command]:
        """Remove ``subscriber``; idempotent."""
        if subscriber not in self.subscribers:
            return []
        self.subscribers.remove(subscriber)
        return [] if self.subscribers else self._on(LifecycleEvent.LAST_UNSUBSCRIBED, now)

    def stop(self, now: float) -> list[Command]:
        """Force the feed down: remove all subscribers, without lingering."""
        self.subscribers.clear()
        return self._on(LifecycleEvent.STOPPED, now)

    def opened(self, generation: int, now: float) -> list[Command]:
        """The upstream task of ``generation`` reports that quotes can be expected."""
        return self._on(LifecycleEvent.OPENED, now) if generation == self.generation else []

    def ended(self, generation: int, now: float, draw: float) -> list[Command]:
        """The task of ``generation`` has ended and was joined. ``draw`` in [0, 1) jitters the backoff."""
        if generation != self.generation:
            return []
        # Only a task that ran well for a while ends the growth of the backoff.
        if self.upstream is UpstreamState.OPEN and now - self._opened_at >= STABLE_AFTER:
            self._attempt = 0
        self.retries_at = now + backoff.delay(self._attempt, draw)
        self._attempt += 1
        return self._on(LifecycleEvent.ENDED, now)

    def tick(self, now: float) -> list[Command]:
        """Handle the deadlines that are due at ``now``."""
        if self.demand is Demand.LINGERING and now >= self.lingers_until:
            return self._on(LifecycleEvent.LINGER_ENDED, now)
        if self.upstream is UpstreamState.BACKOFF and now >= self.retries_at:
            return self._on(LifecycleEvent.BACKOFF_ENDED, now)
        return []

    def _on(self, event: LifecycleEvent, now: float) -> list[Command]:
        row = TABLE.get((self.demand, self.upstream, event))
        if row is None:
            return []
        self.demand, self.upstream, operation = row
        if event is LifecycleEvent.LAST_UNSUBSCRIBED:
            self.lingers_until = now + self._linger
        elif event is LifecycleEvent.OPENED:
            self._opened_at = now
        if operation is None:
            return []
        if operation is Operation.OPEN:
            self.generation += 1
        return [Command(operation, self.generation)]
