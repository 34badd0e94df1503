"""A feeder's side of the cluster: its status, what it runs and wants, and ending orphans among it."""

from __future__ import annotations

from collections.abc import Sequence

from qcfeed.cluster.core.interest import Interest
from qcfeed.cluster.feeder import Feeder
from qcfeed.cluster.reaper import NOT_HERE, ClusterReaper
from qcfeed.feed.lifecycle import UpstreamState
from qcfeed.model.cluster import (
    ClusterReaped,
    ClusterReapRequest,
    ClusterStatus,
    ClusterView,
    LeaseSeen,
)


class FeederMember:
    """Answers for ``feeder``; see ``ClusterMember``."""

    is_feeder = True

    def __init__(self, feeder: Feeder) -> None:
        self.urls: Sequence[str] = feeder.urls
        self._feeder = feeder

    def cluster(self) -> ClusterStatus:
        feeder, lease, outbox = self._feeder, self._feeder.lease, self._feeder.outbox
        now, connection, hub = feeder.clock(), feeder.connection, feeder.ownership.hub
        interest, ownership = self._interest(), feeder.ownership.current
        wanted = set() if interest is None else set(interest.wanted)
        feeds = {} if hub is None else dict(hub.feeds)
        unlisted = set() if interest is None else interest.unlisted
        open_feeds = {s for s, f in feeds.items() if f.lifecycle.upstream is UpstreamState.OPEN}
        return ClusterStatus(
            role="feeder",
            name=feeder.name,
            servers=feeder.servers,
            connected=connection is not None and not connection.lost,
            server=None if connection is None else connection.server,
            reconnects=feeder.reconnects,
            lost_s=None if feeder.lost_at is None else round(now - feeder.lost_at, 1),
            slow_drops=outbox.dropped,
            symbols_wanted=len(wanted),
            symbol_share=str(feeder.share),
            owner=lease.owner or None,
            lease_epoch=lease.epoch if lease.holds(now) else None,
            higher_epoch=0 if ownership is None else ownership.higher_epoch,
            lease_left_s=round(lease.left(now), 3),
            renewals_missed=lease.missed,
            quotes_fenced=outbox.fenced,
            quotes_published=outbox.published,
            gateways=0 if interest is None else interest.gateways,
            feeds_without_interest=len(unlisted & feeds.keys()),
            interest_without_feed=len(wanted - open_feeds),
            problem=feeder.problem or (None if connection is None else connection.denial),
        )

    def view(self) -> ClusterView:
        """What it runs and wants, to be compared with the gateways' views; from any thread."""
        feeder, lease, interest = self._feeder, self._feeder.lease, self._interest()
        now, observed = feeder.clock(), lease.observed
        return ClusterView(
            role="feeder",
            name=feeder.name,
            symbol_share=str(feeder.share),
            lease_epoch=lease.epoch if lease.holds(now) else None,
            lease=None
            if observed is None
            else LeaseSeen(
                holder=observed.holder,
                revision=observed.revision,
                unrenewed_s=round(now - observed.since, 3),
                ttl_s=lease.ttl,
            ),
            unlisted_symbols=[] if interest is None else sorted(interest.unlisted),
        )

    async def reap(self, request: ClusterReapRequest) -> ClusterReaped:
        """End feeds that no gateway wants, and the lease of a feeder that is gone. In the service's loop."""
        feeder, reaper = self._feeder, ClusterReaper()
        if feeder.ownership.hub is not None:
            interest = self._interest() or Interest()
            listed = interest.wanted - interest.unlisted
            await reaper.reap_feeds(feeder.ownership.hub, request.feeds, listed, request.timeout_s)
        for symbol in request.subscriptions:
            reaper.refuse(symbol, NOT_HERE.format("feeder"))
        if request.lease_revision is not None:
            await reaper.reap_lease(
                feeder.bucket, feeder.lease, feeder.share, request.lease_revision
            )
        return reaper.answer()

    def _interest(self) -> Interest | None:
        """What gateways want of this owner; None if it is not the owner."""
        ownership = self._feeder.ownership.current
        return None if ownership is None else ownership.interest
