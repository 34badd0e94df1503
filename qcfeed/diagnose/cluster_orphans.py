"""Orphans between the instances of a cluster: differences between four views that must agree. Pure.

The views: which feeds the feeders run, who holds the leases, which symbols the gateways are subscribed to on
NATS, and what their subscribers read. Each was taken at its own moment, so a difference counts only if two
looks, some seconds apart, both show it in the same life.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from qcfeed.diagnose.cluster import FEEDER, GATEWAY
from qcfeed.formats import age, plural
from qcfeed.model.cluster import ClusterView
from qcfeed.model.cluster_answers import ClusterOrphan
from qcfeed.model.feeds import FeedStatus

FEED_WITHOUT_LEASE = "feed without lease"
FEED_WITHOUT_GATEWAY = "feed without gateway"
INTEREST_WITHOUT_FEED = "interest without feed"
SUBSCRIPTION_WITHOUT_FEED = "subscription without subscribers"
LEASE_WITHOUT_FEEDER = "lease without feeder"
FEED_KINDS = (FEED_WITHOUT_LEASE, FEED_WITHOUT_GATEWAY)

_WANTED = "wanted"
_RENEWALS = 3
"""An owner renews its lease this often within its time to live."""
_LATE_S = 1.5
"""Seconds by which a renewal may be late, and be read late."""


class MemberFeeds(NamedTuple):
    """One instance: its side of the cluster, and its feeds."""

    name: str
    view: ClusterView
    feeds: Sequence[FeedStatus] = ()

    @property
    def owns(self) -> bool:
        """Whether it is a feeder that holds its share's lease."""
        return self.view.role == FEEDER and self.view.lease_epoch is not None


def orphans(members: Sequence[MemberFeeds], unanswered: int) -> list[ClusterOrphan]:
    """The differences between the views. ``unanswered``: instances whose view is missing.

    If a view is missing, nothing is concluded from the absence of something: that view may have it.
    """
    found = [
        *_feeds_without_lease(members),
        *_subscriptions_without_feed(members),
        *_leases_without_feeder(members),
    ]
    if not unanswered:
        found += [*_feeds_without_gateway(members), *_interest_without_feed(members)]
    return found


def agreed(first: Iterable[ClusterOrphan], second: Iterable[ClusterOrphan]) -> list[ClusterOrphan]:
    """The differences of the second look that the first one has too: same kind, instance, symbol and life."""
    before = {(each.kind, each.member, each.symbol, each.epoch) for each in first}
    return [e for e in second if (e.kind, e.member, e.symbol, e.epoch) in before]


def _feeds_without_lease(members: Sequence[MemberFeeds]) -> Iterator[ClusterOrphan]:
    for member in _of_role(members, FEEDER):
        for feed in () if member.owns else member.feeds:
            yield ClusterOrphan(
                kind=FEED_WITHOUT_LEASE, member=member.name, symbol=feed.symbol, epoch=feed.epoch,
                reason=f"it runs without the lease of share {member.view.symbol_share}",
            )  # fmt: skip


def _feeds_without_gateway(members: Sequence[MemberFeeds]) -> Iterator[ClusterOrphan]:
    """A feed that its owner believes wanted, and that no gateway has or is subscribed to."""
    wanted = _subscribed(members)
    for member in members:
        for feed in member.feeds if member.owns else ():
            if feed.symbol in wanted or feed.demand != _WANTED:
                continue
            foreign = feed.symbol in member.view.unlisted_symbols
            yield ClusterOrphan(
                kind=FEED_WITHOUT_GATEWAY, member=member.name, symbol=feed.symbol, epoch=feed.epoch,
                reason="no gateway wants it"
                + ("; a subscriber on NATS that is no gateway keeps it" if foreign else ""),
            )  # fmt: skip


def _subscriptions_without_feed(members: Sequence[MemberFeeds]) -> Iterator[ClusterOrphan]:
    """A gateway's subscription on NATS that has outlived its feed: it keeps the owner's feed running."""
    for member in _of_role(members, GATEWAY):
        served = {feed.symbol for feed in member.feeds}
        for each in member.view.nats_subscriptions:
            if not (each.read and each.symbol in served):
                yield ClusterOrphan(
                    kind=SUBSCRIPTION_WITHOUT_FEED, member=member.name, symbol=each.symbol,
                    epoch=each.life,
                    reason="no feed reads it"
                    + ("" if each.symbol in served else ", and its subscribers have gone"),
                )  # fmt: skip


def _interest_without_feed(members: Sequence[MemberFeeds]) -> Iterator[ClusterOrphan]:
    """Subscribers of a symbol that no owner runs."""
    running = {feed.symbol for member in members if member.owns for feed in member.feeds}
    for member in _of_role(members, GATEWAY):
        for feed in member.feeds:
            if feed.subscriber_count and feed.symbol not in running:
                yield ClusterOrphan(
                    kind=INTEREST_WITHOUT_FEED, member=member.name, symbol=feed.symbol, epoch=None,
                    reason=f"it has {plural(feed.subscriber_count, 'subscriber')}, and no owner runs it",
                )  # fmt: skip


def _leases_without_feeder(members: Sequence[MemberFeeds]) -> Iterator[ClusterOrphan]:
    """A lease that is not renewed and whose feeder does not answer: a standby waits until it ends."""
    answering = {member.view.name for member in members}
    reported = set()
    for member in _of_role(members, FEEDER):
        lease, share = member.view.lease, member.view.symbol_share
        if lease is None or lease.holder in answering or share in reported:
            continue
        if lease.unrenewed_s > lease.ttl_s / _RENEWALS + _LATE_S:
            reported.add(share)
            yield ClusterOrphan(
                kind=LEASE_WITHOUT_FEEDER, member=member.name, symbol=f"share {share}",
                epoch=str(lease.revision),
                reason=f"{lease.holder} holds it, does not answer, and has not renewed it for"
                f" {age(lease.unrenewed_s)}; it lasts {age(lease.ttl_s)}",
            )  # fmt: skip


def _subscribed(members: Sequence[MemberFeeds]) -> set[str]:
    """The symbols of the gateways: of their feeds, and of their subscriptions on NATS."""
    gateways = _of_role(members, GATEWAY)
    feeds = {feed.symbol for member in gateways for feed in member.feeds}
    return feeds | {each.symbol for member in gateways for each in member.view.nats_subscriptions}


def _of_role(members: Sequence[MemberFeeds], role: str) -> list[MemberFeeds]:
    return [member for member in members if member.view.role == role]
