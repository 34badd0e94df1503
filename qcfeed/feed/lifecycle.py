"""A feed's life: demand x upstream, as one table.

Everything that affects the machine is in this file, and ``TABLE`` is the truth: a pair of states
and an event that it does not list changes nothing. Time is an argument; commands come out.

- The last subscriber leaves: the feed lingers, then closes. One who comes meanwhile stays the end.
- One who comes while the upstream is closing waits until the old run has been joined.
- An upstream that ends backs off, and opens again only under demand. A backoff outlives its
  subscribers, so that a client that flaps cannot turn it into a hot loop.
- An event that bears another generation than the current one changes nothing.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Generic, TypeVar

from qcfeed.feed import backoff

S = TypeVar("S", bound=Hashable)

STEADY = 10.0
"""Seconds an upstream must have been open before its next failure counts as a first one."""


class Demand(StrEnum):
    """Does anybody want the feed?"""

    NONE = "none"
    WANTED = "wanted"
    LINGERING = "lingering"


class Upstream(StrEnum):
    """What the feed's upstream run is doing."""

    CLOSED = "closed"
    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"
    BACKOFF = "backoff"


class Event(Enum):
    ARRIVED = auto()
    """The first subscriber came."""
    EMPTIED = auto()
    """The last one left."""
    LINGERED = auto()
    """The linger time is over."""
    OPENED = auto()
    """The upstream says that quotes can be expected."""
    ENDED = auto()
    """The upstream's run is over and joined, whatever the cause."""
    RETRY = auto()
    """The backoff is over."""
    STOPPED = auto()
    """The feed is forced down, whoever still wants it."""


class Do(Enum):
    """What the machine wants done."""

    OPEN = auto()
    """Start an upstream run for ``generation``."""
    CLOSE = auto()
    """End the run of ``generation``, join it, and report it ENDED."""
    DROP = auto()
    """Forget the feed: snapshot, log and all."""


@dataclass(frozen=True, slots=True)
class Command:
    """One thing to do, for one life of the feed."""

    do: Do
    generation: int


_N, _W, _L = Demand.NONE, Demand.WANTED, Demand.LINGERING
_SHUT, _OPENING, _OPEN, _CLOSING, _BACKOFF = Upstream
_E = Event

State = tuple[Demand, Upstream]

TABLE: dict[tuple[Demand, Upstream, Event], tuple[Demand, Upstream, Do | None]] = {
    (_N, _SHUT, _E.ARRIVED): (_W, _OPENING, Do.OPEN),
    (_N, _SHUT, _E.STOPPED): (_N, _SHUT, Do.DROP),
    (_N, _CLOSING, _E.ARRIVED): (_W, _CLOSING, None),
    (_N, _CLOSING, _E.ENDED): (_N, _SHUT, Do.DROP),
    (_N, _BACKOFF, _E.ARRIVED): (_W, _BACKOFF, None),
    (_N, _BACKOFF, _E.RETRY): (_N, _SHUT, Do.DROP),
    (_N, _BACKOFF, _E.STOPPED): (_N, _SHUT, Do.DROP),
    (_W, _OPENING, _E.OPENED): (_W, _OPEN, None),
    (_W, _OPENING, _E.ENDED): (_W, _BACKOFF, None),
    (_W, _OPENING, _E.EMPTIED): (_L, _OPENING, None),
    (_W, _OPENING, _E.STOPPED): (_N, _CLOSING, Do.CLOSE),
    (_W, _OPEN, _E.ENDED): (_W, _BACKOFF, None),
    (_W, _OPEN, _E.EMPTIED): (_L, _OPEN, None),
    (_W, _OPEN, _E.STOPPED): (_N, _CLOSING, Do.CLOSE),
    (_W, _CLOSING, _E.ENDED): (_W, _OPENING, Do.OPEN),
    (_W, _CLOSING, _E.EMPTIED): (_N, _CLOSING, None),
    (_W, _CLOSING, _E.STOPPED): (_N, _CLOSING, None),
    (_W, _BACKOFF, _E.RETRY): (_W, _OPENING, Do.OPEN),
    (_W, _BACKOFF, _E.EMPTIED): (_N, _BACKOFF, None),
    (_W, _BACKOFF, _E.STOPPED): (_N, _SHUT, Do.DROP),
    (_L, _OPENING, _E.ARRIVED): (_W, _OPENING, None),
    (_L, _OPENING, _E.OPENED): (_L, _OPEN, None),
    (_L, _OPENING, _E.ENDED): (_N, _BACKOFF, None),
    (_L, _OPENING, _E.LINGERED): (_N, _CLOSING, Do.CLOSE),
    (_L, _OPENING, _E.STOPPED): (_N, _CLOSING, Do.CLOSE),
    (_L, _OPEN, _E.ARRIVED): (_W, _OPEN, None),
    (_L, _OPEN, _E.ENDED): (_N, _BACKOFF, None),
    (_L, _OPEN, _E.LINGERED): (_N, _CLOSING, Do.CLOSE),
    (_L, _OPEN, _E.STOPPED): (_N, _CLOSING, Do.CLOSE),
}


class Lifecycle(Generic[S]):
    """One feed's machine and its subscribers, who are held in a set and never counted beside it.

    ``linger`` is in seconds. Each method returns the commands to carry out, in order; after each,
    ``deadline`` says when ``tick`` wants to be called (None: not at all).
    """

    __slots__ = (
        "_attempt",
        "_linger",
        "_lingers_until",
        "_opened_at",
        "_retries_at",
        "demand",
        "generation",
        "subscribers",
        "upstream",
    )

    def __init__(self, linger: float) -> None:
        self.subscribers: set[S] = set()
        self.demand = Demand.NONE
        self.upstream = Upstream.CLOSED
        self.generation = 0
        self._linger = linger
        self._lingers_until = 0.0
        self._retries_at = 0.0
        self._opened_at = 0.0
        self._attempt = 0

    @property
    def deadline(self) -> float | None:
        """When ``tick`` is due next; never both clocks at once, by the table."""
        if self.demand is Demand.LINGERING:
            return self._lingers_until
        if self.upstream is Upstream.BACKOFF:
            return self._retries_at
        return None

    def subscribe(self, subscriber: S, now: float) -> list[Command]:
        """``subscriber`` wants the feed from now on. Asking twice is asking once."""
        first = not self.subscribers
        self.subscribers.add(subscriber)
        return self._on(Event.ARRIVED, now) if first else []

    def unsubscribe(self, subscriber: S, now: float) -> list[Command]:
        """``subscriber`` has left. One who is not there may leave."""
        if subscriber not in self.subscribers:
            return []
        self.subscribers.remove(subscriber)
        return [] if self.subscribers else self._on(Event.EMPTIED, now)

    def stop(self, now: float) -> list[Command]:
        """Force the feed down: nobody is a subscriber any more, nothing lingers."""
        self.subscribers.clear()
        return self._on(Event.STOPPED, now)

    def opened(self, generation: int, now: float) -> list[Command]:
        """The run of ``generation`` expects quotes."""
        return self._on(Event.OPENED, now) if generation == self.generation else []

    def ended(self, generation: int, now: float, draw: float) -> list[Command]:
        """The run of ``generation`` is over and joined. ``draw`` in [0, 1) jitters the backoff."""
        if generation != self.generation:
            return []
        if self.upstream is Upstream.OPEN and now - self._opened_at >= STEADY:
            self._attempt = 0
        self._retries_at = now + backoff.delay(self._attempt, draw)
        self._attempt += 1
        return self._on(Event.ENDED, now)

    def tick(self, now: float) -> list[Command]:
        """Time has passed; whatever is due happens."""
        if self.demand is Demand.LINGERING and now >= self._lingers_until:
            return self._on(Event.LINGERED, now)
        if self.upstream is Upstream.BACKOFF and now >= self._retries_at:
            return self._on(Event.RETRY, now)
        return []

    def _on(self, event: Event, now: float) -> list[Command]:
        row = TABLE.get((self.demand, self.upstream, event))
        if row is None:
            return []
        self.demand, self.upstream, do = row
        if event is Event.EMPTIED:
            self._lingers_until = now + self._linger
        elif event is Event.OPENED:
            self._opened_at = now
        if do is None:
            return []
        if do is Do.OPEN:
            self.generation += 1
        return [Command(do, self.generation)]
