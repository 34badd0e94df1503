"""Samples about the service's side of a cluster."""

from __future__ import annotations

from collections.abc import Iterator

from qcfeed.metrics.catalog import metrics as m
from qcfeed.metrics.collectors import Sample
from qcfeed.model.cluster import ClusterStatus


def collect(status: ClusterStatus | None) -> Iterator[Sample]:
    """Nothing for a service that is in no cluster."""
    if status is None:
        return
    yield Sample(m.BROKER_AWAY, status.needed and not status.connected)
    yield Sample(m.BROKER_RECONNECTS, status.reconnects)
    yield Sample(m.BROKER_DROPPED, status.slow_drops)
    if status.role == "gateway":
        yield Sample(m.BROKER_SKIPPED, status.quotes_skipped)
        yield Sample(m.EPOCHS_REJECTED, status.epochs_rejected)
        yield Sample(m.SHARES_WITHOUT_OWNER, status.shares_without_owner)
        yield Sample(m.INTEREST_WITHOUT_SUBSCRIBERS, status.subscriptions_unread)
    else:
        yield from _feeder(status)


def _feeder(status: ClusterStatus) -> Iterator[Sample]:
    share = (status.symbol_share or "",)
    yield Sample(m.SHARE_OWNER, status.lease_epoch is not None, share)
    yield Sample(m.LEASE_EPOCH, status.lease_epoch or 0, share)
    yield Sample(m.LEASE_MISSED, status.renewals_missed)
    yield Sample(m.FENCED, status.quotes_fenced)
    yield Sample(m.PUBLISHED, status.quotes_published)
    yield Sample(m.GATEWAYS, status.gateways)
    yield Sample(m.INTEREST_WITHOUT_FEED, status.interest_without_feed)
    yield Sample(m.FEED_WITHOUT_INTEREST, status.feeds_without_interest)
