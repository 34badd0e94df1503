"""The control plane's feed routes on a running service."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qcfeed.control import routes
from qcfeed.control.client import ControlClient
from qcfeed.control.paths import ControlAddress
from qcfeed.errors import NeedsConfirmationError, NotFoundError, UsageError
from qcfeed.model.feeds import (
    CancelFeedsRequest,
    CancelledFeed,
    CancelledFeeds,
    Feeds,
    FeedStatus,
    Symbols,
)
from qcfeed.model.status import ServiceStatus
from qcfeed.upstreams.universe import TICKERS
from tests.integration.service.conftest import Start
from tests.support.patience import PATIENCE
from tests.support.raw_websocket import head
from tests.support.running_service import Running, until
from tests.support.scripted_upstream import ScriptedUpstream


class Operator:
    """A client of the control plane in its own thread, like another process."""

    def __init__(self, running: Running) -> None:
        socket = Path(running.service.listening.control)
        self._client = ControlClient(ControlAddress(socket=socket), timeout=PATIENCE)

    async def status(self) -> ServiceStatus:
        return await asyncio.to_thread(self._client.get, routes.STATUS, ServiceStatus)

    async def feeds(self) -> dict[str, FeedStatus]:
        got = await asyncio.to_thread(self._client.get, routes.FEEDS, Feeds)
        return {feed.symbol: feed for feed in got.feeds}

    async def feeds_once(
        self, condition: Callable[[dict[str, FeedStatus]], object]
    ) -> dict[str, FeedStatus]:
        """The feeds, once a condition holds: on a busy machine a quote may be late."""
        async with asyncio.timeout(PATIENCE):
            while not condition(feeds := await self.feeds()):
                pass
        return feeds

    async def symbols(self) -> list[str]:
        return (await asyncio.to_thread(self._client.get, routes.SYMBOLS, Symbols)).symbols

    async def cancel(self, *symbols: str, **options: Any) -> list[CancelledFeed]:
        request = CancelFeedsRequest(symbols=list(symbols), **options)
        got = await asyncio.to_thread(
            self._client.post, routes.FEEDS_CANCEL, request, CancelledFeeds
        )
        return got.feeds


async def test_status_counts_connections_feeds_and_subscriptions(start: Start) -> None:
    running = await start(linger=0.3, stale_after=0.2)
    operator = Operator(running)
    async with await running.stream("AAPL", "MSFT", "ZVZZT") as one, await running.client():
        assert (await one.message("status"))["state"] == "stale"
        async with asyncio.timeout(PATIENCE):  # on a busy machine a quote may be late
            while (status := await operator.status()).staleness.live != 2:
                pass
        assert (status.state, status.drill) == ("serving", None)
        assert (status.feed_count, status.subscriptions, status.connections) == (3, 4, 2)
        assert status.subscribers_per_symbol == 1.33
        assert (status.staleness.live, status.staleness.stale) == (2, 1)
        assert (status.orphaned_tasks, status.orphaned_subscriptions) == (0, 0)
        tasks = status.totals
        assert tasks.spawned == (
            tasks.live + tasks.finished + tasks.cancelled + tasks.failed + tasks.destroyed
        )
    await running.balanced()
    status = await operator.status()
    assert (status.feed_count, status.subscriptions, status.connections) == (0, 0, 0)
    assert status.subscribers_per_symbol == 0


async def test_symbols_are_what_the_upstream_knows(start: Start) -> None:
    assert await Operator(await start()).symbols() == list(TICKERS)


async def test_symbols_are_those_with_a_feed_where_the_upstream_does_not_know(
    start: Start,
    upstream: ScriptedUpstream,
) -> None:
    running = await start()
    operator = Operator(running)
    assert await operator.symbols() == []
    async with await running.stream("MSFT", "AAPL"):
        assert await operator.symbols() == ["AAPL", "MSFT"]


async def test_feeds_has_one_row_per_symbol(start: Start) -> None:
    running = await start(linger=3_600.0, stale_after=0.3)
    operator = Operator(running)
    async with await running.stream("AAPL", "ZVZZT") as client, await running.client() as other:
        await client.message("quote")
        await client.message("status")
        rows = await operator.feeds_once(
            lambda rows: rows["AAPL"].band == "live" and (rows["AAPL"].age_s or 9) < 1
        )
        assert list(rows) == ["AAPL", "ZVZZT"]
        busy, quiet = rows.values()
        assert (busy.demand, busy.upstream_state, busy.subscriber_count) == ("wanted", "open", 2)
        assert (busy.generation, busy.band, busy.reason) == (1, "live", None)
        assert busy.quotes > 0
        assert (quiet.band, quiet.reason) == ("stale", "upstream_silent")
        assert (quiet.quotes, quiet.last_quote_at, quiet.age_s) == (0, None, None)
        await other.leave()
    await until(lambda: not running.service.hub.subscriptions, "all have left")
    assert {row.demand for row in (await operator.feeds()).values()} == {"lingering"}
    cancelled = await operator.cancel(all=True)  # no subscriber is affected: no confirmation needed
    assert [(each.symbol, each.subscriber_count, each.joined) for each in cancelled] == [
        ("AAPL", 0, True),
        ("ZVZZT", 0, True),
    ]
    await running.balanced()


async def test_cancelling_a_feed_with_subscribers_needs_confirmation(running: Running) -> None:
    operator = Operator(running)
    async with await running.client() as client, await running.client("/quotes/MSFT") as other:
        with pytest.raises(
            NeedsConfirmationError, match="AAPL: 1 subscribers would be disconnected"
        ):
            await operator.cancel("AAPL")
        await client.message("quote")
        (cancelled,) = await operator.cancel("aapl", force=True)
        assert (cancelled.symbol, cancelled.subscriber_count, cancelled.joined) == ("AAPL", 1, True)
        assert (await client.closing()).code == 4410
        await other.message("quote")
    await running.balanced()


async def test_a_feed_whose_task_does_not_end_is_reported_as_not_joined(
    start: Start, upstream: ScriptedUpstream
) -> None:
    release = asyncio.Event()

    async def stubborn(sink: object) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await release.wait()

    upstream.life = stubborn
    running = await start()
    async with await running.client() as client:
        await until(lambda: upstream.sinks, "the run has begun")
        (cancelled,) = await Operator(running).cancel("AAPL", force=True, timeout_s=0.2)
        assert not cancelled.joined
        assert (await client.closing()).code == 4410
        assert (await Operator(running).feeds())["AAPL"].upstream_state == "closing"
    release.set()
    await running.balanced()


async def test_a_feed_whose_task_ignored_its_cancellation_is_cancelled_again(
    start: Start, upstream: ScriptedUpstream
) -> None:
    ignored: list[str] = []

    async def stubborn(sink: object) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError as error:
            ignored.append(str(error))
        await asyncio.get_running_loop().create_future()

    upstream.life = stubborn
    running = await start()
    async with await running.client():
        await until(lambda: upstream.sinks, "the run has begun")
        (first,) = await Operator(running).cancel("AAPL", force=True, timeout_s=0.2)
        assert not first.joined
        assert len(ignored) == 1
        (second,) = await Operator(running).cancel("AAPL", force=True, timeout_s=PATIENCE)
        assert second.joined
    await running.balanced()


async def test_invalid_cancellations_are_refused(running: Running) -> None:
    operator = Operator(running)
    with pytest.raises(NotFoundError, match="no feed for AAPL"):
        await operator.cancel("AAPL", force=True)
    with pytest.raises(UsageError, match="no feed given"):
        await operator.cancel()
    with pytest.raises(UsageError, match="is not a symbol"):
        await operator.cancel("../x")
    assert await operator.cancel(all=True) == []


async def test_live_subscriptions_are_never_reported_as_orphans(start: Start) -> None:
    """While hundreds connect and disconnect, another thread never sees an orphan."""
    running = await start(subscribe_rate=0, upstream="sim:?rate=1")
    done, looks = False, 0

    def look() -> None:
        nonlocal looks
        while not done:
            assert running.service.hub.orphaned_subscriptions() == []
            looks += 1

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # the two threads switch every few lines
    looking = asyncio.create_task(asyncio.to_thread(look))
    rounds = 0
    try:
        while (rounds < 5 or looks < 100) and not looking.done():
            clients = [await running.stream(*TICKERS[:200]) for _ in range(3)]
            assert await running.refusal(head("/quotes/NOSUCH")) == (404, "unknown_symbol")
            for client in clients:
                client.reset()
            rounds += 1
    finally:
        done = True
        sys.setswitchinterval(interval)
    await looking
    await running.balanced()
