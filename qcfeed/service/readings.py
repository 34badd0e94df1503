"""The service's state as samples of the catalog's metrics, read when somebody scrapes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from qcfeed import __version__
from qcfeed.core.lifecycle import Demand, Upstream
from qcfeed.diagnostics import census
from qcfeed.metrics import catalog as m
from qcfeed.metrics import memory
from qcfeed.metrics.collectors import Sample
from qcfeed.service.views import bands

if TYPE_CHECKING:
    from qcfeed.service.app import Service

TOP_LOCATIONS = 20
"""Spawn locations with a label of their own; the rest is summed as `other`."""


def read(service: Service) -> Iterator[Sample]:
    """All samples, now; callable from any thread."""
    yield Sample(m.BUILD_INFO, 1, (__version__,))
    yield Sample(m.DRILL_ACTIVE, service.config.drill is not None)
    yield Sample(m.LOOP_LAG, service.watch.lag)
    yield Sample(m.RESIDENT, memory.resident())
    yield Sample(m.MEMORY_LIMIT, memory.limit().bytes)
    yield from _tasks(service)
    yield from _feeds(service)
    yield from _connections(service)


def _tasks(service: Service) -> Iterator[Sample]:
    rows = census.by_location(service.ledger, time.monotonic()).rows
    top, rest = rows[:TOP_LOCATIONS], rows[TOP_LOCATIONS:]
    for metric, name in (
        (m.TASKS_LIVE, "live"),
        (m.TASKS_SPAWNED, "spawned"),
        (m.TASKS_FINISHED, "finished"),
        (m.TASKS_CANCELLED, "cancelled"),
        (m.TASKS_FAILED, "failed"),
        (m.TASKS_ORPHANED, "orphaned"),
    ):
        for row in top:
            yield Sample(metric, getattr(row, name), (row.location,))
        yield Sample(metric, sum(getattr(row, name) for row in rest), ("other",))


def _feeds(service: Service) -> Iterator[Sample]:
    hub = service.hub
    feeds = list(hub.feeds.values())
    states = hub.states()
    for state in Upstream:
        count = sum(states[demand, state] for demand in Demand)
        yield Sample(m.FEEDS, count, (state,))
    counts = bands(feeds)
    for band in ("live", "stale", "very_stale", "dead"):
        yield Sample(m.SYMBOLS_BY_BAND, getattr(counts, band), (band,))
    now = service.now()
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


def _connections(service: Service) -> Iterator[Sample]:
    gateway = service.gateway
    yield Sample(m.CONNECTIONS, len(gateway.connections))
    yield Sample(m.CONNECTIONS_OPENED, gateway.opened)
    for code, count in dict(gateway.closed).items():
        yield Sample(m.CONNECTIONS_CLOSED, count, (code,))
    for reason, count in dict(gateway.refused).items():
        yield Sample(m.REFUSED, count, (reason,))
