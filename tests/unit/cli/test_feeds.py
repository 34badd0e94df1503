from __future__ import annotations

import asyncio
from typing import Any

import pytest

from qcfeed.control import routes
from qcfeed.errors import ExitStatus
from qcfeed.model.feeds import CancelFeedsRequest, CancelledFeed, CancelledFeeds, FeedStatus
from qcfeed.model.feeds import Feeds as FeedsAnswer


def feed(symbol: str, subscribers: int, **changes: Any) -> FeedStatus:
    row: dict[str, Any] = {
        "symbol": symbol, "demand": "wanted" if subscribers else "lingering", "upstream_state": "open",
        "subscriber_count": subscribers, "generation": 1, "band": "live", "reason": None,
        "last_quote_at": "2024-03-20T02:14:59.000Z", "age_s": 0.2, "quotes": 10,
        "quotes_per_s": 10.0, "restarts": 0,
    }  # fmt: skip
    return FeedStatus(**row | changes)


class Feeds:
    """The routes about feeds, over a list; the real ones are tried in tests/e2e."""

    def __init__(self, *feeds: FeedStatus) -> None:
        self.feeds = list(feeds)
        self.requests: list[CancelFeedsRequest] = []

    def routes(self) -> list[routes.Route]:
        return [
            routes.ReadRoute(routes.FEEDS, routes.NoQuery, self.list),
            routes.ActionRoute(
                routes.FEEDS_CANCEL, "feeds.cancel", CancelFeedsRequest, self.cancel
            ),
        ]

    def list(self, _: routes.NoQuery) -> FeedsAnswer:
        return FeedsAnswer(total=len(self.feeds), feeds=self.feeds)

    async def cancel(self, request: CancelFeedsRequest) -> CancelledFeeds:
        self.requests.append(request)
        return CancelledFeeds(
            feeds=[
                CancelledFeed(symbol=s, subscriber_count=0, joined=s != "SLOW")
                for s in request.symbols
            ]
        )


@pytest.fixture
def served(watched):
    feeds = Feeds(feed("AAPL", 17), feed("MSFT", 0), feed("SLOW", 0, band="very_stale"))
    watched.serve(routes=feeds.routes())
    return feeds


async def test_one_row_per_symbol(served, qcfeed_) -> None:
    left = await asyncio.to_thread(qcfeed_, "feeds")
    assert left.status == ExitStatus.OK
    assert left.out.splitlines()[1].split() == [
        "AAPL", "wanted/open", "17", "02:14:59", "200ms", "live", "10.0", "1",
    ]  # fmt: skip
    assert "very stale" in left.out


async def test_no_feeds(watched, qcfeed_) -> None:
    watched.serve(routes=Feeds().routes())
    left = await asyncio.to_thread(qcfeed_, "feeds")
    assert (left.status, left.out, left.err) == (0, "", "no feeds: there are no subscribers\n")
    assert (await asyncio.to_thread(qcfeed_, "feeds", "cancel", "--all")).status == ExitStatus.OK


async def test_cancelling_a_feed_without_subscribers_needs_no_confirmation(served, qcfeed_) -> None:
    left = await asyncio.to_thread(qcfeed_, "feeds", "cancel", "msft", "MSFT")
    assert left.status == ExitStatus.OK, left.err
    assert "MSFT" in left.out
    assert [(r.symbols, r.force) for r in served.requests] == [(["MSFT"], False)]


@pytest.mark.parametrize("args", [["AAPL"], ["MSFT", "AAPL"], ["--all"]])
async def test_cancelling_a_feed_with_subscribers_needs_yes_without_a_terminal(
    served, qcfeed_, args: list[str]
) -> None:
    left = await asyncio.to_thread(qcfeed_, "feeds", "cancel", *args)
    assert left.status == ExitStatus.REFUSED
    assert left.out == ""
    assert "AAPL" in left.err
    assert "with 17 subscribers\n  hint: nothing was done; add --yes to do it" in left.err
    assert served.requests == []


async def test_yes_forces(served, qcfeed_) -> None:
    left = await asyncio.to_thread(
        qcfeed_, "--timeout", "2", "feeds", "cancel", "--yes", "AAPL", "-o", "name"
    )
    assert (left.status, left.out) == (ExitStatus.OK, "AAPL\n")
    assert [(r.symbols, r.force, r.timeout_s) for r in served.requests] == [(["AAPL"], True, 2.0)]


async def test_a_feed_that_does_not_end_in_time_is_a_finding(served, qcfeed_) -> None:
    left = await asyncio.to_thread(qcfeed_, "feeds", "cancel", "SLOW")
    assert left.status == ExitStatus.FINDINGS
    assert "not yet" in left.out


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "name the feeds to cancel"),
        (["--all", "AAPL"], "name the feeds to cancel"),
        (["TSLA"], "no feed for TSLA"),
        (["../x"], "'../x' is not a symbol"),
    ],
)
async def test_a_wrong_choice_is_a_usage_error(served, qcfeed_, args: list[str], said: str) -> None:
    left = await asyncio.to_thread(qcfeed_, "feeds", "cancel", *args)
    assert left.status == ExitStatus.USAGE
    assert said in left.err
    assert served.requests == []
