"""Samples of the service's metrics, collected on each scrape."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from qcfeed import __version__, supervised
from qcfeed.access.denial import DenialReason
from qcfeed.access.grants import Method
from qcfeed.feed.lifecycle import Demand, UpstreamState
from qcfeed.metrics import program
from qcfeed.metrics.catalog import metrics as m
from qcfeed.metrics.collectors import BucketCounts, Sample
from qcfeed.model import market_hours
from qcfeed.net.http_connections import HttpEnd
from qcfeed.server import cluster_metrics
from qcfeed.server.authentication import Authenticator
from qcfeed.server.feed import Feed
from qcfeed.server.feed_handlers import bands
from qcfeed.server.service_parts import ServiceParts


class ServiceMetrics:
    """Collects all samples of one service. Costs a snapshot of all tasks: call it off the loop."""

    def __init__(self, parts: ServiceParts) -> None:
        self._parts = parts
        self._tasks = program.TaskSamples(parts.ledger)

    def collect(self) -> Iterator[Sample]:
        parts = self._parts
        yield Sample(m.BUILD_INFO, 1, (__version__,))
        yield Sample(m.DRILL_ACTIVE, parts.drill() is not None)
        yield from program.process()
        yield from program.memory_limit()
        yield from program.pauses(parts.pauses)
        yield from program.loop_lag(parts.watch)
        yield from self._tasks.read()
        yield from _evidence(parts)
        yield from _feeds(parts)
        yield from _quotes(parts)
        yield from _connections(parts)
        yield from _tls(parts)
        yield from cluster_metrics.collect(parts.cluster())
        for reason, count in supervised.restarts().items():
            yield Sample(m.WORKER_RESTARTS, count, (reason,))


def _feeds(parts: ServiceParts) -> Iterator[Sample]:
    hub = parts.hub
    states = hub.states()
    for state in UpstreamState:
        count = sum(states[demand, state] for demand in Demand)
        yield Sample(m.FEEDS, count, (state,))
    yield Sample(m.FEED_RESTARTS, hub.restarts)
    health = hub.upstream.health()
    yield Sample(m.UPSTREAM_CONNECTED, health.connected)
    yield Sample(m.UPSTREAM_RECONNECTS, health.reconnects)
    yield Sample(m.UPSTREAM_GAPS, health.gaps)
    yield Sample(m.UPSTREAM_INVALID, health.invalid_messages)
    yield Sample(m.SUBSCRIPTIONS, hub.subscriptions)
    yield Sample(m.SUBSCRIPTIONS_ORPHANED, len(hub.orphaned_subscriptions()))


def _evidence(parts: ServiceParts) -> Iterator[Sample]:
    counts = parts.evidence()
    yield Sample(m.EVIDENCE_SAVED, counts.saved)
    yield Sample(m.EVIDENCE_FAILED, counts.failed)


def _quotes(parts: ServiceParts) -> Iterator[Sample]:
    hub = parts.hub
    wanted = [each for each in list(hub.feeds.values()) if each.lifecycle.demand is Demand.WANTED]
    counts = bands(wanted)
    counts.live += counts.no_quote  # a share of symbols that are not live is an alert
    for band in ("live", "stale", "very_stale", "dead"):
        yield Sample(m.SYMBOLS, getattr(counts, band), (band,))
    yield Sample(m.SYMBOLS_ACTIVE, len(wanted))
    yield Sample(m.SYMBOL_SUBSCRIBERS, _subscribers_per_feed(wanted))
    now = parts.loop.time()
    yield Sample(
        m.QUOTE_AGE, max((now - each.staleness.updated_at for each in wanted), default=0.0)
    )
    hours = market_hours.parse(parts.config.market_hours)
    yield Sample(
        m.MARKET_OPEN, hours is None or hours.is_open(datetime.fromtimestamp(hub.wall_clock(), UTC))
    )
    yield Sample(m.QUOTES_IN, hub.quotes)
    yield Sample(m.QUOTES_REFUSED, hub.invalid_ticks)
    yield Sample(m.DELIVERED, hub.delivered)
    yield Sample(m.CONFLATED, hub.conflated)
    yield Sample(m.DROPPED, hub.dropped)


def _subscribers_per_feed(feeds: Sequence[Feed]) -> BucketCounts:
    """The distribution of subscribers per feed."""
    counts = [0] * (len(m.SUBSCRIBER_BUCKETS) + 1)
    total = 0
    for feed in feeds:
        subscribers = len(feed.lifecycle.subscribers)
        counts[bisect_left(m.SUBSCRIBER_BUCKETS, subscribers)] += 1
        total += subscribers
    return BucketCounts(counts, total)


def _connections(parts: ServiceParts) -> Iterator[Sample]:
    gateway = parts.gateway
    lags = gateway.lag_totals()
    yield Sample(m.CONNECTIONS, gateway.sockets)
    yield Sample(m.CONNECTIONS_SLOW, lags.slow)
    yield Sample(m.LAG, lags.quotes)
    yield Sample(m.LAG_MAX, lags.maximum)
    if lags.kernel_bytes is not None:  # available on Linux only
        yield Sample(m.KERNEL_QUEUE, lags.kernel_bytes)
    yield Sample(m.CONNECTIONS_OPENED, gateway.opened)
    yield Sample(m.DISCONNECTED_SLOW, gateway.disconnected_slow)
    for code, count in dict(gateway.closed).items():
        yield Sample(m.CONNECTIONS_CLOSED, count, (code,))
    for reason, count in dict(gateway.refused).items():
        yield Sample(m.REFUSED, count, (reason,))
    ended = parts.http_ended()
    for reason in HttpEnd:  # from 0 on, because an increase needs a first sample
        yield Sample(m.HTTP_ENDED, ended[reason], (reason,))
    yield from _authentication(gateway.authenticator)


def _authentication(authenticator: Authenticator | None) -> Iterator[Sample]:
    """All labels from 0 on, because an increase needs a first sample; zeros without authentication."""
    for method in Method:
        accepted = 0 if authenticator is None else authenticator.accepted[method]
        yield Sample(m.AUTHENTICATIONS, accepted, (method,))
    for reason in DenialReason:
        refused = 0 if authenticator is None else authenticator.refused[reason]
        yield Sample(m.AUTHENTICATIONS_REFUSED, refused, (reason,))
    yield Sample(m.ACCESS_PROBLEMS, 0 if authenticator is None else len(authenticator.problems))


def _tls(parts: ServiceParts) -> Iterator[Sample]:
    tls = parts.tls()
    if tls is None:
        return
    yield Sample(m.CERTIFICATE_EXPIRY, tls.not_after)
    yield Sample(m.CERTIFICATE_REFUSED, tls.listening.problem is not None)
    yield Sample(m.CERTIFICATE_LOADS, tls.loaded, ("loaded",))
    yield Sample(m.CERTIFICATE_LOADS, tls.refused, ("refused",))
