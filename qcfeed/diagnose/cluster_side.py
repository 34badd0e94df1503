"""Problems of this service's side of a cluster on NATS, while its quotes still arrive."""

from __future__ import annotations

from collections.abc import Iterator

from qcfeed.diagnose.evidence import Evidence
from qcfeed.diagnostics.findings import Certainty
from qcfeed.formats import age, count, plural
from qcfeed.model.cluster import ClusterStatus
from qcfeed.model.diagnosis import DiagnosisFinding


def leaked_interest(evidence: Evidence) -> Iterator[DiagnosisFinding]:
    """A gateway's subscriptions on NATS that have outlived their feed: the incident, across processes."""
    for before, after in _sides(evidence):
        if not after.subscriptions_unread:
            continue
        what = (
            f"{plural(after.subscriptions_unread, 'subscription')} on NATS outlived its subscribers"
        )
        yield DiagnosisFinding(
            rule="leaked_interest",
            kind="LEAK",
            certainty=Certainty.PROVED if before.subscriptions_unread else Certainty.SUSPECTED,
            urgency=46,
            headline=what,
            cause=f"{what}; the owner runs feeds for nobody until they end",
            evidence=[f"{plural(after.symbols_wanted, 'symbol')} wanted by feeds of this gateway"],
            count=after.subscriptions_unread,
            safe="a reap ends only subscriptions that no feed reads",
            next=["qcfeed --cluster orphans", "qcfeed --cluster orphans --reap"],
        )


def former_owner(evidence: Evidence) -> Iterator[DiagnosisFinding]:
    """A feeder that lost its lease still publishes."""
    for before, after in _sides(evidence):
        if (rejected := after.epochs_rejected - before.epochs_rejected) > 0:
            what = f"{plural(rejected, 'message')} of a former owner rejected in {age(evidence.seconds)}"
            owners = ", ".join(f"{each.name} (epoch {each.lease_epoch})" for each in after.owners)
            yield DiagnosisFinding(
                rule="former_owner",
                kind="OWNER",
                certainty=Certainty.PROVED,
                urgency=45,
                headline=what,
                cause=f"{what}: a feeder publishes under an epoch that is over",
                evidence=[f"owner: {owners or 'none is heard'}"],
                count=rejected,
                safe="subscribers see none of its quotes; stop the feeder that is not the owner",
                next=["qcfeed --cluster status", f"{evidence.command} status"],
            )


def two_owners(evidence: Evidence) -> Iterator[DiagnosisFinding]:
    """This feeder owns its share, and gateways have seen another owner of it, with a higher epoch."""
    for before, after in _sides(evidence):
        if not (before.higher_epoch and after.higher_epoch):
            continue  # one look may fall into a change of the owner
        what = f"gateways follow another owner of share {after.symbol_share}"
        yield DiagnosisFinding(
            rule="two_owners",
            kind="OWNER",
            certainty=Certainty.PROVED,
            urgency=86,
            headline=f"{what}, with epoch {after.higher_epoch}",
            cause=f"{what}, with epoch {after.higher_epoch}; this feeder's, {after.lease_epoch}, is lower",
            evidence=[f"lease for {after.lease_left_s:.1f} s more on {after.servers}"],
            safe="gateways reject its quotes, so no subscriber misses it: stop it",
            next=["qcfeed --cluster diagnose", "qcfeed --cluster status"],
        )


def unstable_broker(evidence: Evidence) -> Iterator[DiagnosisFinding]:
    """The connection to NATS was lost more than once, and again a moment ago."""
    for _, after in _sides(evidence):
        if after.lost_s is None or after.lost_s > _MOMENT_S or after.reconnects < _OFTEN:
            continue
        what = f"the connection to NATS was lost {plural(after.reconnects, 'time')}"
        yield DiagnosisFinding(
            rule="unstable_broker",
            kind="BROKER",
            certainty=Certainty.PROVED,
            urgency=89,  # an upstream that is down may be its symptom
            headline=f"{what}, the last time {age(after.lost_s)} ago",
            cause=f"{what} since the start: each loss is a gap in the quotes of all symbols",
            evidence=[f"{after.servers}: {after.problem or 'connected now'}"],
            count=after.reconnects,
            safe="nothing to cancel: it connects again by itself",
            next=[f"{evidence.command} logs", f"{evidence.command} status"],
        )


def slow_gateway(evidence: Evidence) -> Iterator[DiagnosisFinding]:
    """Quotes are lost or skipped between NATS and this service."""
    for before, after in _sides(evidence):
        lost = after.slow_drops - before.slow_drops
        skipped = after.quotes_skipped - before.quotes_skipped
        if lost + skipped > 0:
            what = (
                f"{count(skipped)} quotes skipped and {count(lost)} lost in {age(evidence.seconds)}"
            )
            yield DiagnosisFinding(
                rule="slow_gateway",
                kind="SLOW",
                certainty=Certainty.PROVED,
                urgency=47,
                headline=what,
                cause=f"{what}: this {after.role} is slower than its quotes",
                evidence=[f"{plural(after.symbols_wanted, 'symbol')} on {after.servers}"],
                count=lost + skipped,
                safe="subscribers get the newest quotes, marked as conflated or dropped",
                next=[f"{evidence.command} stacks", f"{evidence.command} status"],
            )


def missed_renewals(evidence: Evidence) -> Iterator[DiagnosisFinding]:
    """Renewals of a feeder's lease fail."""
    for before, after in _sides(evidence):
        if (missed := after.renewals_missed - before.renewals_missed) > 0:
            what = f"{plural(missed, 'renewal')} of the lease failed in {age(evidence.seconds)}"
            yield DiagnosisFinding(
                rule="missed_renewals",
                kind="LEASE",
                certainty=Certainty.PROVED,
                urgency=48,
                headline=what,
                cause=f"{what}: {after.problem or 'JetStream answered too late'}",
                evidence=[
                    f"share {after.symbol_share}, {after.lease_left_s:.1f} s of the lease left"
                ],
                count=missed,
                safe="when the lease ends, the feeder stops and a standby takes over",
                next=["qcfeed --cluster status", f"{evidence.command} status"],
            )


def interest_without_feed(evidence: Evidence) -> Iterator[DiagnosisFinding]:
    """Symbols that gateways want from this owner, and that it cannot open."""
    for before, after in _sides(evidence):
        waiting = min(before.interest_without_feed, after.interest_without_feed)
        if waiting:
            what = f"{plural(waiting, 'symbol')} that gateways want have no open feed"
            yield DiagnosisFinding(
                rule="interest_without_feed",
                kind="UPSTREAM",
                certainty=Certainty.PROVED,
                urgency=87,
                headline=what,
                cause=f"{what}: the upstream does not open them",
                evidence=[f"{plural(after.symbols_wanted, 'symbol')} wanted"],
                count=waiting,
                safe="nothing to cancel: feeds retry by themselves",
                next=[f"{evidence.command} feeds -o wide", f"{evidence.command} status"],
            )


def feed_without_interest(evidence: Evidence) -> Iterator[DiagnosisFinding]:
    """Feeds of an owner that no gateway lists, while NATS knows subscribers of their symbols."""
    for before, after in _sides(evidence):
        unlisted = min(before.feeds_without_interest, after.feeds_without_interest)
        if unlisted:
            what = f"{plural(unlisted, 'feed')} for subscribers on NATS that are no gateways"
            yield DiagnosisFinding(
                rule="feed_without_interest",
                kind="LEAK",
                certainty=Certainty.PROVED,
                urgency=44,
                headline=what,
                cause=f"{what}: no gateway's answer lists their symbols",
                evidence=[
                    f"{plural(after.gateways, 'gateway')} answered the last announcement",
                    f"{plural(after.symbols_wanted, 'symbol')} wanted",
                ],
                count=unlisted,
                safe="find the subscribers before you end a feed: they may be gateways that are not heard",
                next=["qcfeed --cluster orphans", "qcfeed --cluster status"],
            )


def _sides(evidence: Evidence) -> Iterator[tuple[ClusterStatus, ClusterStatus]]:
    """The service's side of the cluster in both snapshots, if it is in one."""
    before, after = evidence.status_before, evidence.status
    if before is not None and after is not None and before.cluster and after.cluster:
        yield before.cluster, after.cluster


_MOMENT_S = 20.0
"""Seconds for which a lost connection is reported; feeds retry within 30 s of it."""
_OFTEN = 2
"""Losses of the connection that make it unstable."""
