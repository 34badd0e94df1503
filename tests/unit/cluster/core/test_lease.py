from __future__ import annotations

import itertools

from qcfeed.cluster.core.lease import (
    LOOK,
    MARGIN,
    RELEASED,
    CreateKey,
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

TTL = 10.0


class Feeder:
    """A lease on a clock that the test sets."""

    def __init__(self) -> None:
        names = itertools.count(1)
        self.now = 100.0
        self.lease = Lease("me", TTL, self.now, lambda: str(next(names)))

    def at(self, now: float) -> Feeder:
        self.now = now
        self.lease.expire(now)
        return self

    def sends(self, answer: LeaseAnswer, *, after: float = 0.0) -> LeaseRequest:
        request = self.lease.request(self.now)
        self.now += after
        self.lease.answered(request, answer, self.now)
        return request

    @property
    def holds(self) -> bool:
        return self.lease.holds(self.now)


def owner(revision: int = 7) -> Feeder:
    feeder = Feeder()
    assert feeder.sends(Stored(revision)) == CreateKey("me 1")
    return feeder


def test_the_first_revision_is_the_epoch_and_stays_it_when_the_lease_is_renewed() -> None:
    feeder = owner(7)
    assert feeder.sends(Stored(9)) == UpdateKey("me 1", 7)
    assert feeder.sends(Stored(12)) == UpdateKey("me 1", 9)
    assert feeder.lease.epoch == 7


def test_the_lease_ends_before_the_key_can_expire() -> None:
    assert owner().at(100 + TTL * (1 - MARGIN) - 0.01).holds
    assert not owner().at(100 + TTL * (1 - MARGIN)).holds


def test_a_lease_counts_from_when_its_request_was_sent_not_from_the_answer() -> None:
    feeder = owner().at(105)
    feeder.sends(Stored(8), after=3.0)
    assert feeder.at(105 + TTL * (1 - MARGIN) - 0.01).holds
    assert not feeder.at(105 + TTL * (1 - MARGIN)).holds


def test_a_process_that_was_stopped_past_its_lease_does_not_hold_it_when_it_goes_on() -> None:
    feeder = owner()
    assert not feeder.lease.holds(100 + 3600)


def test_a_late_success_of_an_earlier_attempt_is_not_taken_for_the_last_one() -> None:
    feeder = Feeder()
    assert feeder.sends(LeaseOutcome.UNKNOWN) == CreateKey("me 1")
    assert feeder.sends(LeaseOutcome.ABSENT) == ReadKey()
    assert feeder.sends(LeaseOutcome.CONFLICT) == CreateKey("me 2")
    assert feeder.sends(Entry("me 1", 5)) == ReadKey()
    assert not feeder.holds


def test_a_lost_answer_to_the_last_attempt_is_found_by_reading() -> None:
    feeder = Feeder()
    feeder.sends(LeaseOutcome.UNKNOWN)
    feeder.at(102).sends(Entry("me 1", 5))
    assert feeder.holds
    assert feeder.lease.epoch == 5
    # Not from when it was read: the key may be as old as its request.
    assert not feeder.at(100 + TTL * (1 - MARGIN)).holds


def test_an_owner_whose_renewal_was_not_answered_reads_before_it_renews() -> None:
    feeder = owner(7)
    assert feeder.at(104).sends(LeaseOutcome.UNKNOWN) == UpdateKey("me 1", 7)
    assert feeder.sends(Entry("me 1", 8)) == ReadKey()
    assert feeder.sends(Stored(9)) == UpdateKey("me 1", 8)
    assert feeder.lease.missed == 1


def test_an_owner_that_finds_another_one_stops() -> None:
    feeder = owner(7)
    feeder.sends(LeaseOutcome.CONFLICT)
    feeder.sends(Entry("another 1", 11))
    assert not feeder.holds
    assert feeder.lease.owner == "another"
    assert feeder.lease.highest == 11


def test_an_owner_whose_key_is_gone_stops_at_once() -> None:
    feeder = owner(7)
    feeder.sends(LeaseOutcome.CONFLICT)
    feeder.sends(LeaseOutcome.ABSENT)
    assert not feeder.holds


def test_an_owner_without_a_bucket_stops_at_once() -> None:
    feeder = owner(7)
    feeder.sends(LeaseOutcome.NO_BUCKET)
    assert not feeder.holds


def test_a_full_store_ends_the_lease_only_by_its_time() -> None:
    feeder = owner(7)
    feeder.at(104).sends(LeaseOutcome.REFUSED)
    assert feeder.holds
    assert feeder.sends(LeaseOutcome.REFUSED) == UpdateKey("me 1", 7)
    assert not feeder.at(100 + TTL).holds
    assert feeder.lease.missed == 2


def test_a_lease_that_was_given_up_can_be_taken_at_once_by_its_revision() -> None:
    assert owner(7).lease.release() == UpdateKey(RELEASED, 7)
    feeder = Feeder()
    feeder.sends(LeaseOutcome.CONFLICT)
    feeder.sends(Entry(RELEASED, 8))
    assert feeder.lease.due == feeder.now
    assert feeder.sends(Stored(9)) == UpdateKey("me 2", 8)
    assert feeder.lease.epoch == 9


def test_a_standby_looks_often_and_takes_a_lease_that_is_given_up_with_the_next_request() -> None:
    feeder = Feeder()
    feeder.sends(LeaseOutcome.CONFLICT)
    for revision in (3, 4):
        assert feeder.sends(Entry("another 1", revision)) == ReadKey()
        assert feeder.lease.due == feeder.now + LOOK
    assert feeder.sends(Entry(RELEASED, 5)) == ReadKey()
    assert feeder.lease.due == feeder.now
    assert feeder.sends(Stored(6)) == UpdateKey("me 2", 5)
    assert feeder.holds


def test_a_standby_that_finds_no_key_creates_it_at_once() -> None:
    feeder = Feeder()
    feeder.sends(LeaseOutcome.CONFLICT)
    feeder.sends(Entry("another 1", 3))
    assert feeder.sends(LeaseOutcome.ABSENT) == ReadKey()
    assert feeder.lease.due == feeder.now
    assert feeder.sends(Stored(9)) == CreateKey("me 2")


def test_a_candidate_that_is_refused_waits_longer() -> None:
    feeder = Feeder()
    feeder.sends(LeaseOutcome.REFUSED)
    assert feeder.lease.due == feeder.now + 1.0


def test_an_owner_below_an_epoch_that_a_gateway_has_seen_raises_revisions_once_its_renewal_succeeds() -> (
    None
):
    feeder = owner(7)
    feeder.lease.raise_floor(40)
    assert feeder.holds, "another feeder may own the share; the renewal tells"
    assert feeder.sends(Stored(8)) == UpdateKey("me 1", 7)
    assert not feeder.holds
    assert feeder.sends(LeaseOutcome.RAISED) == RaiseRevision(40)
    assert feeder.sends(Stored(41)) == CreateKey("me 2")
    assert feeder.lease.epoch == 41


def test_a_renewal_that_was_sent_before_the_gateway_was_heard_proves_nothing() -> None:
    feeder = owner(7)
    request = feeder.lease.request(feeder.now)
    feeder.lease.raise_floor(40)
    feeder.lease.answered(request, Stored(8), feeder.now)
    assert feeder.holds


def test_an_owner_that_was_replaced_removes_nothing_of_its_successor() -> None:
    feeder = owner(7)
    feeder.lease.raise_floor(40)
    feeder.sends(LeaseOutcome.CONFLICT)
    assert feeder.sends(Entry("other 1", 40)) == ReadKey()
    assert not feeder.holds
    assert isinstance(feeder.sends(LeaseOutcome.CONFLICT), CreateKey)


def test_a_lease_is_never_acquired_at_or_below_a_known_epoch() -> None:
    feeder = Feeder()
    feeder.lease.raise_floor(40)
    feeder.sends(Stored(40))
    assert not feeder.holds
    assert feeder.sends(LeaseOutcome.UNKNOWN) == RaiseRevision(40)
    assert feeder.sends(Entry("me 1", 40)) == ReadKey(), "the raise was not carried out"
    assert not feeder.holds
    assert feeder.sends(LeaseOutcome.RAISED) == RaiseRevision(40)
    feeder.sends(Stored(41))
    assert feeder.holds
