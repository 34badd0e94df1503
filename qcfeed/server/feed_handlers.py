"""The control plane's handlers for status and feeds.

Reads run in the control plane's thread: they copy a table before they iterate over it, and change
nothing. Actions run in the service's loop.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import msgspec

from qcfeed import __version__, rfc3339, supervised
from qcfeed.control import routes
from qcfeed.control.routes import NoQuery, Route
from qcfeed.diagnostics import snapshot
from qcfeed.doctor import exposure
from qcfeed.errors import NeedsConfirmationError, UsageError, not_found
from qcfeed.feed.lifecycle import Demand
from qcfeed.metrics import memory
from qcfeed.model import symbol as symbols
from qcfeed.model.feeds import CancelFeedsRequest, CancelledFeed, CancelledFeeds, Feeds, Symbols
from qcfeed.model.feeds import FeedStatus as FeedAnswer
from qcfeed.model.messages import Band
from qcfeed.model.orphans import Orphan
from qcfeed.model.status import Bands, Memory, ServiceStatus
from qcfeed.model.symbol import Symbol
from qcfeed.model.tasks import TaskTotals
from qcfeed.server.feed import Feed
from qcfeed.server.hub import Hub
from qcfeed.server.service_parts import ServiceParts


class FeedHandlers:
    """The routes for status, feeds and symbols; those for tasks are in control/handlers/tasks.py."""

    def __init__(self, parts: ServiceParts) -> None:
        self._parts = parts
        self._hub = parts.hub

    def routes(self) -> Sequence[Route]:
        return [
            routes.ReadRoute(routes.STATUS, routes.NoQuery, self.status),
            routes.ReadRoute(routes.FEEDS, routes.NoQuery, self.feeds),
            routes.ReadRoute(routes.SYMBOLS, routes.NoQuery, self.symbols),
            routes.ActionRoute(
                routes.FEEDS_CANCEL, "feeds cancel", CancelFeedsRequest, self.cancel_feeds
            ),
        ]

    # ------------------------------------------------------------ status

    def status(self, _: NoQuery) -> ServiceStatus:
        service, hub = self._parts, self._hub
        service.ledger.check.refresh()
        totals = snapshot.by_location(service.ledger, time.monotonic()).totals
        health = hub.upstream.health()
        feeds, subscriptions = len(hub.feeds), hub.subscriptions
        bound = memory.limit()
        return ServiceStatus(
            version=__version__,
            state="draining" if service.gateway.draining else "serving",
            drill=service.drill(),
            started_at=rfc3339.milliseconds(service.started_at),
            uptime_s=time.time() - service.started_at,
            loop_lag_ms=service.watch.lag * 1000,
            memory=Memory(
                resident_bytes=memory.resident(),
                limit_bytes=bound.bytes,
                limit_source=bound.source,
            ),
            saved_evidence=service.evidence().latest,
            listening=service.listening,
            upstream=hub.upstream.name,
            upstream_connected=health.connected,
            upstream_reconnects=health.reconnects,
            upstream_gaps=health.gaps,
            upstream_invalid_messages=health.invalid_messages,
            connections=service.gateway.sockets,
            connections_limit=service.gateway.capacity.connections,
            connections_wanted=service.config.max_connections,
            feed_count=feeds,
            feeds_by_state={
                f"{demand}/{upstream}": count for (demand, upstream), count in hub.states().items()
            },
            subscriptions=subscriptions,
            subscribers_per_symbol=round(subscriptions / feeds, 2) if feeds else 0.0,
            orphaned_tasks=totals.orphaned,
            orphaned_subscriptions=len(hub.orphaned_subscriptions()),
            staleness=bands(hub.feeds.values()),
            totals=msgspec.convert(totals, TaskTotals, from_attributes=True),
            closed=dict(service.gateway.closed),
            refused=dict(service.gateway.refused),
            http_ended=dict(service.http_ended()),
            access_problems=service.gateway.access_problems,
            exposure=exposure.gaps(service.config),
            restarts_by_reason=supervised.restarts(),
            last_restart=supervised.last_restart(),
            cluster=service.cluster(),
        )

    # ------------------------------------------------------------ feeds

    def feeds(self, _: NoQuery) -> Feeds:
        now = self._parts.loop.time()
        feeds = [_row(feed, now) for feed in list(self._hub.feeds.values())]
        feeds.sort(key=lambda row: row.symbol)
        return Feeds(total=len(feeds), feeds=feeds)

    def symbols(self, _: NoQuery) -> Symbols:
        known = self._hub.upstream.symbols() or sorted(self._hub.feeds)
        return Symbols(symbols=list(known))

    async def cancel_feeds(self, request: CancelFeedsRequest) -> CancelledFeeds:
        """Force feeds down and wait for their tasks, at most for the request's timeout."""
        chosen = self._chosen(request)
        served = {each: len(self._hub.feeds[each].lifecycle.subscribers) for each in chosen}
        if any(served.values()) and not request.force:
            busy = [symbol for symbol, subscribers in served.items() if subscribers]
            raise NeedsConfirmationError(
                f"{_some(busy)}: {sum(served.values())} subscribers would be disconnected",
                hint="they get close code 4410 and reconnect; add --yes to proceed",
            )
        upstream_tasks = {each: self._hub.feeds[each].upstream_task for each in chosen}
        self._hub.cancel(chosen, "cancelled by an operator")
        tasks = [each.task for each in upstream_tasks.values() if each is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=request.timeout_s)
        return CancelledFeeds(
            feeds=[
                CancelledFeed(
                    symbol=each,
                    subscriber_count=served[each],
                    joined=(upstream := upstream_tasks[each]) is None or upstream.task.done(),
                )
                for each in chosen
            ]
        )

    def _chosen(self, request: CancelFeedsRequest) -> list[Symbol]:
        if request.all:
            return sorted(self._hub.feeds)
        chosen = sorted({symbols.parse(text) for text in request.symbols})
        if not chosen:
            raise UsageError("no feed given", hint="give symbols, or --all")
        missing = [symbol for symbol in chosen if symbol not in self._hub.feeds]
        if missing:
            raise not_found("feed for", *missing, hint="`qcfeed feeds` lists the feeds")
        return chosen


def bands(feeds: Iterable[Feed]) -> Bands:
    """How many feeds with subscribers are in each staleness band; ``waiting`` for a first quote is none."""
    wanted = [feed for feed in list(feeds) if feed.lifecycle.demand is Demand.WANTED]
    waiting = sum(
        feed.last_quote_at is None and feed.staleness.band is Band.LIVE for feed in wanted
    )
    counts = Counter(feed.staleness.band for feed in wanted)
    counts[Band.LIVE] -= waiting
    return Bands(
        no_quote=waiting,
        live=counts[Band.LIVE],
        stale=counts[Band.STALE],
        very_stale=counts[Band.VERY_STALE],
        dead=counts[Band.DEAD],
    )


def _row(feed: Feed, now: float) -> FeedAnswer:
    last_quote_at = feed.last_quote_at
    reason = feed.staleness.reason
    return FeedAnswer(
        symbol=feed.symbol,
        demand=feed.lifecycle.demand,
        upstream_state=feed.lifecycle.upstream,
        subscriber_count=len(feed.lifecycle.subscribers),
        generation=feed.lifecycle.generation,
        band=feed.staleness.band,
        reason=None if reason is None else str(reason),
        last_quote_at=None if last_quote_at is None else rfc3339.milliseconds(last_quote_at),
        age_s=None if last_quote_at is None else max(0.0, now - feed.staleness.updated_at),
        quotes=feed.log.head,
        quotes_per_s=round(feed.rate, 2),
        restarts=feed.restarts,
        failure=feed.failure,
        epoch=feed.epoch,
        invalid_ticks=feed.invalid_ticks,
    )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


def orphan_rows(hub: Hub) -> Callable[[], list[Orphan]]:
    """A callable for the task routes: subscriptions whose connection is closed, as orphans."""

    def rows() -> list[Orphan]:
        return [
            Orphan(
                serial=None,
                symbol=subscriber.symbol,
                location="",
                age_s=None,
                reason=f"{subscriber}: its connection is closed",
            )
            for subscriber in hub.orphaned_subscriptions()
        ]

    return rows
