"""The answers about feeds: the list, the symbols, and the result of stopping some.

See answer.py for the fields and rules that all answers share.
"""

from __future__ import annotations

import msgspec

from qcfeed.model.answer import Answer


class FeedStatus(msgspec.Struct, kw_only=True):
    """One symbol's feed. ``demand`` and ``upstream_state`` are those of feed/lifecycle.py."""

    symbol: str
    demand: str
    upstream_state: str
    subscriber_count: int
    generation: int
    band: str
    reason: str | None
    last_quote_at: str | None
    age_s: float | None
    quotes: int
    quotes_per_s: float
    restarts: int
    failure: str | None = None
    epoch: str = ""
    """This life of the feed, as in its quotes."""
    invalid_ticks: int = 0
    """Ticks of this life of the feed that were dropped because they were invalid."""


class Feeds(Answer, kw_only=True, tag="qcfeed.feeds/2"):
    total: int
    feeds: list[FeedStatus]


class Symbols(Answer, kw_only=True, tag="qcfeed.symbols/1"):
    """The symbols that can be subscribed to. If the upstream does not know them all, those that have a feed."""

    symbols: list[str]


class CancelFeedsRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Stop these feeds (``all``: every one); their subscribers are closed with 4410.

    Refused if any of them has a subscriber, unless ``force`` is set.
    """

    symbols: list[str] = msgspec.field(default_factory=list)
    all: bool = False
    force: bool = False
    timeout_s: float = 10.0


class CancelledFeed(msgspec.Struct, kw_only=True):
    symbol: str
    subscriber_count: int
    joined: bool


class CancelledFeeds(Answer, kw_only=True, tag="qcfeed.feeds.cancel/2"):
    feeds: list[CancelledFeed]
