"""The service's state as samples of the catalog's metrics, read when somebody scrapes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

from qcfeed import __version__
from qcfeed.core.lifecycle import Demand, Upstream
from qcfeed.diagnostics import census
from qcfeed.metrics import memory
from qcfeed.metrics.catalog import metrics as m
from qcfeed.metrics.catalog.metrics import Metric
from qcfeed.metrics.collectors import Sample
from qcfeed.service.parts import Parts
from qcfeed.service.views import bands

TOP_LOCATIONS = 50
"""Spawn locations with a label of their own; the rest is summed as `other`."""


def read(parts: Parts) -> Iterator[Sample]:
    """All samples, now; callable from any thread."""
    yield Sample(m.BUILD_INFO, 1, (__version__,))
    yield Sample(m.DRILL_ACTIVE, parts.config.drill is not None)
    yield Sample(m.LOOP_LAG, parts.watch.lag)
    yield Sample(m.RESIDENT, memory.resident())
    yield Sample(m.MEMORY_LIMIT, memory.limit().bytes)
    yield from _tasks(parts)
    yield from _feeds(parts)
    yield from _connections(parts)


_BOOKS = {
    m.TASKS_LIVE: "live",
    m.TASKS_SPAWNED: "spawned",
    m.TASKS_FINISHED: "finished",
    m.TASKS_CANCELLED: "cancelled",
    m.TASKS_FAILED: "failed",
    m.TASKS_ORPHANED: "orphaned",
}


def _tasks(parts: Parts) -> Iterator[Sample]:
    """Summed by location: two functions on one line are two rows of a census, but one label."""
    sums: dict[str, Counter[Metric]] = {"other": Counter()}
    for row in census.by_location(parts.ledger, time.monotonic()).rows:
        label = row.location if row.location in sums or len(sums) <= TOP_LOCATIONS else "other"
        sums.setdefault(label, Counter()).update(
            {metric: getattr(row, name) for metric, name in _BOOKS.items()}
        )
    for label, counted in sums.items():
        for metric in _BOOKS:
            yield Sample(metric, counted[metric], (label,))


def _feeds(parts: Parts) -> Iterator[Sample]:
    hub = parts.hub
    feeds = list(hub.feeds.values())
    states = hub.states()
    for state in Upstream:
        count = sum(states[demand, state] for demand in Demand)
        yield Sample(m.FEEDS, count, (state,))
    counts = bands(feeds)
    for band in ("live", "stale", "very_stale", "dead"):
        yield Sample(m.SYMBOLS, getattr(counts, band), (band,))
    now = parts.loop.time()
    ages = (now - each.staleness.heard_at for each in feeds if each.life.demand is Demand.WANTED)
    yield Sample(m.QUOTE_AGE, max(ages, default=0.0))
    yield Sample(m.FEED_RESTARTS, hub.restarts)
    yield Sample(m.SUBSCRIPTIONS, hub.subscriptions)
    yield Sample(m.SUBSCRIPTIONS_ORPHANED, len(hub.orphaned_subscriptions()))
    yield Sample(m.QUOTES_IN, hub.quotes)
    yield Sample(m.CONFLATED, hub.conflated)
    health = hub.upstream.health()
    yield Sample(m.UPSTREAM_CONNECTED, health.connected)
    yield Sample(m.UPSTREAM_RECONNECTS, health.reconnects)
    yield Sample(m.UPSTREAM_GAPS, health.gaps)


def _connections(parts: Parts) -> Iterator[Sample]:
    gateway = parts.gateway
    yield Sample(m.CONNECTIONS, len(gateway.connections))
    yield Sample(m.CONNECTIONS_OPENED, gateway.opened)
    for code, count in dict(gateway.closed).items():
        yield Sample(m.CONNECTIONS_CLOSED, count, (code,))
    for reason, count in dict(gateway.refused).items():
        yield Sample(m.REFUSED, count, (reason,))
