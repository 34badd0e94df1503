from __future__ import annotations

from qcfeed.cluster.core.lease import (
    Entry,
    Lease,
    LeaseOutcome,
    RaiseRevision,
    ReadKey,
    Stored,
    UpdateKey,
)
from qcfeed.cluster.feeder_fault import FeederFaults
from qcfeed.model.link_faults import FeederFault

TTL = 10.0


def test_the_drill_of_missed_renewals_loses_every_other_one_and_never_the_lease() -> None:
    faults, now, missed = FeederFaults(), 100.0, 0
    lease = Lease("me", TTL, now, lambda: "1")
    lease.answered(lease.request(now), Stored(7), now)
    faults.fault = FeederFault.LEASE_UNANSWERED
    for revision in range(8, 40):
        now = lease.due
        assert lease.holds(now)
        request = lease.request(now)
        if faults.loses(request, owner=True):
            missed += 1
            lease.answered(request, LeaseOutcome.UNKNOWN, now)
        elif isinstance(request, ReadKey):
            lease.answered(request, Entry("me 1", revision - 2), now)
        else:
            lease.answered(request, Stored(revision), now)
    assert lease.missed == missed > 5
    assert lease.epoch == 7


def test_only_renewals_of_an_owner_are_lost() -> None:
    faults = FeederFaults()
    assert not faults.loses(UpdateKey("me 1", 7), owner=True), "without a drill"
    faults.fault = FeederFault.LEASE_UNANSWERED
    assert not faults.loses(UpdateKey("me 1", 7), owner=False), "it takes over"
    assert not faults.loses(ReadKey(), owner=True)
    assert faults.loses(UpdateKey("me 1", 7), owner=True)


def test_gateways_are_unheard_in_one_drill_alone() -> None:
    faults = FeederFaults()
    for fault in FeederFault:
        faults.fault = fault
        assert faults.deaf == (fault is FeederFault.GATEWAYS_UNHEARD)


def test_a_lease_is_imagined_for_as_long_as_the_drill_lasts_under_the_lowest_epoch() -> None:
    faults, now = FeederFaults(), 100.0
    lease = Lease("me", TTL, now, lambda: "1")
    lease.raise_floor(40)
    lease.answered(lease.request(now), LeaseOutcome.CONFLICT, now)
    assert faults.answer(lease.request(now), lease.floor) is None, "without a drill it is sent"
    faults.fault = FeederFault.LEASE_IMAGINED
    for _ in range(20):
        now = max(now, lease.due)
        request = lease.request(now)
        answer = faults.answer(request, lease.floor)
        assert answer is not None
        lease.answered(request, answer, now)
    assert lease.holds(now)
    assert lease.epoch == 41
    assert faults.answer(RaiseRevision(3), 40) is LeaseOutcome.RAISED
