"""Several feeders, one key, two gateways: at no moment two owners, and epochs that only rise at a gateway.

The model has true time. Each feeder's clock has its own offset, an hour in both directions, and its rate is
wrong by up to 3 %. Requests and answers are lost or late, feeders are paused at any point, also between asking
whether they hold the lease and publishing, and the bucket is deleted and created again by any of them, with
first revisions by its own clock. At the end, once nothing fails any more, quotes reach both gateways.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from qcfeed.cluster.core.envelope import Epoch, PublishedQuote
from qcfeed.cluster.core.epochs import OwnerEpochs, QuoteOrder
from qcfeed.cluster.core.lease import (
    RELEASED,
    Entry,
    Lease,
    LeaseAnswer,
    LeaseOutcome,
    LeaseRequest,
    RaiseRevision,
    ReadKey,
    Stored,
    UpdateKey,
)
from qcfeed.cluster.core.shares import Share
from qcfeed.model.symbol import Symbol

TTL = 10.0
AAPL = Symbol("AAPL")


class Store:
    """The bucket: one key with a time to live, on true time."""

    def __init__(self) -> None:
        self.revision = 0
        self.value: str | None = None
        self.key_revision = 0
        self.expires = 0.0
        self.exists = True

    def carry_out(self, request: LeaseRequest, now: float) -> LeaseAnswer:
        if now >= self.expires:
            self.value = None
        if not self.exists:
            return LeaseOutcome.NO_BUCKET
        if isinstance(request, ReadKey):
            if self.value is None:
                return LeaseOutcome.ABSENT
            return Entry(self.value, self.key_revision)
        if isinstance(request, RaiseRevision):
            if self.key_revision <= request.above:
                self.value = None
            self.revision = max(self.revision, request.above)
            return LeaseOutcome.RAISED
        last = request.last if isinstance(request, UpdateKey) else 0
        if last != (self.key_revision if self.value is not None else 0):
            return LeaseOutcome.CONFLICT
        self.revision += 1
        self.key_revision, self.value, self.expires = self.revision, request.holder, now + TTL
        return Stored(self.revision)

    def create_again(self, first: int) -> None:
        self.exists, self.value, self.revision = True, None, first - 1


@dataclass
class Feeder:
    lease: Lease
    offset: float
    rate: float
    seq: dict[int, int] = field(default_factory=dict)
    prepared: PublishedQuote | None = None

    def clock(self, true: float) -> float:
        return self.offset + true * self.rate

    def first_revision(self, true: float) -> int:
        """As a feeder chooses it: above all that it knows, and its clock's time in microseconds."""
        known = max(self.lease.highest, self.lease.floor)
        return max(known + 1, int((self.clock(true) + 10_000) * 1e6))


class Gateway:
    def __init__(self) -> None:
        self.owners = OwnerEpochs()
        self.order = QuoteOrder(AAPL, self.owners)
        self.seen: list[tuple[Epoch, int]] = []

    def hear(self, epoch: int) -> int:
        """An announcement; the answer is the lowest epoch that the gateway accepts."""
        self.owners.raise_to(Share(), epoch)
        return self.owners.of(Share())

    def take(self, quote: PublishedQuote) -> bool:
        if self.order.accept(quote) is None:
            return False
        assert quote.epoch.revision >= self.owners.highest
        self.seen.append((quote.epoch, quote.seq))
        return True


class Cluster(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.deleted_at = -TTL - 1.0
        self.store = Store()
        self.names = itertools.count()
        self.feeders: list[Feeder] = []
        self.delayed: list[LeaseRequest] = []
        """Requests that are still on their way to the store."""
        self.in_flight: list[PublishedQuote] = []
        self.gateways = [Gateway(), Gateway()]
        for number, (offset, rate) in enumerate(((0.0, 1.0), (3600.0, 1.03), (-3600.0, 0.97))):
            lease = Lease(f"f{number}", TTL, offset, lambda: str(next(self.names)))
            self.feeders.append(Feeder(lease, offset, rate))

    # ------------------------------------------------------------ what can happen

    @rule(seconds=st.floats(0.01, 4.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(after=st.floats(0.0, 0.5), which=st.integers(0, 2))
    def the_key_expires_and_another_feeder_acts(self, after: float, which: int) -> None:
        self.now = max(self.now, self.store.expires + after)
        for _ in range(3):  # it may have to read first
            self.a_feeder_acts(which, "ok")

    @rule(which=st.integers(0, 2), fate=st.sampled_from(["ok", "ok", "ok", "answer lost", "late"]))
    def a_feeder_acts(self, which: int, fate: str) -> None:
        feeder = self.feeders[which]
        lease, now = feeder.lease, feeder.clock(self.now)
        lease.expire(now)
        if now < lease.due:
            return
        request = lease.request(now)
        answer: LeaseAnswer = LeaseOutcome.UNKNOWN
        if fate == "late":
            self.delayed.append(request)
        else:
            done = self.store.carry_out(request, self.now)
            answer = done if fate == "ok" else LeaseOutcome.UNKNOWN
        if answer is LeaseOutcome.NO_BUCKET:
            self.create_bucket(feeder)
        lease.answered(request, answer, now)

    @rule(which=st.integers(0, 2), seconds=st.floats(0.0, 6.0))
    def an_answer_takes_time(self, which: int, seconds: float) -> None:
        feeder = self.feeders[which]
        lease, now = feeder.lease, feeder.clock(self.now)
        lease.expire(now)
        if now < lease.due:
            return
        request = lease.request(now)
        answer = self.store.carry_out(request, self.now)
        self.now += seconds
        lease.expire(feeder.clock(self.now))  # by the feeder's other task
        if answer is LeaseOutcome.NO_BUCKET:
            self.create_bucket(feeder)
        lease.answered(request, answer, feeder.clock(self.now))

    @precondition(lambda self: self.delayed)
    @rule(data=st.data())
    def a_late_request_arrives(self, data: st.DataObject) -> None:
        request = self.delayed.pop(data.draw(st.integers(0, len(self.delayed) - 1)))
        self.store.carry_out(request, self.now)

    @rule(which=st.integers(0, 2))
    def a_feeder_gives_up(self, which: int) -> None:
        request = self.feeders[which].lease.release()
        if request is not None:
            assert request.holder == RELEASED
            self.store.carry_out(request, self.now)

    def create_bucket(self, feeder: Feeder) -> None:
        self.store.create_again(feeder.first_revision(self.now))

    @rule()
    def the_bucket_is_deleted(self) -> None:
        self.now += 0.1  # not twice in one microsecond
        self.store.exists, self.store.value = False, None
        self.deleted_at = self.now

    @rule(which=st.integers(0, 2))
    def a_feeder_prepares_a_quote(self, which: int) -> None:
        """It holds the lease now. It may be stopped before the quote leaves."""
        feeder = self.feeders[which]
        epoch = feeder.lease.epoch
        if epoch is not None and feeder.lease.holds(feeder.clock(self.now)):
            seq = feeder.seq[epoch] = feeder.seq.get(epoch, 0) + 1
            feeder.prepared = PublishedQuote(Epoch(epoch, 1), seq, b"")

    @rule(which=st.integers(0, 2), at=st.integers(0, 1), answered=st.booleans())
    def an_announcement_arrives(self, which: int, at: int, answered: bool) -> None:
        feeder = self.feeders[which]
        epoch = feeder.lease.epoch
        if epoch is not None and feeder.lease.holds(feeder.clock(self.now)):
            floor = self.gateways[at].hear(epoch)
            if answered:
                feeder.lease.raise_floor(floor)

    @rule(which=st.integers(0, 2))
    def the_quote_leaves(self, which: int) -> None:
        feeder = self.feeders[which]
        if feeder.prepared is not None:
            self.in_flight.append(feeder.prepared)
            feeder.prepared = None

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), at=st.integers(0, 1))
    def a_quote_arrives(self, data: st.DataObject, at: int) -> None:
        quote = self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))
        self.gateways[at].take(quote)

    # ------------------------------------------------------------ what must be true

    @invariant()
    def there_is_one_owner_at_most(self) -> None:
        owners = [
            feeder.lease.epoch
            for feeder in self.feeders
            if feeder.lease.holds(feeder.clock(self.now))
        ]
        # After the bucket was deleted, the owner finds out at its next request; until then its epoch is
        # lower than the new owner's, and a gateway drops it.
        assert len(owners) == len(set(owners))
        if self.now > self.deleted_at + TTL:
            assert len(owners) <= 1

    @invariant()
    def what_a_gateway_sees_only_rises(self) -> None:
        for each in self.gateways:
            assert each.seen == sorted(set(each.seen))

    def teardown(self) -> None:
        """Nothing fails any more: within four leases, quotes reach every gateway."""
        self.delayed.clear()
        before = [len(each.seen) for each in self.gateways]
        ends = self.now + 4 * TTL
        while self.now < ends:
            self.now += 0.5
            for which, feeder in enumerate(self.feeders):
                self.a_feeder_acts(which, "ok")
                for at in range(len(self.gateways)):
                    self.an_announcement_arrives(which, at, True)
                self.a_feeder_prepares_a_quote(which)
                if feeder.prepared is not None:
                    for each in self.gateways:
                        each.take(feeder.prepared)
                    feeder.prepared = None

        for was, each in zip(before, self.gateways, strict=True):
            assert len(each.seen) > was + 3, "quotes do not get through"


Cluster.TestCase.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
TestCluster = Cluster.TestCase
