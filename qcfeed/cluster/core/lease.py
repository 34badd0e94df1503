"""The lease by which at most one feeder owns a share: a state machine over a key with a time to live.

The key is created, and changed by compare-and-set, never otherwise. Its first revision is the owner's
epoch. The owner stops by its own clock before the key can have expired: a lease counts from when the
request that got it was *sent*. Time is an argument, in seconds of a clock that also runs while the
process is stopped. The caller carries out one request at a time and reports its outcome.

- A request whose answer is lost may have been carried out: the key is read before anything else is sent.
- Each attempt to acquire has a name of its own, so a late success of an earlier one is not taken for it.
- Gateways report the highest epoch that they have seen. If a feeder whose clock is behind has created the bucket
  again, revisions may be lower: the owner then raises them, and acquires the lease again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto


@dataclass(frozen=True, slots=True)
class CreateKey:
    """Create the key with ``holder`` as its value; fails with CONFLICT if there is a key."""

    holder: str


@dataclass(frozen=True, slots=True)
class UpdateKey:
    """Set the key to ``holder`` if its revision is still ``last``; else CONFLICT."""

    holder: str
    last: int


@dataclass(frozen=True, slots=True)
class ReadKey:
    """Read the key."""


@dataclass(frozen=True, slots=True)
class RaiseRevision:
    """Make every later revision higher than ``above``; a key whose revision is not is removed."""

    above: int


LeaseRequest = CreateKey | UpdateKey | ReadKey | RaiseRevision


@dataclass(frozen=True, slots=True)
class Stored:
    """A CreateKey or UpdateKey was carried out and gave the key this revision."""

    revision: int


@dataclass(frozen=True, slots=True)
class Entry:
    """What a ReadKey found: the value and revision of the key."""

    holder: str
    revision: int


@dataclass(frozen=True, slots=True)
class ObservedKey:
    """The key of another owner; ``since``: when this revision was first read."""

    holder: str
    revision: int
    since: float


class LeaseOutcome(Enum):
    """The other outcomes of a request."""

    ABSENT = auto()
    """A ReadKey found no key."""
    CONFLICT = auto()
    """A CreateKey or UpdateKey found another revision; nothing was stored."""
    UNKNOWN = auto()
    """No answer: it may have been carried out or not."""
    REFUSED = auto()
    """The store refused it, for example because it is full; nothing was stored."""
    RAISED = auto()
    """A RaiseRevision was carried out."""
    NO_BUCKET = auto()
    """There is no bucket, so no lease either."""


LeaseAnswer = Stored | Entry | LeaseOutcome

RELEASED = ""
"""The value of a key whose owner has given it up: any feeder may acquire it by compare-and-set."""


class Lease:
    """One feeder's side of the lease. ``name`` is this feeder's, ``ttl`` the bucket's time to live.

    ``due`` is when ``request`` must be called next.
    """

    def __init__(self, name: str, ttl: float, now: float, attempts: Callable[[], str]) -> None:
        """``attempts`` returns a text that it never returned before, in any process."""
        self.name = name
        self.ttl = ttl
        self.due = now
        self.epoch: int | None = None
        """The revision with which this feeder got the lease; None if it is not the owner."""
        self.owner = ""
        """The name of the owner, as last seen."""
        self.observed: ObservedKey | None = None
        """The key of another owner, as last read; None if there is none."""
        self.highest = 0
        """The highest revision seen; a bucket that is created again must begin above it."""
        self.floor = 0
        """The highest epoch of this share that a gateway has seen: the owner's must not be lower."""
        self.missed = 0
        """Renewals that were not carried out or not answered, since the start."""
        self._attempts = attempts
        self._holder = ""
        self._revision = 0
        self._valid_until = now
        self._sent_at = now
        self._acquired_at = now
        self._next: LeaseRequest | None = None
        self._floor_when_sent = 0

    # ------------------------------------------------------------ questions

    def holds(self, now: float) -> bool:
        """Whether this feeder is the owner at ``now``. Ask before each publication: it may have expired."""
        return self.epoch is not None and now < self._valid_until

    def left(self, now: float) -> float:
        """Seconds until the lease ends, unless it is renewed."""
        return max(0.0, self._valid_until - now) if self.epoch is not None else 0.0

    @property
    def margin(self) -> float:
        """Seconds by which the owner stops before the key can expire: clocks run at different rates."""
        return self.ttl * MARGIN

    def raise_floor(self, epoch: int) -> None:
        """A gateway has seen ``epoch``. If it is above the owner's, another feeder owns the share, or the
        bucket was created again: the outcome of the next renewal shows which.
        """
        self.floor = max(self.floor, epoch)

    # ------------------------------------------------------------ requests and answers

    def request(self, now: float) -> LeaseRequest:
        """What to send now. Its outcome must be reported with ``answered`` before the next one."""
        self._sent_at = now
        self._floor_when_sent = self.floor
        if self._next is not None:
            request, self._next = self._next, None
            if isinstance(request, UpdateKey) and self.epoch is None:
                self._acquired_at = now
            return request
        if self.epoch is not None:
            return UpdateKey(self._holder, self._revision)
        self._holder = f"{self.name} {self._attempts()}"
        self._acquired_at = now
        return CreateKey(self._holder)

    def answered(self, request: LeaseRequest, answer: LeaseAnswer, now: float) -> None:
        """Report the outcome of the last request."""
        if isinstance(request, ReadKey):
            self._read(answer, now)
        elif isinstance(answer, Stored):
            self._stored(answer, now)
        elif answer is LeaseOutcome.RAISED:
            self.due = now
        elif answer is LeaseOutcome.NO_BUCKET:
            self.lose(now)
        else:
            if self.epoch is not None:
                self.missed += 1
            # After a refusal nothing was stored; otherwise the key may be ours or another's.
            self._next = None if answer is LeaseOutcome.REFUSED else ReadKey()
            self.due = now if answer is LeaseOutcome.CONFLICT else now + self._retry
        self.expire(now)

    def expire(self, now: float) -> bool:
        """Give up a lease that may have run out; True if it had been held."""
        if self.epoch is None or now < self._valid_until:
            return False
        self.lose(now)
        return True

    def lose(self, now: float) -> None:
        """The lease is lost; try to get it again a little later."""
        self.epoch = None
        self._next = None
        self._valid_until = now
        self.due = now + self._retry

    def release(self) -> UpdateKey | None:
        """Stop being the owner at once; the request that lets another feeder take over without waiting."""
        if self.epoch is None:
            return None
        self.epoch = None
        return UpdateKey(RELEASED, self._revision)

    # ------------------------------------------------------------ outcomes

    @property
    def _retry(self) -> float:
        """Seconds between attempts to get or read the key."""
        return min(1.0, self.ttl / 8)

    def _stored(self, answer: Stored, now: float) -> None:
        self.highest = max(self.highest, answer.revision)
        # After a third, so that a renewal can fail and be repeated before the lease ends.
        self.due = self._sent_at + self.ttl / 3
        if self.epoch is None:
            self._acquire(answer.revision, self._sent_at, now)
        elif self.epoch < self._floor_when_sent:
            # The lease is ours, but a gateway has seen a higher epoch, which an earlier bucket must have given.
            self.lose(now)
            self._raise(now)
        else:
            self._revision = answer.revision
            self._valid_until = self._sent_at + self.ttl - self.margin

    def _raise(self, now: float) -> None:
        self._next = RaiseRevision(self.floor)
        self.due = now

    def _acquire(self, revision: int, sent_at: float, now: float) -> None:
        if revision <= self.floor:
            self._raise(now)
            return
        self.epoch = self._revision = revision
        self.owner, self.observed = self.name, None
        self._valid_until = sent_at + self.ttl - self.margin

    def _read(self, answer: LeaseAnswer, now: float) -> None:
        self.due = now + self._retry
        if isinstance(answer, Entry):
            self._found(answer, now)
        elif answer in (LeaseOutcome.ABSENT, LeaseOutcome.NO_BUCKET):
            self.owner, self.observed = "", None
            if self.epoch is not None:
                self.lose(now)
            elif answer is LeaseOutcome.ABSENT:
                self.due = now
        else:  # still unknown
            self._next = ReadKey()

    def _found(self, entry: Entry, now: float) -> None:
        self.highest = max(self.highest, entry.revision)
        self.owner = entry.holder.partition(" ")[0]
        self._note(entry, now)
        if entry.holder == self._holder:
            # Ours: the answer was lost. The lease counts from when the attempt to acquire it was sent, which is safe.
            self.due = now
            if self.epoch is None:
                self._acquire(entry.revision, self._acquired_at, now)
            self._revision = entry.revision
        elif self.epoch is not None:
            self.lose(now)
        elif entry.holder == RELEASED:
            self._holder = f"{self.name} {self._attempts()}"
            self._next = UpdateKey(self._holder, entry.revision)
            self.due = now
        else:  # another feeder's: a standby reads until it is given up or has expired
            self._next = ReadKey()
            self.due = now + min(LOOK, self.ttl / 8)

    def _note(self, entry: Entry, now: float) -> None:
        if not self.owner or self.owner == self.name:
            self.observed = None
        elif self.observed is None or self.observed.revision != entry.revision:
            self.observed = ObservedKey(self.owner, entry.revision, now)


MARGIN = 0.15
"""The share of the time to live by which the owner stops early."""
LOOK = 0.2
"""Seconds between a standby's reads of the owner's key, so the longest time that a released lease stays unused."""
